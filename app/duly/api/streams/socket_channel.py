"""Sending side of one WebSocket."""

import asyncio

from starlette.types import Send

from duly.api.contract.error_responses import encoded

# Bytes written before the event loop gets a turn, in which it shows whether the client reads.
BURST_BYTES = 64 << 10


class SocketClosed(Exception):
    """The conversation ends. `code` closes the socket; None: the client has left."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


class SocketChannel:
    """Sends frames one at a time, each once the client takes it, so that none are buffered here."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._turn = asyncio.Lock()
        self._burst = 0

    async def send_object(self, members: dict[str, object], *, ref: str | None = None) -> None:
        """Sends a JSON object, with the `ref` of the message that it responds to.

        Raises:
            SocketClosed: the client has left.
        """
        await self.send_text(encoded(members | ({"ref": ref} if ref is not None else {})).decode())

    async def send_text(self, text: str) -> None:
        """Sends a frame. Returns when the socket takes more.

        Raises:
            SocketClosed: the client has left.
        """
        async with self._turn:
            try:
                await self._send({"type": "websocket.send", "text": text})
            except OSError:
                raise SocketClosed(None) from None
            self._burst += len(text)
            if self._burst > BURST_BYTES:
                self._burst = 0
                await asyncio.sleep(0)
