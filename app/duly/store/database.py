"""The one door to Postgres: a pool for reads, connections kept for the hot statements, and what a lost one means."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeAlias, TypeVar

import asyncpg
import sqlalchemy
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

Connection: TypeAlias = Any  # asyncpg ships no types; statements say what they take and return
Result = TypeVar("Result")

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
    PoolTimeout,
    TimeoutError,
)

# Options of a URL that are passed on to the driver, under the driver's names.
URL_OPTIONS = {
    name: name for name in ("host", "port", "ssl", "passfile", "target_session_attrs", "krbsrvname", "gsslib")
} | {"sslmode": "ssl"}


class UrlWrong(ValueError):
    """The database URL cannot be used. The text repeats nothing of it that may be a password."""


def parse_url(url: str) -> sqlalchemy.URL:
    """The URL as the driver takes it, with the commonest options of libpq.

    Raises:
        UrlWrong: it is none, or not one of PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise UrlWrong("is not a URL such as postgresql://user:password@host:5432/database") from None
    if parsed.drivername not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise UrlWrong("does not begin with postgresql://")
    if unknown := sorted(parsed.query.keys() - URL_OPTIONS):
        raise UrlWrong(f"has the unknown option {unknown[0]!r}; known are {', '.join(sorted(URL_OPTIONS))}")
    query = {URL_OPTIONS[name]: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query)


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
    except DBAPIError as error:
        raise DatabaseAway(str(error.orig)) from error
    except SQLAlchemyError as error:
        raise DatabaseAway(str(error)) from error


class Database:
    """An engine on one Postgres. Opens nothing until it is used."""

    def __init__(self, url: str, *, connections: int = 10, transaction_pooling: bool = False) -> None:
        self._url = parse_url(url)
        self._statement_cache = 0 if transaction_pooling else 200
        self._settings = not transaction_pooling
        self.listens = not transaction_pooling
        self._hot: list[HotConnection] = []
        self._engine = create_async_engine(
            self._url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=5,
            pool_use_lifo=True,
            pool_pre_ping=True,  # one that broke while nobody used it is found out, and all as old as it replaced
            connect_args=self._arguments(READING_PLANS),
        )

    def _arguments(self, settings: Mapping[str, str]) -> dict[str, Any]:
        arguments: dict[str, Any] = {"timeout": 5, "statement_cache_size": self._statement_cache}
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
            async with self._engine.connect() as held:
                driver = await _driver(held)
                try:
                    yield driver
                finally:
                    # Its user was cancelled before it could roll back: nobody else is to find what it left.
                    if driver.is_in_transaction():
                        driver.terminate()

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
        engine = create_async_engine(
            self._url,
            poolclass=sqlalchemy.NullPool,
            connect_args=self._arguments(PINNED_PLANS) | {"command_timeout": STATEMENT_SECONDS},
        )
        self._hot.append(HotConnection(engine.connect))
        return self._hot[-1]

    async def run_synchronously(self, work: Callable[[sqlalchemy.Connection], Result]) -> Result:
        """Runs code that wants SQLAlchemy's own synchronous connection (Alembic)."""
        with translated():
            async with self._engine.connect() as held:
                return await held.run_sync(work)

    async def close(self) -> None:
        """Closes every connection, the kept ones too; a server that does not answer is not waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(hot.close() for hot in self._hot))
                await self._engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)})"


class HotConnection:
    """One connection kept for one flow; opened when first needed and opened again after it broke."""

    def __init__(self, connect: Callable[[], AsyncConnection]) -> None:
        self._connect = connect
        self._held: AsyncConnection | None = None
        self._driver: Connection = None
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
                    if self._driver is None or self._driver.is_closed():
                        await self._open()
                    yield self._driver
            except (DatabaseAway, asyncio.CancelledError):
                await self.close()
                raise

    @property
    def in_use(self) -> bool:
        return self._turn.locked()

    async def _open(self) -> None:
        await self.close()
        self._held = await self._connect()
        self._driver = await _driver(self._held)

    async def close(self) -> None:
        held, self._held, self._driver = self._held, None, None
        if held is not None:
            with suppress(OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await held.invalidate()
                await held.close()


async def _driver(held: AsyncConnection) -> Connection:
    return (await held.get_raw_connection()).driver_connection
