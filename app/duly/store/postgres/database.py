"""The connections to Postgres: a pool for reads, and one kept for each hot flow of statements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

import asyncpg

from duly.store.postgres.catalog_types import Connection
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
from duly.store.postgres.database_url import parse_url, without_password
from duly.store.postgres.error_classes import NO_ANSWER, NO_CONNECTION, PARTITION_MADE
from duly.store.postgres.hot_connection import HotConnection
from duly.store.postgres.partitions import ensure_partitions, is_there
from duly.store.postgres.session_settings import DirectConnection, PooledConnection

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
    "RecordBusy",
    "RecordRefused",
    "quoted",
    "translated",
]

# A plan made while a hot table was empty scans it for ever after: 47 k jobs/s fell to 13 k within 15 s. Where whole
# keys are the only way that is open, the plan is the same whatever the statistics say, so it is made once and kept:
# with 30 days of partitions, planning anew took 2.3 of the 2.9 ms of a small statement.
PINNED_PLANS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "jit": "off",
}
_PIN = "; ".join(f"set local {name} = {value}" for name, value in PINNED_PLANS.items())
READING_PLANS = {"plan_cache_mode": "force_custom_plan", "jit": "off"}

Answer = TypeVar("Answer")

CLOSE_SECONDS = 3.0
CONNECT_SECONDS = 5.0
# After these the next host is tried, as libpq does: it stands by, is starting, or has no room.
ELSEWHERE = (
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)
# A connection of the pool that nobody needed for so long is closed.
IDLE_SECONDS = 60.0
# The loops that look at the database now and then share this many connections of the pool: all at once, as when a node
# starts, they would open one each.
BACKGROUND_CONNECTIONS = 2

# A hot statement takes milliseconds: one that is not answered for so long counts as a connection that broke.
STATEMENT_SECONDS = 15.0
# The loops that share connections give them back by then, whatever the statement waits for.
BACKGROUND_SECONDS = 30.0
# A session that stands still in a transaction, as that of a frozen process does, keeps its locks no longer.
IDLE_IN_TRANSACTION_SECONDS = 10.0


class Database:
    """Connections to one Postgres. Opens nothing until it is used."""

    def __init__(
        self, url: str, *, connections: int = 10, transaction_pooling: bool = False, schema: str | None = None
    ) -> None:
        target = parse_url(url)
        self._urls = target.urls
        self._url = self._urls[0]
        self._role = target.role
        self._application_name = target.application_name
        self._connect_seconds = target.connect_seconds or CONNECT_SECONDS
        self.schema = schema
        # No other schema beside it: what lies in `public` belongs to another installation.
        self._searched = {} if schema is None else {"search_path": quoted(schema)}
        self._connections = connections
        self._pooled = transaction_pooling
        self.listens = not transaction_pooling
        # Called with each error of the database, as for a metric.
        self.note: Callable[[DatabaseError], None] = lambda _: None
        self._hot: list[HotConnection] = []
        self._pool: Any = None
        self._making = asyncio.Lock()
        self._background = asyncio.Semaphore(BACKGROUND_CONNECTIONS)

    async def connect(self, settings: Mapping[str, str] | None = None, **more: Any) -> Connection:
        """Opens a connection of the caller's own, with these settings of the session.

        Raises:
            DatabaseOutage: the server refuses it, or cannot be reached.
        """
        return await self._open(settings=settings or {}, **self._arguments(), **more)

    def _arguments(self) -> dict[str, Any]:
        """All that a session may be started with behind a pooler too; its settings follow as statements."""
        arguments: dict[str, Any] = {
            "timeout": self._connect_seconds,
            "statement_cache_size": 0 if self._pooled else 200,
            "connection_class": PooledConnection if self._pooled else DirectConnection,
        }
        if name := self._application_name or (None if self._pooled else "duly"):
            arguments["server_settings"] = {"application_name": name}
        return arguments

    async def _open(self, *_: object, settings: Mapping[str, str], **more: Any) -> Connection:
        """Connects to the first host that serves; whatever a server says instead, it is of no use now."""
        try:
            connection = await self._first(**more)
            await self._begin(connection, settings)
        except (asyncpg.PostgresError, *LOST) as error:
            found = error_of(error, role=self._role, connecting=True)
            self.note(found)
            raise found from error
        return connection

    async def _begin(self, connection: Connection, settings: Mapping[str, str]) -> None:
        try:
            async with asyncio.timeout(self._connect_seconds):
                await connection.begin_session({**self._searched, **settings})
        except BaseException:
            connection.terminate()
            raise

    async def _first(self, **more: Any) -> Connection:
        """The driver would try all hosts in the time of one: one that is silent would hide those after it."""
        *others, last = self._urls
        for url in others:
            try:
                return await asyncpg.connect(url, **more)
            except (OSError, *ELSEWHERE):
                continue
        return await asyncpg.connect(last, **more)

    def _mending(self) -> "_Mending":
        return _Mending(self)

    async def raise_for(self, error: Exception) -> NoReturn:
        """Raises an error of the driver as Duly's. Where a partition was missing and is made now, the statement may be
        tried again.
        """
        found = error_of(error, role=self._role)
        self.note(found)
        if isinstance(found, PartitionMissing) and await self._made_partition(found):
            raise DatabaseOutage(found.words, PARTITION_MADE) from error
        raise found from error

    async def _made_partition(self, missing: PartitionMissing) -> bool:
        """Returns whether the partition exists now, made here or by another node."""
        async with self._making:
            try:
                made = await self._on_its_own(ensure_partitions)
                if missing.day is None:
                    return bool(made)
                return await self._on_its_own(partial(is_there, table=missing.table, day=missing.day))
            except DatabaseError:
                return False

    async def make_partitions(self) -> list[str]:
        """Makes what is missing of the partitions of these days. Returns the names made.

        Raises:
            DatabaseOutage, RecordRefused: see there; a role that is not the owner needs the owner's function.
        """
        return await self._on_its_own(ensure_partitions)

    async def _on_its_own(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        """On a connection of its own: those of the pool may all be in use by what waits for this."""
        connection = await self.connect()
        try:
            with translated(self.note, role=self._role):
                return await work(connection)
        finally:
            connection.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection for a read or a rare write; each statement commits by itself.

        Raises:
            DatabaseOutage, RecordRefused: see there.
        """
        pool = self._pool or await self._open_pool()
        async with self._mending():
            held = await self._acquired(pool)
            try:
                yield held
            except asyncpg.ReadOnlySQLTransactionError:
                held.terminate()  # to a server that was the primary once; the next one may be to the new one
                raise
            finally:
                # Its user was cancelled before it could roll back: nobody else is to find what it left.
                with suppress(asyncpg.InterfaceError):  # it ended meanwhile, and belongs to nobody any more
                    if held.is_in_transaction():
                        held.terminate()
                await pool.release(held)

    async def _acquired(self, pool: Any) -> Connection:
        try:
            return await pool.acquire(timeout=self._connect_seconds * len(self._urls))
        except TimeoutError:
            in_use = pool.get_size() - pool.get_idle_size()
            found = (
                DatabaseOutage(f"all {in_use} are in use", NO_CONNECTION)
                if in_use >= self._connections
                else DatabaseOutage(f"it was not connected within {self._connect_seconds:g} s", NO_ANSWER)
            )
            self.note(found)
            raise found from None

    @asynccontextmanager
    async def background(self) -> AsyncIterator[Connection]:
        """A pooled connection for a loop that looks now and then, of the few that such loops share.

        Raises:
            DatabaseOutage, RecordRefused: see there.
        """
        async with self._background, self.connection() as connection:
            try:
                async with asyncio.timeout(BACKGROUND_SECONDS):
                    yield connection
            except TimeoutError:
                connection.terminate()  # a server that does not answer would not answer a cancellation either
                raise

    async def _open_pool(self) -> Any:
        """The pool, which opens connections as they are needed and hands out the one used last."""
        pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            connect=self._open,
            reset=_leave_as_it_is,
            settings=READING_PLANS,
            **self._arguments(),
        )
        self._pool = await pool  # gives way to nobody: it opens no connection yet
        return self._pool

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Connection]:
        """A pooled connection in a transaction with plans pinned: for statements that are rare, but reach into the hot
        tables by whole keys. Of 100,000 jobs, to find 500 took 27 s without.

        Raises:
            DatabaseOutage, RecordRefused: see there.
        """
        async with self.connection() as connection, connection.transaction():
            await connection.execute(_PIN)
            yield connection

    def hot(self, *, lock_seconds: float | None = None) -> "HotConnection":
        """A connection of its own for one flow of statements, with plans pinned.

        Args:
            lock_seconds: a statement waits no longer for a lock, and is busy then.
        """
        settings = PINNED_PLANS | {"idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS * 1000:.0f}"}
        if lock_seconds is not None:
            settings["lock_timeout"] = f"{lock_seconds * 1000:.0f}"
        open_hot = partial(self.connect, settings, command_timeout=STATEMENT_SECONDS)
        self._hot.append(HotConnection(open_hot, self._mending))
        return self._hot[-1]

    async def close(self) -> None:
        """Closes every connection, the kept ones too; a server that does not answer is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(hot.close() for hot in self._hot))
                if self._pool is not None:
                    await self._pool.close()

    def __repr__(self) -> str:
        return f"Database({without_password(self._url)})"


class _Mending:
    """Translates what is raised inside. A class, because it is entered with each hot statement."""

    __slots__ = ("_database",)

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, _: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and isinstance(error, DRIVER):
            await self._database.raise_for(error)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'


async def _leave_as_it_is(_: Connection) -> None:
    """Takes the place of asyncpg's reset, a query at each return: users leave the session as they found it."""
