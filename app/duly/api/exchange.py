"""Exchange: one request and its response, as the gate and the access log see it."""

import time
from collections.abc import Sequence

from starlette.types import Message, Send


class Exchange:
    """Adds the request's id to the response, the headers in `also`, and the prefix to its `Location`. `status` is None
    until the response has begun; `code` is that of a refusal.
    """

    __slots__ = ("_prefix", "_request_id", "_send", "also", "began", "code", "location", "status")

    def __init__(self, send: Send, request_id: bytes, prefix: str) -> None:
        self._send = send
        self._prefix = prefix.encode()
        self._request_id = request_id
        self.also: Sequence[tuple[bytes, bytes]] = ()
        self.began = time.perf_counter()
        self.status: int | None = None
        self.location: bytes | None = None
        self.code: str | None = None

    @property
    def begun(self) -> bool:
        """Returns whether the response has begun."""
        return self.status is not None

    async def send(self, message: Message) -> None:
        """Sends a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *self.also, (b"x-request-id", self._request_id)]
            for index, (name, value) in enumerate(headers):
                if name.lower() == b"location":
                    self.location = value
                    if self._prefix and value.startswith(b"/"):
                        headers[index] = (name, self._prefix + value)
            message["headers"] = headers
        await self._send(message)
