"""The way out of a request: what every answer gets, and what is remembered of it for the access log."""

import time

from starlette.types import Message, Send


class Exchange:
    """Puts the request's id on the answer and the prefix before its `Location`. Knows how it went: `status` is None
    until an answer has begun, `code` is that of a refusal.
    """

    __slots__ = ("_prefix", "_request_id", "_send", "began", "code", "location", "status")

    def __init__(self, send: Send, request_id: bytes, prefix: str) -> None:
        self._send = send
        self._prefix = prefix.encode()
        self._request_id = request_id
        self.began = time.perf_counter()
        self.status: int | None = None
        self.location: bytes | None = None
        self.code: str | None = None

    @property
    def begun(self) -> bool:
        """Whether an answer is under way."""
        return self.status is not None

    async def send(self, message: Message) -> None:
        """Sends a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [self._told(*header) for header in message.get("headers", ())]
            message["headers"] = [*headers, (b"x-request-id", self._request_id)]
        await self._send(message)

    def _told(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        if name.lower() != b"location":
            return name, value
        self.location = value
        return name, self._prefix + value if value.startswith(b"/") else value
