"""Lines of a request body as it arrives. No more is held than one piece and the beginning of a line."""

import re
from collections.abc import AsyncGenerator, Mapping

from starlette.types import Message, Receive, Scope

from duly.errors import BodyTooLarge, RequestTimeout

# In the scope of a request whose body is too slow by `duly.api.server.connection_limits`.
LATE = "duly.late"
_TYPE = re.compile(rb"application/x-ndjson\s*(;.*)?", re.IGNORECASE)


def are_lines(headers: Mapping[bytes, bytes]) -> bool:
    """Returns whether the content type of a request is NDJSON."""
    return _TYPE.fullmatch(headers.get(b"content-type", b"")) is not None


class ClientGone(Exception):
    """The client disconnected before the end of its request; no response is sent."""


class LineSplitter:
    """Splits pieces into lines. A line longer than `longest` bytes becomes None."""

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self._begun = b""
        self._too_long = False

    def feed(self, piece: bytes) -> list[bytes | None]:
        """Returns the lines that end in this piece."""
        *ended, begun = piece.split(b"\n")
        lines: list[bytes | None] = []
        for line in ended:
            lines.append(self._whole(line))
            self._begun, self._too_long = b"", False
        self._begun = self._whole(begun) or b""
        return lines

    def end(self) -> list[bytes | None]:
        """Returns the last line, if it has no line feed."""
        return [self._whole(b"")]

    def _whole(self, rest: bytes) -> bytes | None:
        if self._too_long or len(self._begun) + len(rest) > self._longest:
            self._too_long = True
            return None
        return self._begun + rest


async def lines_of(receive: Receive, *, longest: int, most: int) -> AsyncGenerator[list[bytes | None]]:
    """Yields the lines of a body, some at a time, without empty ones.

    Raises:
        ClientGone: the client disconnected.
        BodyTooLarge: the body has more than `most` bytes.
        RequestTimeout: it arrived too slowly.
    """
    splitter, size, more = LineSplitter(longest=longest), 0, True
    while more:
        piece, more = await _receive(receive)
        size += len(piece)
        if size > most:
            raise too_large(most)
        lines = splitter.feed(piece)
        if not more:
            lines += splitter.end()
        if lines := [line for line in lines if line is None or line.strip()]:
            yield lines


async def _receive(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def punctual(scope: Scope, receive: Receive) -> Receive:
    """Returns a channel that raises RequestTimeout when the body is too slow."""

    async def receive_in_time() -> Message:
        message = await receive()
        if message.get("more_body"):
            refuse_late(scope)
        return message

    return receive_in_time


def refuse_late(scope: Scope) -> None:
    """Raises RequestTimeout if the connection found the body too slow."""
    if LATE in scope:
        raise RequestTimeout("Timed out reading the request body.", reason="The body arrived too slowly.")


def too_large(most: int) -> BodyTooLarge:
    """Returns the error of a body of too many bytes."""
    return BodyTooLarge(f"Body too large (limit: {most:,} bytes).", reason="Send the jobs as several batches.")
