"""Exchange: one request and its response, as the middleware and the access log see it."""

import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.types import Message, Receive, Scope, Send

from duly.api.server.security_headers import NO_REFERRER
from duly.telemetry.tracing import RequestSpans

RawHeaders = Sequence[tuple[bytes, bytes]]
# In a scope: function that sends a whole response at once.
RESPOND = "duly.respond"


class Exchange:
    """Adds the request id and the headers in `also` to the response, and the path prefix to its `Location`.

    `status` is None until the response has begun; `code` is the code of an error; `trace`: spans of a request that
    submits jobs, if its trace is sampled. `later` sends a response that lasts, after the routes have returned: their
    frames would take a third of its memory; it is only used if `sends_later`.
    """

    __slots__ = (
        *("_prefix", "_request_id", "_send", "also", "began", "code", "later", "location", "sends_later"),
        *("status", "trace"),
    )

    def __init__(self, send: Send, request_id: bytes, prefix: str) -> None:
        self._send = send
        self._prefix = prefix.encode()
        self._request_id = request_id
        self.also: RawHeaders = ()
        self.began = time.perf_counter()
        self.status: int | None = None
        self.location: bytes | None = None
        self.code: str | None = None
        self.trace: RequestSpans | None = None
        self.sends_later = False
        self.later: Callable[[Receive, Send], Awaitable[None]] | None = None

    @property
    def begun(self) -> bool:
        """Returns whether the response has begun."""
        return self.status is not None

    async def send(self, message: Message) -> None:
        """Sends a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = message.get("headers", ())
            policy = () if any(name == NO_REFERRER[0] for name, _ in given) else (NO_REFERRER,)
            message["headers"] = self._completed((*given, *policy))
        await self._send(message)

    def respond(self, scope: Scope, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Sends a whole response at once. Returns False if it must be sent as ASGI messages."""
        respond = scope.get(RESPOND)
        if respond is None or not respond(scope, status, self._completed(headers), body):
            return False
        self.status = status
        return True

    def _completed(self, given: RawHeaders) -> RawHeaders:
        headers = [*given, *self.also, (b"x-request-id", self._request_id)]
        for index, (name, value) in enumerate(headers):
            if name == b"location":
                self.location = value
                if self._prefix and value.startswith(b"/"):
                    headers[index] = (name, self._prefix + value)
        return headers
