"""Opening of WebSockets: path, key and origin are checked before; errors are responses as over HTTP."""

import time
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.contract.error_responses import as_duly_error, as_response
from duly.api.server.access_lines import NOWHERE, line_of
from duly.api.server.allowed_origins import Origins
from duly.api.server.authentication import Authentication
from duly.api.server.encoded_paths import refuse_encoded_slash
from duly.api.server.header_checks import check_fields, request_id_of
from duly.api.server.security_headers import NO_REFERRER, NOSNIFF
from duly.errors import Draining, DulyError, NotFound, UpgradeRequired
from duly.node import Node

_SUPPORTED: Final = {"Sec-WebSocket-Version": "13", "Upgrade": "websocket", "Connection": "Upgrade, close"}


class WebSocketAuthentication:
    """Passes an authenticated connection to the endpoint of its path."""

    def __init__(
        self, node: Node, sockets: Mapping[str, ASGIApp], *, origins: Origins, authenticate: Authentication
    ) -> None:
        self._node = node
        self._sockets = sockets
        self._authenticate = authenticate
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        scope["duly.request_id"] = request_id = request_id_of(headers).decode()
        began = time.perf_counter()
        try:
            socket = await self._admitted(scope, headers)
        except Exception as error:  # noqa: BLE001  # any error becomes a response
            failure = as_duly_error(error, request_id=request_id)
            self._node.metrics.refused.labels(failure.code).inc()
            refusal = as_response(failure, accept=headers.get(b"accept", b"").decode("latin-1"))
            refusal.raw_headers += [NOSNIFF, NO_REFERRER, (b"x-request-id", request_id.encode())]
            if isinstance(failure, UpgradeRequired):  # RFC 6455, section 4.4; RFC 9110, section 15.5.22
                refusal.headers.update(_SUPPORTED)
            self._note(scope, failure, began)
            await refusal(scope, receive, send)
            return
        await socket(scope, receive, send)

    def _note(self, scope: Scope, failure: DulyError, began: float) -> None:
        """Writes an error to the access log."""
        found = (scope["path"], {}) if scope["path"] in self._sockets else NOWHERE
        self._node.access.put(
            line_of(scope, found, method="GET", status=failure.status, code=failure.code, began=began)
        )

    async def _admitted(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGIApp:
        self._origins.check(scope, headers)
        check_fields("GET", headers, scope["headers"])
        if (refused := scope.get("duly.refusal")) is not None:
            raise refused
        await self._authenticate(scope, headers)
        refuse_encoded_slash(scope)
        if (socket := self._sockets.get(scope["path"])) is None:
            raise NotFound("Not found.", reason=f"WebSockets are at {', '.join(self._sockets)}.")
        if self._node.draining:
            raise Draining
        return socket
