"""Minimal HTTP/1.1 for load generators and webhook receivers."""

import re
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Message(NamedTuple):
    """Request or response: first line and headers, body, and the bytes after it in the buffer."""

    head: bytes
    body: bytes
    rest: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])


def split_message(received: bytes) -> Message | None:
    """Returns the first message in `received`; None while it is incomplete. Raises ValueError for a chunked one."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[: end + 2]
    found = _LENGTH.search(head)
    if found is None and _CHUNKED.search(head):
        raise ValueError("chunked message; only messages with a Content-Length are supported")
    start = end + 4
    stop = start + (int(found[1]) if found else 0)
    if len(received) < stop:
        return None
    return Message(head, received[start:stop], received[stop:])


def post(path: str, body: bytes) -> bytes:
    """Returns a complete POST request with JSON for a keep-alive connection."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
