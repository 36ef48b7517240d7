"""A request's body as it comes: as lines, of which no more is held than one piece and the beginning of a line."""

import re
from collections.abc import AsyncGenerator, Mapping

from starlette.types import Message, Receive, Scope

from duly.errors import BodyTooLarge, RequestTimeout

# In the scope of a request whose body is too slow, see `duly.api.server.connection_limits`.
LATE = "duly.late"
_TYPE = re.compile(rb"application/x-ndjson\s*(;.*)?", re.IGNORECASE)


def are_lines(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request says that its body is one JSON value a line."""
    return _TYPE.fullmatch(headers.get(b"content-type", b"")) is not None


class ClientGone(Exception):
    """The client left before the end of its request: there is nobody to answer."""


class LineSplitter:
    """Cuts pieces into lines. In place of one that is longer than `longest` bytes comes None."""

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self._begun = b""
        self._too_long = False

    def feed(self, piece: bytes) -> list[bytes | None]:
        """The lines that end in this piece."""
        *ended, begun = piece.split(b"\n")
        lines: list[bytes | None] = []
        for line in ended:
            lines.append(self._whole(line))
            self._begun, self._too_long = b"", False
        self._begun = self._whole(begun) or b""
        return lines

    def end(self) -> list[bytes | None]:
        """The last line, where nothing ended it."""
        return [self._whole(b"")]

    def _whole(self, rest: bytes) -> bytes | None:
        if self._too_long or len(self._begun) + len(rest) > self._longest:
            self._too_long = True
            return None
        return self._begun + rest


async def lines_of(receive: Receive, *, longest: int, most: int) -> AsyncGenerator[list[bytes | None]]:
    """The lines of a body of up to `most` bytes, some at a time; those that hold nothing are left out.

    Raises:
        ClientGone: see there.
        BodyTooLarge: it goes on beyond that.
        RequestTimeout: it came too slowly.
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
    """Returns a channel that raises RequestTimeout once the body is too slow."""

    async def receive_in_time() -> Message:
        message = await receive()
        if message.get("more_body"):
            refuse_late(scope)
        return message

    return receive_in_time


def refuse_late(scope: Scope) -> None:
    """Raises RequestTimeout where the connection found the body too slow."""
    if LATE in scope:
        raise RequestTimeout("The body of the request did not arrive in time.", reason="It came too slowly.")


def too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body is larger than the {most:,} bytes that are allowed.",
        reason="Send the jobs as several batches.",
    )
