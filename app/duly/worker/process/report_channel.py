"""Messages from a child process to the event loop: datagrams on a pair of Unix sockets.

A child that is killed while it sends holds no lock and breaks no stream.
"""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

LARGEST = 60_000
ROUND = 100


class Inbox:
    """The parent's end; `child_end` is the child's. `hear` is called on the event loop with job, kind and content."""

    def __init__(self, hear: Callable[[UUID, str, list[Any]], None]) -> None:
        self._on_message = hear
        self._socket, self.child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.read)

    def read(self) -> bool:
        """Handles the messages that have arrived. Returns False if there were no more."""
        for _ in range(ROUND):
            try:
                message = self._socket.recv(LARGEST + 1000)
            except OSError:  # nothing has arrived, or the other end is closed
                return False
            if not message:
                self._loop.remove_reader(self._socket.fileno())
                return False
            job_id, kind, content = json.loads(message)
            self._on_message(UUID(job_id), kind, content)
        return True

    def close(self) -> None:
        """Handles the last messages and closes."""
        if self._socket.fileno() >= 0:
            while self.read():
                pass
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class Outbox:
    """The child's end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, job_id: UUID, kind: str, content: list[Any]) -> None:
        """Sends a message; blocks while the parent is behind. A message too long for a datagram is cut."""
        message = json.dumps([str(job_id), kind, content]).encode()
        if len(message) > LARGEST:
            first = [each[:1000] if isinstance(each, str) else each for each in content[:2]]
            content = first + [{}] * (len(content) > 2)  # noqa: PLR2004  # the fields of a log line
            message = json.dumps([str(job_id), kind, content]).encode()
        self._socket.send(message)
