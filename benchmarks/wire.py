"""HTTP/1.1 by hand, as little of it as a load generator and a webhook receiver need."""

import re
from typing import NamedTuple

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)


class Message(NamedTuple):
    """A request or an answer: its first line and headers, its body, and what follows it in the buffer."""

    head: bytes
    body: bytes
    rest: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])


def split_message(received: bytes) -> Message | None:
    """The first whole message in `received`; None while it is incomplete. ValueError for a chunked one."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[: end + 2]
    found = _LENGTH.search(head)
    if found is None and _CHUNKED.search(head):
        raise ValueError("a chunked message: the benchmark reads only messages that tell their length")
    start = end + 4
    stop = start + (int(found[1]) if found else 0)
    if len(received) < stop:
        return None
    return Message(head, received[start:stop], received[stop:])


def post(path: str, body: bytes) -> bytes:
    """A whole POST request of JSON, ready to be written to a kept-alive connection."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
