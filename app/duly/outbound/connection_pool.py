"""Connection pool: bounds in total and for each origin; idle connections are kept for a while."""

import asyncio
from collections import Counter, defaultdict, deque
from typing import Final

from duly.deadline_queue import Deadlines
from duly.outbound.connection import HttpConnection
from duly.outbound.connector import Connector
from duly.outbound.response import RequestFailed
from duly.outbound.url import Destination, Origin

# Many servers close idle connections after 5 s; keeping them for less avoids half-closed ones.
_KEEP_ALIVE_SECONDS: Final = 4
_CLOSE_SECONDS: Final = 1


class ConnectionPool:
    """Pool of at most `connections` connections, `per_origin` of them to one origin; idle ones count."""

    def __init__(self, connector: Connector, *, connections: int, per_origin: int) -> None:
        self._connector = connector
        self._most = connections
        self._most_per_origin = per_origin
        # Includes connections in progress, which are not in `_open` yet.
        self._count: Counter[Origin] = Counter()
        self._open: set[HttpConnection] = set()
        self._idle: defaultdict[Origin, dict[HttpConnection, None]] = defaultdict(dict)
        self._resting: Deadlines[HttpConnection] = Deadlines(_KEEP_ALIVE_SECONDS, HttpConnection.close)
        self._freed = asyncio.Event()
        self._waiting: defaultdict[Origin, deque[asyncio.Future[None]]] = defaultdict(deque)
        self._closed = False

    def idle(self, origin: Origin) -> HttpConnection | None:
        """Returns an open connection until it is released, the last used one first, so that others can expire."""
        resting = self._idle.get(origin)
        while resting:
            connection, _ = resting.popitem()
            self._resting.take_out(connection)
            if connection.open:
                return connection
        return None

    async def connection(self, destination: Destination) -> HttpConnection:
        """Returns an idle connection, or a new one as soon as there is room.

        Raises:
            RequestFailed: no connection could be made.
        """
        origin = destination.origin
        while not self._has_room(origin):
            self._refuse_when_closed()
            if self._count[origin] >= self._most_per_origin:
                await self._turn(origin)
            else:
                self._freed.clear()
                await self._freed.wait()
            if connection := self.idle(origin):
                return connection
        return await self._new(destination)

    async def _turn(self, origin: Origin) -> None:
        """Waits until a connection of this origin is idle or closed. Hundreds may wait for an origin that hangs:
        connections to others must not wake them.
        """
        turn = asyncio.get_running_loop().create_future()
        self._waiting[origin].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._call(origin)  # passes its turn on
            raise

    def _call(self, origin: Origin) -> None:
        """Wakes the request that has waited longest for this origin."""
        while waiting := self._waiting.get(origin):
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(origin, None)

    def _has_room(self, origin: Origin) -> bool:
        if self._count[origin] >= self._most_per_origin:
            return False
        if self._count.total() >= self._most and len(self._resting):
            self._resting.oldest().close()  # makes room shortly
        return self._count.total() < self._most

    async def _new(self, destination: Destination) -> HttpConnection:
        self._refuse_when_closed()
        self._count[destination.origin] += 1
        try:
            connection = await self._connector.connect(destination, self._on_close)
        except BaseException:
            self._uncount(destination.origin)
            raise
        self._open.add(connection)
        if self._closed:
            connection.close()
        self._refuse_when_closed()
        return connection

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise RequestFailed("INVALID_RESPONSE", "the service is shutting down.")

    def release(self, connection: HttpConnection) -> None:
        """Returns a connection after an exchange; a broken one is dropped."""
        if connection.open:
            self._idle[connection.origin][connection] = None
            self._resting.put(connection)
            self._call(connection.origin)
            self._freed.set()

    def _on_close(self, connection: HttpConnection) -> None:
        if connection not in self._open:
            return  # it failed while it was made, which `_new` detects
        self._open.remove(connection)
        self._resting.take_out(connection)
        if resting := self._idle.get(connection.origin):
            resting.pop(connection, None)
        self._uncount(connection.origin)

    def _uncount(self, origin: Origin) -> None:
        self._count[origin] -= 1
        if not self._count[origin]:
            del self._count[origin]
            self._idle.pop(origin, None)
        self._call(origin)
        self._freed.set()

    async def aclose(self) -> None:
        """Closes all connections; exchanges in progress fail."""
        self._closed = True
        self._resting.close()
        for connection in self._open:
            connection.close()
        for origin, waiting in list(self._waiting.items()):
            for _ in range(len(waiting)):
                self._call(origin)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._open:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            pass
