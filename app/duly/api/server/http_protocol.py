"""The HTTP protocol of one connection: its refusals, and clients that close their sending side."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope

from duly.api.server.coalescing_transport import CoalescingTransport
from duly.api.server.connection_deadlines import TimedProtocol
from duly.api.server.connection_limits import LINGER_BYTES, Place
from duly.api.server.exchange import RESPOND, RawHeaders
from duly.api.server.header_checks import request_id_of
from duly.api.server.load_shedding import leave
from duly.api.server.refusals import refusal_bytes
from duly.api.server.tcp_info import was_reset
from duly.api.server.uvicorn_internals import STATUS_LINE
from duly.errors import DulyError

# Bytes parsed at a time: of what can be several requests, and of a body.
REQUESTS_BYTES, BODY_BYTES = 16 << 10, 64 << 10
_STREAMS, _COMMENT = "/events/stream", b"2\r\n:\n\r\n"


class BoundedProtocol(TimedProtocol):
    """Protocol of one connection. `log_refusal` is called with the id of each request that is refused here, the error,
    and the client.
    """

    log_refusal: Callable[[str, DulyError, tuple[str, int] | None], None] | None = None

    def __init__(self, *arguments: Any, place: Place, connection: socket.socket, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._place = place
        self._connection = connection
        # Refusal that is sent after the responses to the requests before it.
        self._next_refusal: DulyError | None = None
        self._unparsed = b""
        self._half_closed, self._lingers, self._discarded_bytes = False, False, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn names it so
        coalescing = CoalescingTransport(transport, self.loop, self._watch_response)
        super().connection_made(cast("asyncio.Transport", coalescing))
        self.address = self.client[0] if self.client else ""
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ignores_input = True
        self._leave()
        for waiting, _ in self.pipeline:  # these never get their turn
            leave(cast("dict[str, Any]", waiting.scope))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > LINGER_BYTES:
                self.transport.abort()
            return
        if len(data) <= REQUESTS_BYTES and not self._unparsed:
            self.parse(data)
        else:
            self._parse_some(data)
        self._wait()

    def _parse_some(self, data: bytes) -> None:
        """Parses some bytes at a time, and keeps the rest while requests wait for their turn: a parsed request takes a
        hundred times its bytes.
        """
        while data and not self._ignores_input:
            if self.pipeline or self._unparsed:
                self._unparsed += data
                self.flow.pause_reading()
                return
            size = REQUESTS_BYTES if self._in_head else BODY_BYTES
            self.parse(data[:size])
            data = data[size:]

    def idle_over(self) -> None:
        """Closes an idle connection."""
        self._all.forget(self)
        self._place.leave()
        self._waits_in = None
        self._ignores_input = True
        self.transport.close()

    # Responses

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        cast("dict[str, Any]", self.scope)[RESPOND] = self.respond

    def respond(self, scope: Scope, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Writes a whole response at once: two ASGI messages take 5 of a submission's 75 µs more. Returns False if it
        must be sent as messages.
        """
        cycle = self.cycle
        if (
            cycle.scope is not scope or cycle.response_started or cycle.disconnected
        ):  # others come before it, or the client has disconnected
            return False
        if self.flow.write_paused or not cycle.keep_alive:
            return False
        lines = map(b": ".join, (*self.server_state.default_headers, *headers))
        cast("CoalescingTransport", self.transport).write_response(
            STATUS_LINE[status] + b"\r\n".join((*lines, b"", body))
        )
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.message_event.set()
        cycle.on_response()
        return True

    def _unset_keepalive_if_required(self) -> None:
        """Overrides uvicorn's timeout: this protocol has deadlines of its own."""

    def on_response_complete(self) -> None:
        self._served = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._starts_next():
            return
        if self._next_refusal is not None:
            self._send_refusal(self._next_refusal)
        elif self._half_closed:
            self.transport.close()
        else:
            self._wait()

    def _starts_next(self) -> bool:
        """Starts the next request. Returns whether there was one."""
        waited = bool(self.pipeline)
        if waited:
            self._start_asgi_task(*self.pipeline.pop())
        if not self._unparsed or self.pipeline:
            return waited
        unparsed, self._unparsed = self._unparsed, b""
        self._parse_some(unparsed)
        return waited or not (self._ignores_input or self._all_responded)

    def refuse(self, refusal: DulyError) -> None:
        self._unparsed = b""
        if self._in_head:
            refusable = self._all_responded
        elif self._latest_waits():
            refusable = False
        elif self.cycle.response_started:
            self.transport.close()
            return
        else:
            self.cycle.disconnected = refusable = True
            self.cycle.message_event.set()
        if refusable:
            self._send_refusal(refusal)
        else:
            self._next_refusal = refusal

    def _latest_waits(self) -> bool:
        """Returns whether the latest request waits for those before it. It is dropped then, since it is incomplete."""
        if not self.pipeline or self.pipeline[0][0] is not self.cycle:
            return False
        self.pipeline.popleft()
        leave(cast("dict[str, Any]", self.cycle.scope))
        return True

    def _send_refusal(self, refusal: DulyError) -> None:
        """Sends a refusal and closes. Reads from the client for a while, so that it can read the response."""
        request_id = request_id_of(dict(self.headers) if self._incomplete else {})
        self.transport.write(refusal_bytes(refusal, request_id=request_id))
        if self.log_refusal is not None:
            self.log_refusal(request_id.decode(), refusal, self.client)
        if self._half_closed:
            self.transport.close()
            return
        self._lingers = True
        self.transport.write_eof()
        self._all.leaving.put(self)

    def linger_over(self) -> None:
        self.transport.abort()

    # Clients that close their sending side

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn declares that it returns nothing
        """Keeps the connection for outstanding responses. Without one, or if a request is incomplete, it is closed."""
        self._half_closed = True
        responds_late = self._ignores_input and not self._lingers and not self._all_responded
        if responds_late or (not self._all_responded and (self._in_head or self._latest_waits())):
            self._ignores_input = not self._unparsed
            self._wait()
            self._watch_for_client()
        else:
            self.transport.close()
        return True

    def _watch_for_client(self) -> None:
        """Checks whether the client has disconnected: that looks like a half-closed connection. On a stream a comment
        shows which it is, since a disconnected client responds to it with a reset.
        """
        cycle = self.cycle
        if not cycle.response_started:
            self._all.half_closed.put(self)
            cycle.message_event.set()  # wakes an endpoint that waits for the client
        elif cycle.chunked_encoding and cycle.scope["path"].endswith(_STREAMS):
            self.transport.write(_COMMENT)
            self._all.probes.put(self)

    def half_over(self) -> None:
        if not self.cycle.response_started:
            self.transport.abort()

    def check_client(self) -> None:
        if was_reset(self._connection):
            self.transport.abort()

    # WebSockets

    def become_socket(self, head: bytes) -> None:
        self._all.forget(self)
        self.connections.discard(self)
        protocol: Any = cast("Any", self.ws_protocol_class)(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.lost = self._leave
        protocol.connection_made(self.transport)
        protocol.data_received(head)
        self.transport.set_protocol(protocol)

    def _leave(self) -> None:
        self._all.forget(self)
        self._place.leave()
        cast("CoalescingTransport", self.transport).drop_callback()
