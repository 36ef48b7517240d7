"""The way into a WebSocket: address, key and origin are checked before it opens; a refusal looks as over HTTP."""

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.access import NOWHERE, line_of
from duly.api.addresses import refuse_encoded_slash
from duly.api.failures import as_duly_error, as_response
from duly.api.fields import check_fields
from duly.api.keys import KeyCheck
from duly.api.request_ids import request_id_of
from duly.errors import Draining, DulyError, Forbidden, NotFound
from duly.node import Node


class Handshake:
    """Hands a connection to the socket at its address, if it may come in."""

    def __init__(self, node: Node, sockets: Mapping[str, ASGIApp], *, check_key: KeyCheck) -> None:
        self._node = node
        self._sockets = sockets
        self._check_key = check_key
        self._origins = frozenset(origin.rstrip("/").lower() for origin in node.settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        scope["duly.request_id"] = request_id = request_id_of(headers).decode()
        began = time.perf_counter()
        try:
            socket = await self._admitted(scope, headers)
        except Exception as error:  # noqa: BLE001  # whatever was raised becomes an answer
            failure = as_duly_error(error, request_id=request_id)
            self._node.metrics.refused.labels(failure.code).inc()
            refusal = as_response(failure, accept=headers.get(b"accept", b"").decode("latin-1"))
            refusal.headers["X-Request-Id"] = request_id
            self._note(scope, failure, began)
            await refusal(scope, receive, send)
            return
        await socket(scope, receive, send)

    def _note(self, scope: Scope, failure: DulyError, began: float) -> None:
        """Writes the refusal to the access log."""
        found = (scope["path"], {}) if scope["path"] in self._sockets else NOWHERE
        self._node.access.put(
            line_of(scope, found, method="GET", status=failure.status, code=failure.code, began=began)
        )

    async def _admitted(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGIApp:
        check_fields("GET", headers, scope["headers"])
        await self._check_key(scope, headers)
        refuse_encoded_slash(scope)
        if (socket := self._sockets.get(scope["path"])) is None:
            raise NotFound("There is no WebSocket at this address.")
        if self._node.draining:
            raise Draining("The service is going down; another node, or this one after its restart, takes it.")
        self._check_origin(headers)
        return socket

    def _check_origin(self, headers: Mapping[bytes, bytes]) -> None:
        """A browser lets any page open a socket to anywhere, with no more than this header to tell whose it is."""
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if not origin or origin in self._origins:
            return
        if _host_of(origin) != headers.get(b"host", b"").decode("latin-1").lower():
            raise Forbidden(
                "Pages of this origin may not open a WebSocket here.",
                reason="The service's own may, and those named in DULY_ALLOWED_ORIGINS.",
            )


def _host_of(origin: str) -> str | None:
    """Host and port as a `Host` header has them; None for an origin that has none, such as `null`."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
