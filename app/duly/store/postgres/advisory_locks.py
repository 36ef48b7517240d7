"""Advisory locks of a schema. They belong to transactions, so that no pooler can leak them.

The wait is bounded, and the error names the holder.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

import structlog

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import RecordBusy
from duly.store.postgres.error_classes import ErrorClass

log = structlog.stdlib.get_logger("duly.exclusive")

# A prepared statement keeps its snapshot until the next statement or the end of the transaction; this one is not
# prepared, and keeps none.
END_SNAPSHOT = "select"
LOOK_SECONDS = 0.1
# Longer waits are logged.
SILENT_SECONDS = 1.0
LONGEST_SECONDS = 60.0


class AdvisoryLock(NamedTuple):
    """Lock of a schema. Its key in the schema `public` is that of releases without schemas."""

    number: int
    purpose: str

    @property
    def key(self) -> str:
        """Returns the query for its key."""
        return f"""
select case current_schema() when 'public' then {self.number}
       else hashtextextended('duly ' || coalesce(current_schema(), ''), {self.number}) end
"""

    @property
    def taking(self) -> str:
        """Returns the query that tries to acquire it."""
        return f"select pg_try_advisory_xact_lock(({self.key}))"

    @property
    def holder(self) -> str:
        """Returns the query for its holder."""
        return f"""
select a.pid, a.application_name, a.usename, a.client_addr, a.state
from pg_locks l join pg_stat_activity a using (pid), (select ({self.key}) as key) k
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and (l.classid::bigint << 32 | l.objid::bigint) = k.key
"""


MIGRATION = AdvisoryLock(7305808870034470001, "migrating")
PARTITIONS = AdvisoryLock(7305808870034470002, "making partitions")
# Separate from making partitions, because dropping waits for readers.
DROPPING = AdvisoryLock(7305808870034470004, "dropping partitions")
REPAIR = AdvisoryLock(7305808870034470003, "repairing")
# Of the cell that is written: copies of two processes would otherwise overtake each other.
COPYING = AdvisoryLock(7305808870034470005, "copying the configuration")


async def take(connection: Connection, lock: AdvisoryLock) -> bool:
    """Acquires the lock until the end of the caller's transaction; returns False if another session holds it."""
    return bool(await connection.fetchval(lock.taking))


async def hold(connection: Connection, lock: AdvisoryLock, *, seconds: float = LONGEST_SECONDS) -> None:
    """Acquires the lock until the end of the caller's transaction, waiting for other sessions.

    Raises:
        RecordBusy: another session holds it for longer; the message names it.
    """
    await _until_taken(connection, lock, lambda: take(connection, lock), seconds=seconds)


@asynccontextmanager
async def holding(connection: Connection, lock: AdvisoryLock) -> AsyncIterator[None]:
    """Holds the lock in a transaction of its own, without a snapshot, and waits for it in none: building an index
    concurrently waits for every transaction with an older snapshot.

    Raises:
        RecordBusy: another session holds it for long; the message names it.
    """
    async with AsyncExitStack() as stack:

        async def begin() -> bool:
            async with AsyncExitStack() as attempt:
                await attempt.enter_async_context(connection.transaction())
                if not await take(connection, lock):
                    return False
                await connection.execute(END_SNAPSHOT)
                stack.push_async_exit(attempt.pop_all())
            return True

        await _until_taken(connection, lock, begin, seconds=LONGEST_SECONDS)
        yield


async def _until_taken(
    connection: Connection, lock: AdvisoryLock, attempt: Callable[[], Awaitable[bool]], *, seconds: float
) -> None:
    began, logged = time.monotonic(), False
    while not await attempt():
        waited = time.monotonic() - began
        if waited >= SILENT_SECONDS and not logged:
            logged = True
            log.warning(
                f"waiting for the lock for {lock.purpose}, held by {await _holder(connection, lock)}",
                action="lock_waits",
            )
        if waited >= seconds:
            raise RecordBusy(await _holder(connection, lock), _held(lock, seconds))
        await asyncio.sleep(LOOK_SECONDS)


def _held(lock: AdvisoryLock, seconds: float) -> ErrorClass:
    return ErrorClass(
        "DATABASE_LOCKED",
        f"The database's lock for {lock.purpose} was held by another session for {seconds:g} s.",
        "wait for it, or end it with pg_terminate_backend",
    )


async def _holder(connection: Connection, lock: AdvisoryLock) -> str:
    row = await connection.fetchrow(lock.holder)
    if row is None:
        return "a session that has just ended"
    return f"pid {row[0]} ({row[1] or 'without application_name'}, user {row[2]}, {row[3] or 'local'}, {row[4]})"
