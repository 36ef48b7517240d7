"""The connections to Postgres: a pool for reads, one kept for each hot flow of statements, and the errors of both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias

import asyncpg

from duly.store.catalog_types import CatalogTypesConnection
from duly.store.database_url import parse_url, without_password

Connection: TypeAlias = Any  # asyncpg ships no types; statements say what they take and return

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

CLOSE_SECONDS = 3.0
GRACE_SECONDS = 2.0
CONNECT_SECONDS = 5.0
# A connection of the pool that nobody needed for so long is closed.
IDLE_SECONDS = 60.0
# The loops that look at the database now and then share this many connections of the pool: all at once, as when a node
# starts, they would open one each.
BACKGROUND_CONNECTIONS = 2

# A hot statement takes milliseconds: one that is not answered for so long counts as a connection that broke.
STATEMENT_SECONDS = 15.0

# All that says nothing of the statement itself: the same one may succeed a moment later.
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
)


class DatabaseAway(Exception):
    """The database cannot be reached now; the statement may or may not have been carried out."""


class RecordRefused(Exception):
    """Postgres refused a statement for what it holds; nothing of it was recorded."""


class RecordBusy(RecordRefused):
    """Another transaction held what the statement needs for longer than it may wait, or changed it first."""


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's many errors into the two that the verbs tell apart."""
    try:
        yield
    except LOST as error:
        raise DatabaseAway(f"{type(error).__name__}: {error}") from error
    except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
        raise RecordBusy(str(error)) from error
    except asyncpg.PostgresError as error:
        # Its first words only: the detail shows whole rows, with callers' secrets.
        raise RecordRefused(f"{type(error).__name__}: {error.args[0]}") from error


class Database:
    """Connections to one Postgres. Opens nothing until it is used."""

    def __init__(self, url: str, *, connections: int = 10, transaction_pooling: bool = False) -> None:
        self._url = parse_url(url)
        self._connections = connections
        self._statement_cache = 0 if transaction_pooling else 200
        self._settings = not transaction_pooling
        self.listens = not transaction_pooling
        self._hot: list[HotConnection] = []
        self._pool: Any = None
        self._background = asyncio.Semaphore(BACKGROUND_CONNECTIONS)

    async def connect(self, settings: Mapping[str, str] | None = None, **more: Any) -> Connection:
        """Opens a connection of the caller's own, with these settings of the session.

        Raises:
            DatabaseAway: the server refuses it; or what `translated` turns into that.
        """
        return await _connect(self._url, **self._arguments(settings or {}), **more)

    def _arguments(self, settings: Mapping[str, str]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "timeout": CONNECT_SECONDS,
            "statement_cache_size": self._statement_cache,
            "connection_class": CatalogTypesConnection,
        }
        if self._settings:
            arguments["server_settings"] = {"application_name": "duly", **settings}
        return arguments

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A pooled connection for a read or a rare write; each statement commits by itself.

        Raises:
            DatabaseAway, RecordRefused: see there.
        """
        with translated():
            pool = self._pool or await self._open_pool()
            async with pool.acquire(timeout=CONNECT_SECONDS) as held:
                try:
                    yield held
                finally:
                    # Its user was cancelled before it could roll back: nobody else is to find what it left.
                    with suppress(asyncpg.InterfaceError):  # it ended meanwhile, and belongs to nobody any more
                        if held.is_in_transaction():
                            held.terminate()

    @asynccontextmanager
    async def background(self) -> AsyncIterator[Connection]:
        """A pooled connection for a loop that looks now and then, of the few that such loops share.

        Raises:
            DatabaseAway, RecordRefused: see there.
        """
        async with self._background, self.connection() as connection:
            yield connection

    async def _open_pool(self) -> Any:
        """The pool, which opens connections as they are needed and hands out the one used last."""
        pool = asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            connect=_connect,
            reset=_leave_as_it_is,
            **self._arguments(READING_PLANS),
        )
        self._pool = await pool  # gives way to nobody: it opens no connection yet
        return self._pool

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Connection]:
        """A pooled connection in a transaction with plans pinned: for statements that are rare, but reach into the hot
        tables by whole keys. Of 100,000 jobs, to find 500 took 27 s without.

        Raises:
            DatabaseAway, RecordRefused: see there.
        """
        async with self.connection() as connection, connection.transaction():
            await connection.execute(_PIN)
            yield connection

    def hot(self) -> "HotConnection":
        """A connection of its own for one flow of statements, with plans pinned."""
        self._hot.append(HotConnection(lambda: self.connect(PINNED_PLANS, command_timeout=STATEMENT_SECONDS)))
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


class HotConnection:
    """One connection kept for one flow; opened when first needed and opened again after it broke."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._held: Connection = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, for one user at a time.

        Raises:
            DatabaseAway: it broke or cannot be opened; the next use opens a new one.
            RecordRefused: the statement was refused; the connection stays.
        """
        async with self._turn:
            try:
                with translated():
                    if self._held is None or self._held.is_closed():
                        self._held = None
                        self._held = await self._connect()
                    yield self._held
            except (DatabaseAway, asyncio.CancelledError):
                await self.close()
                raise

    @property
    def in_use(self) -> bool:
        return self._turn.locked()

    async def close(self) -> None:
        """Closes the connection, or drops it where the server does not answer."""
        held, self._held = self._held, None
        if held is None or held.is_closed():
            return
        try:
            await asyncio.shield(held.close(timeout=GRACE_SECONDS))
        except LOST:
            held.terminate()


async def _connect(*arguments: Any, **named: Any) -> Connection:
    """Connects; whatever the server says instead of serving, it is of no use now."""
    try:
        return await asyncpg.connect(*arguments, **named)
    except asyncpg.PostgresError as error:
        raise DatabaseAway(f"{type(error).__name__}: {error.args[0]}") from error


async def _leave_as_it_is(_: Connection) -> None:
    """Takes the place of asyncpg's reset, a query at each return: users leave the session as they found it."""
