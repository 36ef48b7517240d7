"""Connections to Postgres: a pool for reads, and sessions with pinned plans for the flows of hot statements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import date
from functools import partial
from typing import Any, NoReturn, TypeVar

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.connection_pool import ConnectionPool
from duly.store.postgres.database_connector import DatabaseConnector, Session, quoted
from duly.store.postgres.database_errors import (
    DRIVER,
    LOST,
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseOutage,
    DatabaseTimeout,
    PartitionMissing,
    RecordBusy,
    RecordRefused,
    error_of,
    translated,
)
from duly.store.postgres.database_url import location_of, parse_url, without_password
from duly.store.postgres.error_classes import PARTITION_MADE, POOLER
from duly.store.postgres.hot_connection import HotConnection
from duly.store.postgres.hot_sessions import HotSessions
from duly.store.postgres.partitions import ensure_partitions, is_there
from duly.store.postgres.plan_settings import PIN_PLANS, PINNED_PLANS
from duly.store.postgres.pooler_probe import keeps_sessions
from duly.store.postgres.turns import Turns

__all__ = [
    "LOST",
    "PINNED_PLANS",
    "Connection",
    "Database",
    "DatabaseError",
    "DatabaseMisconfigured",
    "DatabaseOutage",
    "DatabaseTimeout",
    "HotConnection",
    "PartitionMissing",
    "RecordBusy",
    "RecordRefused",
    "quoted",
    "translated",
]

Answer = TypeVar("Answer")

CLOSE_SECONDS = 3.0
CONNECTIONS = 6
# Connections that are shared with nobody: for LISTEN, and for the heartbeat.
OWN_CONNECTIONS = 2
# Pooled connections for periodic loops, which would otherwise open one each when a node starts; a second one while a
# statement of a loop takes long.
BACKGROUND_CONNECTIONS = 1
BACKGROUND_WHEN_STUCK = 2

# A hot statement takes milliseconds: without a response for this long its connection counts as broken.
STATEMENT_SECONDS = 15.0
# Bound of the use of a shared connection by a periodic loop.
BACKGROUND_SECONDS = 30.0
# Bound of the locks of a session that idles in a transaction, such as that of a frozen process.
IDLE_IN_TRANSACTION_SECONDS = 10.0


class Database:
    """Connections to one Postgres. Opens none until it is used.

    Args:
        url: its URL.
        connections: number of connections; a few more while statements hang. Two are for LISTEN and the heartbeat.
            The pool has up to half of the others, and the hot sessions those that the pool has not opened.
        transaction_pooling: behind a pooler in transaction mode.
        schema: schema of the tables (default: the search path of the role).
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = CONNECTIONS,
        transaction_pooling: bool = False,
        schema: str | None = None,
    ) -> None:
        target = parse_url(url)
        self._url = target.urls[0]
        self._role = target.role
        self.schema = schema
        self._connector = DatabaseConnector(
            target,
            schema=schema,
            pooled=transaction_pooling,
            note=lambda error: self.note(error),  # noqa: PLW0108  # `note` is replaced later
        )
        self._target = target
        self.listens = not transaction_pooling
        # Called with each error of the database, for example to count it.
        self.note: Callable[[DatabaseError], None] = lambda _: None
        self._shared = max(connections - OWN_CONNECTIONS, 2)
        self._pooled = self._shared // 2
        self._hot = HotSessions(self._connect_hot, most=self._shared)
        self._pool = ConnectionPool(
            self._url,
            self._connector,
            most=self._pooled,
            note=lambda error: self.note(error),  # noqa: PLW0108  # `note` is replaced later
            resized=self._share,
        )
        self._own: list[HotSessions] = []
        self._making = asyncio.Lock()
        self._background = Turns(BACKGROUND_CONNECTIONS, when_stuck=BACKGROUND_WHEN_STUCK)

    async def connect(self, settings: Mapping[str, str] | None = None, **more: Any) -> Connection:
        """Opens a dedicated connection with these session settings.

        Raises:
            DatabaseOutage: the server refuses it, or cannot be reached.
        """
        return await self._connector.connect(settings=settings or {}, **self._connector.arguments(), **more)

    async def keeps_sessions(self) -> bool:
        """Returns whether connections keep their sessions, which a pooler in transaction mode prevents. Asks the
        database, whatever the settings say.

        Raises:
            DatabaseOutage: it cannot be reached.
        """
        connector = DatabaseConnector(self._target, schema=None, pooled=True, note=self.note)
        with translated(self.note, role=self._role):
            return await keeps_sessions(partial(connector.connect, settings={}, **connector.arguments()))

    async def failing_hosts(self) -> dict[str, DatabaseError]:
        """Returns the error of each host of several that a fail-over could not use now, by its location."""
        if len(self._target.urls) == 1:
            return {}
        return {location_of(url): error for url, error in (await self._connector.failing_hosts()).items()}

    def _translating(self) -> "_ErrorTranslation":
        return _ErrorTranslation(self)

    async def raise_for(self, error: Exception) -> NoReturn:
        """Raises an error of the driver as one of Duly. After a missing partition was made, the statement may be
        repeated.
        """
        found = error_of(error, role=self._role)
        self.note(found)
        if found.error_class is POOLER:
            self._connector.statement_lost()
        if isinstance(found, PartitionMissing) and await self._partition_exists(found):
            raise DatabaseOutage(found.words, PARTITION_MADE) from error
        raise found from error

    async def _partition_exists(self, missing: PartitionMissing) -> bool:
        """Returns whether the partition exists now, made here or by another node."""
        async with self._making:
            try:
                made = await self._on_new_connection(ensure_partitions)
                if missing.day is None:
                    return bool(made)
                return await self._on_new_connection(partial(is_there, table=missing.table, day=missing.day))
            except DatabaseError:
                return False

    async def make_partitions(self, days: Collection[date] = ()) -> list[str]:
        """Creates missing partitions of the present days, and of the given ones. Returns the names.

        Raises:
            DatabaseOutage, RecordRefused: as described in `database_errors`; a role that is not the owner needs the
                owner's function.
        """
        return await self._on_new_connection(partial(ensure_partitions, days=days))

    async def _on_new_connection(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        """Runs work on a new connection: those of the pool may all be held by statements that wait for this."""
        connection = await self.connect()
        try:
            with translated(self.note, role=self._role):
                return await work(connection)
        finally:
            connection.terminate()

    @property
    def pool_use(self) -> tuple[int, int]:
        """Number of pooled connections in use, and their limit."""
        return self._pool.in_use, self._pool.limit

    @property
    def open_connections(self) -> int:
        """Number of open connections of this process."""
        return self._pool.size + sum(len(sessions) for sessions in (self._hot, *self._own))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yields a pooled connection for a read or a rare write; each statement commits by itself.

        Raises:
            DatabaseOutage, RecordRefused: as described in `database_errors`.
        """
        async with self._translating(), self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def background(self) -> AsyncIterator[Connection]:
        """Yields a pooled connection for a periodic loop, of the few that such loops share.

        Raises:
            DatabaseOutage, RecordRefused: as described in `database_errors`.
        """
        async with self._background.turn(), self.connection() as connection:
            try:
                async with asyncio.timeout(BACKGROUND_SECONDS):
                    yield connection
            except TimeoutError:
                connection.terminate()  # a server that does not respond would not respond to a cancellation either
                raise

    async def _share(self, pooled: int) -> None:
        """Leaves the hot sessions those of the shared connections that are not pooled."""
        await self._hot.keep_within(self._shared - min(pooled, self._pooled))

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Connection]:
        """Yields a pooled connection in a transaction with pinned plans, for rare statements that access hot tables by
        whole keys. Without it, finding 500 of 100,000 jobs took 27 s.

        Raises:
            DatabaseOutage, RecordRefused: as described in `database_errors`.
        """
        async with self.connection() as connection, connection.transaction():
            await connection.execute(PIN_PLANS)
            yield connection

    def hot(self, *, lock_seconds: float | None = None) -> HotConnection:
        """Returns a connection for one flow of statements, with pinned plans. Flows share sessions.

        Args:
            lock_seconds: bound of the wait for a lock; then the statement fails as busy.
        """
        return HotConnection(self._hot, self._translating, _hot_settings(lock_seconds))

    def own(self) -> HotConnection:
        """Returns a connection with a session of its own, for LISTEN, or for what must not wait for other flows."""
        self._own.append(HotSessions(self._connect_hot, most=1))
        return HotConnection(self._own[-1], self._translating, _hot_settings(None))

    async def _connect_hot(self, settings: Mapping[str, str]) -> Session:
        return await self._connector.connect(
            settings=settings, **self._connector.arguments(), command_timeout=STATEMENT_SECONDS
        )

    async def close(self) -> None:
        """Closes all connections; does not wait for a server that does not answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(sessions.close() for sessions in (self._hot, *self._own)))
                await self._pool.close()

    def __repr__(self) -> str:
        return f"Database({without_password(self._url)})"


class _ErrorTranslation:
    """Context that translates errors of the driver. A class, because every hot statement enters it."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and isinstance(error, DRIVER):
            await self._database.raise_for(error)


def _hot_settings(lock_seconds: float | None) -> dict[str, str]:
    return PINNED_PLANS | {
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS * 1000:.0f}",
        "lock_timeout": f"{(lock_seconds or 0) * 1000:.0f}",
    }
