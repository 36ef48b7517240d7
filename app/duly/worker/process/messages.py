"""Words from a child process to the loop: datagrams on a pair of Unix sockets, so that a child killed half-way through
a word holds no lock and breaks no stream.
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
    """The parent's end; `theirs` is the child's. `hear` is called on the loop with the job, the kind of word, and its
    content.
    """

    def __init__(self, hear: Callable[[UUID, str, list[Any]], None]) -> None:
        self._hear = hear
        self._socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self.read)

    def read(self) -> bool:
        """Hears what has arrived; False where that was all."""
        for _ in range(ROUND):
            try:
                message = self._socket.recv(LARGEST + 1000)
            except OSError:  # nothing is there, or nobody any more
                return False
            if not message:
                self._loop.remove_reader(self._socket.fileno())
                return False
            job_id, kind, words = json.loads(message)
            self._hear(UUID(job_id), kind, words)
        return True

    def close(self) -> None:
        """Hears the last words first."""
        if self._socket.fileno() >= 0:
            while self.read():
                pass
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()


class Outbox:
    """A child's end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, job_id: UUID, kind: str, words: list[Any]) -> None:
        """Blocks while the parent is behind. A word too long for a datagram is shortened to its beginning."""
        message = json.dumps([str(job_id), kind, words]).encode()
        if len(message) > LARGEST:
            words = [word[:1000] if isinstance(word, str) else word for word in words[:2]] + [{}] * (len(words) > 2)  # noqa: PLR2004
            message = json.dumps([str(job_id), kind, words]).encode()
        self._socket.send(message)
