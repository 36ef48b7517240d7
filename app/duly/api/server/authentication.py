"""Authentication of requests by API key, by the dashboard's session or, for streams, by ticket. Without any key, the
service is open.
"""

import hmac
import re
from collections.abc import Mapping

from starlette.types import Scope

from duly.api.server.allowed_methods import AddressTable
from duly.api.server.cell_reads import cells_of
from duly.api.server.dashboard_cookie import principal_of_session, session_of
from duly.api.server.key_hold import invalid_key
from duly.api.server.route_scopes import require_route_scope
from duly.api.server.scope_values import GRANT, PRINCIPAL, TENANT
from duly.api.server.stream_tickets import cell_of_ticket, invalid_ticket, take_ticket, use_ticket
from duly.domain.job import DEFAULT_TENANT
from duly.domain.key_scope import ALL_SCOPES, KeyScope
from duly.domain.principal import Principal
from duly.errors import NotFound, ScopeMissing, Unauthorized
from duly.node import Node

METRICS = "/metrics"
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", METRICS, "/docs", "/ui", "/openapi.json", "/favicon.ico"})
# The page of the dashboard and its files show nothing of the service; `/ui/session` checks the key by itself.
_DASHBOARD = "/ui/"
# Receivers read public keys here without an API key.
_PUBLIC_KEYS = re.compile(r"/api/v1/webhooks/[0-9A-Fa-f-]{36}/jwks\.json")
# People answer questions here, by links that are signed.
_LINK = re.compile(r"/signals/[^/]+")
_ACTS_FOR = b"x-duly-tenant"

Headers = Mapping[bytes, bytes]


class Authentication:
    """Authenticates requests, and checks the scopes of their keys, before anything else of them is read.

    Args:
        node: the node that serves the requests.
        addresses: all addresses, whose scopes are in `ROUTE_SCOPES`.
    """

    def __init__(self, node: Node, addresses: AddressTable) -> None:
        self._addresses = addresses
        metrics_key = node.settings.metrics_key
        self._metrics_key = metrics_key.get_secret_value().encode() if metrics_key else None
        self._node = node
        self._verifier = node.key_verifier
        self._rates = node.key_rates

    async def __call__(self, scope: Scope, headers: Headers) -> None:
        """Authenticates a request, and sets its principal, its tenant and the rights of its ticket in the scope.

        A valid key takes precedence over a ticket.

        Raises:
            Unauthorized: the key is missing or invalid, or the ticket is.
            ScopeMissing: the key lacks the scope of the route, or may not act for the tenant that the request names.
            NotFound: the request names a tenant that does not exist.
            RateLimited: the key has made too many requests.
            DatabaseError: the key or the ticket cannot be checked.
        """
        scope[TENANT] = DEFAULT_TENANT
        ticket = take_ticket(scope) if scope["query_string"] else None
        presented = _key_of(headers)
        if scope["path"] in OPEN_PATHS or scope["path"].startswith(_DASHBOARD):
            if scope["path"] == METRICS and self._metrics_key is not None:
                await self._check_metrics_key(presented, self._metrics_key)
            return
        principal = self._verifier.recognised(presented) if presented else None
        if principal is None:
            principal = await self._other(scope, headers, presented, ticket)
            if principal is None:
                return
        scope[PRINCIPAL] = principal
        if principal.rate is not None:
            await self._rates.admit(principal)
        if _ACTS_FOR in headers:
            scope[PRINCIPAL] = principal = await self._acting(principal, headers[_ACTS_FOR])
        scope[TENANT] = principal.tenant_id
        if principal.scopes is not ALL_SCOPES:
            require_route_scope(principal, self._addresses, scope.get("method", "GET"), scope["path"])

    async def _other(self, scope: Scope, headers: Headers, presented: bytes, ticket: bytes | None) -> Principal | None:
        """Returns the principal of a key that is not cached, of a ticket, of an open service, or of a session; None for
        a public path.
        """
        principal = await self._verifier.verify(presented) if presented else None
        if principal is not None:
            return principal
        if ticket is not None:
            return await self._of_ticket(scope, ticket)
        if self._verifier.anyone is not None:
            return self._verifier.anyone
        if _is_open(scope):
            return None
        if presented:
            raise invalid_key()
        if (principal := await self._of_session(scope, headers)) is not None:
            return principal
        raise Unauthorized("API key required.", reason="Send it as `Authorization: Bearer <key>`.")

    async def _of_session(self, scope: Scope, headers: Headers) -> Principal | None:
        """Returns the principal of the dashboard's session; None without one. It opens no WebSocket."""
        session = session_of(self._node, scope, headers) if scope["type"] == "http" else None
        return await principal_of_session(self._node, session) if session is not None else None

    async def _of_ticket(self, scope: Scope, ticket: bytes) -> Principal:
        """Returns the principal of a ticket: the rights of the key that made it, as far as the ticket extends to them.

        Raises:
            Unauthorized: the ticket is invalid, or its key is no longer valid.
        """
        cells = cells_of(scope)
        node = self._node if cells is None else cells.nodes[cell_of_ticket(ticket, len(cells.nodes))]
        tenant_id, grant = await use_ticket(node.database, ticket)
        maker = await self._verifier.principal_of(grant.key_id)
        if maker is None or (maker.tenant_id != tenant_id and not maker.has(KeyScope.OPERATOR)):
            raise invalid_ticket()
        scope[GRANT] = grant
        scope["duly.key_id"] = "ticket"
        return maker._replace(tenant_id=tenant_id, tenant=grant.tenant, scopes=grant.scopes(maker.scopes))

    async def _acting(self, principal: Principal, name: bytes) -> Principal:
        """Returns the principal of an operator who acts for another tenant.

        Raises:
            ScopeMissing: the key does not belong to an operator.
            NotFound: there is no such tenant.
        """
        tenant = name.decode("latin-1").strip()
        if tenant == principal.tenant:
            return principal
        if not principal.has(KeyScope.OPERATOR):
            raise ScopeMissing.of(KeyScope.OPERATOR)
        tenant_id = await self._verifier.tenant_id(tenant)
        if tenant_id is None:
            raise NotFound("Tenant not found.", reason="X-Duly-Tenant names a tenant that does not exist.")
        return principal._replace(tenant_id=tenant_id, tenant=tenant)

    async def _check_metrics_key(self, presented: bytes, metrics_key: bytes) -> None:
        """Authenticates a request for metrics.

        Raises:
            Unauthorized: it has neither `DULY_METRICS_KEY` nor the key of an operator.
        """
        if hmac.compare_digest(presented, metrics_key):
            return
        principal = self._verifier.recognised(presented) or await self._verifier.verify(presented)
        if principal is None or not principal.has(KeyScope.OPERATOR):
            raise Unauthorized(
                "API key required.", reason="Send DULY_METRICS_KEY, or an operator's key, as a bearer token."
            )


def _is_open(scope: Scope) -> bool:
    method, path = scope.get("method"), scope["path"]
    if method in {"GET", "HEAD"} and _PUBLIC_KEYS.fullmatch(path) is not None:
        return True
    return method in {"GET", "HEAD", "POST"} and _LINK.fullmatch(path) is not None


def _key_of(headers: Headers) -> bytes:
    """Returns the key that a request presents; empty without one."""
    scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else b""
