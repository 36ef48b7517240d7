"""Accepts connections, many in a round of the event loop.

uvloop's servers accept one in a round. Under load a round takes long, and a crowd of new clients would wait for seconds
before anything of theirs is read.
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
# Of a socket that several processes accept from, each takes few at a time, or the quickest would get them all.
AT_ONCE, AT_ONCE_OF_SHARED = 64, 2
# Where each takes the place of another one, those that have theirs go before those that come.
AT_ONCE_WHERE_FULL = 4
# Out of files: so many idle connections are closed, and after a moment the rest are accepted.
OUT_OF_FILES_SECONDS, CLOSED_AT_ONCE = 0.05, 16


class Acceptor:
    """Hands the connections of listening sockets to protocols. `refuse` makes the response where there is no place."""

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
        for listening in self._listening:
            listening.settimeout(0)
            listening.listen(BACKLOG)
            self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accepts no more; connections that stand are not touched."""
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
            except OSError as error:  # out of files or memory: what waits stays in the kernel's queue for a while
                log.warning(f"no connection can be accepted: {error}", action="accept_failed")
                self._connections.make_room(CLOSED_AT_ONCE)
                self._loop.remove_reader(listening)
                self._loop.call_later(OUT_OF_FILES_SECONDS, self._listen_again, listening)
                return
            self._begin(made, address[0])

    def _begin(self, made: socket.socket, host: str) -> None:
        made.settimeout(0)
        place = self._connections.take(host)
        if place is None:
            self._send_away(made, host)
            return
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(partial(self._make_protocol, made, place), made)
        )
        self._beginning.add(task)
        task.add_done_callback(partial(self._begun, place))

    def _send_away(self, made: socket.socket, host: str) -> None:
        with made, suppress(OSError):
            with suppress(BlockingIOError):
                made.recv(READ_FIRST)  # what is unread when a socket is closed makes its client lose the response
            made.send(self._refuse(host))

    def _begun(self, place: Place, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            place.leave()
            log.warning(f"a connection broke before it began: {error}", action="connection_broken")

    def _listen_again(self, listening: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(listening, self._accept, listening)
