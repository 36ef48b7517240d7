"""Acceptor of connections: several per iteration of the event loop.

uvloop's servers accept one per iteration. Under load an iteration takes long, and many new clients would wait for
seconds before their requests are read.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog

from duly.api.server.connection_limits import Connections, Place

log = structlog.stdlib.get_logger("duly.accepting")

BACKLOG = 2048
READ_FIRST = 64 << 10
# On a socket shared by processes each accepts few at a time, or the quickest process would get all.
AT_ONCE, AT_ONCE_OF_SHARED = 64, 2
# If each new one replaces an old one, existing connections have priority.
AT_ONCE_WHERE_FULL = 4
# Out of file descriptors: this many idle connections are closed, and accepting resumes after the pause.
OUT_OF_FILES_SECONDS, CLOSED_AT_ONCE = 0.05, 16


class Acceptor:
    """Passes connections of listening sockets to protocols. `refuse` makes the response if the limit is reached."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        make_protocol: Callable[[socket.socket, Place], asyncio.Protocol],
        *,
        connections: Connections,
        refuse: Callable[[str], bytes],
        shared: bool,
    ) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._connections = connections
        self._refuse = refuse
        self._at_once = AT_ONCE_OF_SHARED if shared else AT_ONCE
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[object]] = set()
        self._closed = False

    def start(self) -> None:
        """Starts accepting."""
        for listening in self._listening:
            listening.settimeout(0)
            listening.listen(BACKLOG)
            self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Stops accepting; open connections stay."""
        self._closed = True
        for listening in self._listening:
            self._loop.remove_reader(listening)

    def _accept(self, listening: socket.socket) -> None:
        at_once = min(self._at_once, AT_ONCE_WHERE_FULL) if self._connections.full else self._at_once
        for _ in range(at_once):
            try:
                made, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of file descriptors or memory: connections wait in the kernel's queue
                log.warning(f"cannot accept connections: {error}", action="accept_failed")
                self._connections.make_room(CLOSED_AT_ONCE)
                self._loop.remove_reader(listening)
                self._loop.call_later(OUT_OF_FILES_SECONDS, self._listen_again, listening)
                return
            self._begin(made, address[0])

    def _begin(self, made: socket.socket, host: str) -> None:
        made.settimeout(0)
        place = self._connections.take(host)
        if place is None:
            self._refuse_connection(made, host)
            return
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(partial(self._make_protocol, made, place), made)
        )
        self._beginning.add(task)
        task.add_done_callback(partial(self._begun, place))

    def _refuse_connection(self, made: socket.socket, host: str) -> None:
        with made, suppress(OSError):
            with suppress(BlockingIOError):
                made.recv(READ_FIRST)  # closing a socket with unread bytes makes its client lose the response
            made.send(self._refuse(host))

    def _begun(self, place: Place, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            place.leave()
            log.warning(f"connection failed before it began: {error}", action="connection_broken")

    def _listen_again(self, listening: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listening, self._accept, listening)
