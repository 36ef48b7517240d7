"""Who may come in: with the key, with a ticket where streams are, or anybody where no key is set."""

import hmac
import re
from collections.abc import Mapping

from starlette.types import Scope

from duly.api.server.request_scope import GRANT, TENANT
from duly.api.server.stream_tickets import take_ticket, use_ticket
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Unauthorized
from duly.node import Node

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/favicon.ico"})
# Receivers read public keys here, and have no key of the service's.
_PUBLIC_KEYS = re.compile(r"/api/v1/webhooks/[0-9A-Fa-f-]{36}/jwks\.json")


class Authentication:
    """Looks at each request before anything else does."""

    def __init__(self, node: Node) -> None:
        key = node.settings.api_key
        self._key = key.get_secret_value().encode() if key else None
        self._database = node.database

    async def __call__(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Lets it pass, and notes by which key. A ticket that is named counts where there is no key beside it, and has
        to be good.

        Raises:
            Unauthorized: it may not.
            DatabaseOutage: whether its ticket is good cannot be told.
        """
        scope[TENANT] = DEFAULT_TENANT  # the only one that there is
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
                "This needs a valid API key." if _given(headers) else "This needs an API key.",
                reason="Send it as `Authorization: Bearer <key>`.",
            )

    def _is_key(self, headers: Mapping[bytes, bytes]) -> bool:
        scheme, _, _ = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(_given(headers), self._key or b"")


def _is_open(scope: Scope) -> bool:
    return scope.get("method") in {"GET", "HEAD"} and _PUBLIC_KEYS.fullmatch(scope["path"]) is not None


def _given(headers: Mapping[bytes, bytes]) -> bytes:
    return headers.get(b"authorization", b"").partition(b" ")[2].strip()
