"""Frames on the socket between a node and a child process: JSON texts, each after its length."""

import json
import socket
from typing import Any

_HEADER = 4


def encode_frame(value: Any) -> bytes:
    """Returns a value as it is sent."""
    text = json.dumps(value).encode()
    return len(text).to_bytes(_HEADER) + text


def send_frame(end: socket.socket, value: Any) -> None:
    """Sends a frame; blocks until the other end has room for it."""
    end.sendall(encode_frame(value))


def receive_frame(end: socket.socket) -> Any:
    """Receives a whole frame; blocks until it has arrived. Returns None if the other end has closed."""
    header = _exactly(end, _HEADER)
    text = header and _exactly(end, int.from_bytes(header))
    return json.loads(text) if text else None


def _exactly(end: socket.socket, count: int) -> bytes | None:
    """Receives this number of bytes; None if the other end has closed."""
    parts = bytearray()
    while len(parts) < count:
        part = end.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


class Frames:
    """Joins frames from the parts in which they arrive."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def take_in(self, part: bytes) -> list[Any]:
        """Returns the frames that this part completes."""
        self._parts += part
        whole = []
        while len(self._parts) >= _HEADER:
            end = _HEADER + int.from_bytes(self._parts[:_HEADER])
            if len(self._parts) < end:
                break
            whole.append(json.loads(bytes(self._parts[_HEADER:end])))
            del self._parts[:end]
        return whole
