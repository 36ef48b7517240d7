"""Connection to a receiver: one exchange at a time, unsolicited data is never used."""

import asyncio
from collections.abc import Callable
from typing import Final, cast

from duly.outbound.response import RequestFailed
from duly.outbound.response_reader import ReceivedResponse, ResponseReader
from duly.outbound.url import Origin

_PIECE: Final = 256 * 1024
# Each received piece costs some microseconds, however small, and a receiver can send 60,000 of one byte. After some
# pieces reading pauses, so that data accumulates.
_PIECES_AT_ONCE: Final = 64
_GATHER_SECONDS: Final = 0.1


class HttpConnection(asyncio.Protocol):
    """Connection; `on_close` is called once when it is closed, by either side."""

    _transport: asyncio.Transport

    def __init__(self, origin: Origin, *, on_close: Callable[["HttpConnection"], None]) -> None:
        self.origin = origin
        self.open = False
        self._on_close = on_close
        self._reader = ResponseReader()
        self._answer: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    async def exchange(self, head: bytes, content: bytes, *, bodiless: bool) -> ReceivedResponse:
        """Sends a request and reads its response; a `bodiless` response has no body, even with headers that give a
        length.

        Closes the connection unless the exchange succeeded, also when cancelled.

        Raises:
            RequestFailed: there is no valid response.
        """
        self._reader.begin(bodiless=bodiless)
        self._pieces = 0
        self._answer = answer = asyncio.get_running_loop().create_future()
        try:
            if len(content) <= _PIECE:
                self._transport.write(head + content)  # in one piece: one system call, one packet
            else:
                await self._send(head, content)
            await answer
        except BaseException:
            self.close()
            raise
        finally:
            self._answer = None
        if not self._reader.reusable or self._transport.get_write_buffer_size():
            self.close()
        return self._reader.answer()

    async def _send(self, head: bytes, content: bytes) -> None:
        """Sends a large body in parts, so that it does not delay other requests."""
        self._transport.write(head)
        for start in range(0, len(content), _PIECE):
            if self._room is not None:
                await self._room
            if self._answer is None or self._answer.done():
                return  # early response, or failure: the rest is not needed
            self._transport.write(content[start : start + _PIECE])

    def fail(self, failure: Exception) -> None:
        """Fails the exchange in progress, if any, and closes the connection."""
        self._settle(failure)
        self.close()

    def close(self) -> None:
        """Closes the connection at once; unsent data is dropped."""
        self.open = False
        self._transport.abort()

    def _settle(self, failure: Exception | None) -> None:
        self.resume_writing()
        if self._answer is not None and not self._answer.done():
            if failure is None:
                self._answer.set_result(None)
            else:
                self._answer.set_exception(failure)

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            # Some proxies send a 408 when they close an idle connection: it is not the response to the next request.
            self.close()
            return
        try:
            self._reader.feed(data)
        except RequestFailed as failure:
            self.fail(failure)
            return
        if self._reader.complete:
            self._settle(None)
            return
        self._pieces += 1
        if self._pieces > _PIECES_AT_ONCE:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if self.open and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.open = False
        try:
            if self._answer is not None:
                self._reader.end()
        except RequestFailed as failure:
            self._settle(failure)
        else:
            self._settle(None)
        self._on_close(self)

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None
