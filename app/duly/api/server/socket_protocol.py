"""WebSocket protocol: uvicorn's, with the responses to invalid handshakes left to the application, and fewer logs."""

import logging
from collections.abc import Callable
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import (
    HeaderLineTooLong,
    InvalidHeader,
    InvalidHeaderValue,
    RequestLineTooLong,
    TooManyHeaders,
)
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from duly.api.server.uvicorn_internals import ClientDisconnected, WebSocketsSansIOProtocol
from duly.errors import BadRequest, DulyError, HeadersTooLarge, UpgradeRequired, UriTooLong

log = logging.getLogger("uvicorn.error")


class _LenientServer(ServerProtocol):
    """Leaves the response to an invalid handshake to the application."""

    def accept(self, request: Request) -> Response:
        response = super().accept(request)
        return response if self.handshake_exc is None else Response(101, "", Headers())  # never sent


class SocketProtocol(WebSocketsSansIOProtocol):
    """Protocol of one connection. `lost` is called at its end."""

    lost: Callable[[], None] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._begin()

    def _begin(self) -> None:
        # The library reads the level once: with debugging, it would log all headers, keys and tickets included.
        self.conn = _LenientServer(max_size=self.config.ws_max_size, logger=log)
        self.conn.debug = False

    def data_received(self, data: bytes) -> None:
        try:
            super().data_received(data)
        except UnicodeError as error:
            self._refuse_head(error)
        else:
            if not self.handshake_initiated and self.conn.handshake_exc is not None:
                self._refuse_head(self.conn.handshake_exc)

    def _refuse_head(self, error: Exception) -> None:
        """Responds to a head that the library could not read."""
        self._begin()
        self.handle_connect(Request("/", Headers()), error)

    def handle_connect(self, event: Request, error: Exception | None = None) -> None:
        super().handle_connect(event)
        found = error or self.conn.handshake_exc
        if found is not None:
            self.scope["duly.refusal"] = refusal_of(found)  # type: ignore[typeddict-unknown-key]

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent and not _is_text(b"".join(self.frames)):
            self.frames = []
            log.debug("A message is not UTF-8.")
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
            return
        # Bytes before the end of the handshake that are not a frame.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.ABNORMAL_CLOSURE})
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is not None:
            self.lost()
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        if (
            self.close_sent and message["type"] == "websocket.send"
        ):  # a message that was being sent when the client disconnected
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True  # by a refusal, which is not an error of the application


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def refusal_of(error: Exception) -> DulyError:
    """Returns the error of a handshake that the library refused."""
    match error:
        case InvalidHeaderValue(name="Sec-WebSocket-Version"):
            return UpgradeRequired("WebSocket version not supported.", reason="Supported: 13 (RFC 6455).")
        case RequestLineTooLong():
            return UriTooLong("Request target too long.", reason=_words(error))
        case HeaderLineTooLong() | TooManyHeaders():
            return HeadersTooLarge("Handshake head too large.", reason=_words(error))
        case InvalidHeader():
            return BadRequest(f"Malformed WebSocket handshake: {error.name}.", reason=_words(error))
        case _:
            return BadRequest("Malformed WebSocket handshake.", reason=_words(error))


def _words(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
