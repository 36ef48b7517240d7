"""Authentication of requests by API key or, for streams, by ticket. Without a configured key, the service is open."""

import hmac
import re
from collections.abc import Mapping

from starlette.types import Scope

from duly.api.server.scope_values import GRANT, TENANT
from duly.api.server.stream_tickets import take_ticket, use_ticket
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Unauthorized
from duly.node import Node

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/favicon.ico"})
# Receivers read public keys here without an API key.
_PUBLIC_KEYS = re.compile(r"/api/v1/webhooks/[0-9A-Fa-f-]{36}/jwks\.json")


class Authentication:
    """Authenticates requests before anything else of them is read."""

    def __init__(self, node: Node) -> None:
        key = node.settings.api_key
        self._key = key.get_secret_value().encode() if key else None
        self._database = node.database

    async def __call__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Authenticates a request, and sets its tenant, the name of its key and the rights of its ticket in the scope.

        A valid key takes precedence over a ticket.

        Raises:
            Unauthorized: the key is missing or invalid, or the ticket is.
            DatabaseOutage: the ticket cannot be checked.
        """
        scope[TENANT] = DEFAULT_TENANT  # the only tenant
        ticket = take_ticket(scope) if scope["query_string"] else None
        if scope["path"] in OPEN_PATHS:
            return
        if self._key is not None and self._is_key(headers):
            scope["duly.key_id"] = "DULY_API_KEY"
            return
        if ticket is not None:
            scope[GRANT] = await use_ticket(self._database, ticket)
            scope["duly.key_id"] = "ticket"
        elif self._key is not None and not _is_open(scope):
            raise Unauthorized(
                "Invalid API key." if _key_of(headers) else "API key required.",
                reason="Send it as `Authorization: Bearer <key>`.",
            )

    def _is_key(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, _ = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(_key_of(headers), self._key or b"")


def _is_open(scope: Scope) -> bool:
    return scope.get("method") in {"GET", "HEAD"} and _PUBLIC_KEYS.fullmatch(scope["path"]) is not None


def _key_of(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"authorization", b"").partition(b" ")[2].strip()
