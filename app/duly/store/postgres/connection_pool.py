"""Pool of connections for reads and rare writes, whose users take turns on a few."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_connector import DatabaseConnector, Session
from duly.store.postgres.database_errors import DatabaseError, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER, NO_CONNECTION
from duly.store.postgres.plan_settings import READING_PLANS
from duly.store.postgres.turns import Turns

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

# Pooled connections that are idle for this long are closed.
IDLE_SECONDS = 75.0
# Bound of the pool when users wait for long, since those in use are all held by slow statements.
MOST_WHEN_STUCK = 10


class ConnectionPool:
    """Connections that are opened on demand, and handed out the last used one first.

    Args:
        url: address for the driver's pool; the connector chooses the host.
        most: number of connections, unless users wait for long.
        note: called with each error.
        resized: called with the number of open connections before one is opened, and after one was closed.
    """

    def __init__(
        self,
        url: str,
        connector: DatabaseConnector,
        *,
        most: int,
        note: Callable[[DatabaseError], None],
        resized: Callable[[int], Awaitable[None]],
    ) -> None:
        self._url = url
        self._connector = connector
        self._note = note
        self._resized = resized
        self._turns = Turns(most)
        self._pool: Pool | None = None
        # Open connections, and those that are being opened.
        self._wanted = 0
        self._telling: set[asyncio.Task[None]] = set()
        self.limit = max(most, MOST_WHEN_STUCK)

    @property
    def size(self) -> int:
        """Number of open connections."""
        return 0 if self._pool is None else self._pool.get_size()

    @property
    def in_use(self) -> int:
        """Number of connections in use."""
        return 0 if self._pool is None else self._pool.get_size() - self._pool.get_idle_size()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yields a connection; each statement commits by itself.

        Raises:
            DatabaseOutage: none can be opened, or all are in use for long.
        """
        async with self._turns.turn():
            pool = self._pool or await self._made()
            held = await self._acquired(pool)
            try:
                yield held
            except asyncpg.ReadOnlySQLTransactionError:
                held.terminate()  # a former primary; the next connection may reach the new one
                raise
            finally:
                # A cancelled user may leave a transaction open.
                with suppress(asyncpg.InterfaceError):  # closed meanwhile
                    if held.is_in_transaction():
                        held.terminate()
                await pool.release(held)

    async def _acquired(self, pool: Pool) -> "PoolConnectionProxy[asyncpg.Record]":
        try:
            return await pool.acquire(timeout=self._connector.pool_seconds)
        except TimeoutError:
            found = (
                DatabaseOutage(f"all {self.in_use} connections are in use", NO_CONNECTION)
                if self.in_use >= self.limit
                else DatabaseOutage(f"no connection within {self._connector.seconds:g} s", NO_ANSWER)
            )
            self._note(found)
            raise found from None

    async def _made(self) -> Pool:
        arguments = {**self._connector.arguments(), "connect": self._connect}
        pool: Pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self.limit,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            reset=_leave_as_it_is,
            **arguments,
        )
        await pool  # does not yield: it opens no connection yet
        self._pool = pool
        return pool

    async def _connect(self, *_: object, **arguments: Any) -> Session:
        """Opens a connection for the driver's pool, which passes on the connector's arguments."""
        self._wanted += 1
        try:
            await self._resized(self._wanted)
            connection = await self._connector.connect(settings=READING_PLANS, **arguments)
        except BaseException:
            self._closed()
            raise
        connection.add_termination_listener(self._closed)
        return connection

    def _closed(self, _: object = None) -> None:
        self._wanted -= 1
        telling = asyncio.ensure_future(self._resized(self._wanted))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Closes all connections, after their use."""
        if self._pool is not None:
            await self._pool.close()


async def _leave_as_it_is(_: Connection) -> None:
    """Replaces asyncpg's reset, which is a query at each release: users leave the session clean."""
