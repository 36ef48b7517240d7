"""Locks of the migrations. Each is waited for briefly, because all other statements queue up behind a waiting one, and
for less than `deadlock_timeout`, so that no statement of a running node is ended by a deadlock. A migration that did
not get one is rolled back and tried again.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import event

from duly.store.postgres.advisory_locks import END_SNAPSHOT
from duly.store.postgres.database import Connection, RecordBusy
from duly.store.postgres.error_classes import ErrorClass

log = structlog.stdlib.get_logger("duly.migrations")

# On a slow machine, transactions of nodes may hold a lock for longer than the first tries wait.
SHORTEST_WAIT_MILLISECONDS = 200
LONGEST_WAIT_MILLISECONDS = 800
# Between two tries, so that the queue of the other statements can pass.
SHORTEST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
# Longer waits are logged.
SILENT_SECONDS = 1.0
LONGEST_SECONDS = 60.0

LOCKED = ErrorClass(
    "DATABASE_LOCKED",
    f"A migration could not lock its tables within {LONGEST_SECONDS:g} s, because other transactions use them.",
    "wait for the oldest transaction, or end it with pg_terminate_backend, and run `duly migrate` again",
)

OLDEST_TRANSACTION = """
select pid, application_name, usename, extract(epoch from clock_timestamp() - xact_start)::float
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and (backend_xid is not null or backend_xmin is not null or state like 'idle in transaction%')
order by xact_start limit 1
"""

Result = TypeVar("Result")


def wait_briefly(connection: AlchemyConnection, milliseconds: int) -> None:
    """Bounds the wait for each lock in all transactions of a connection. Statements outside of transactions, which
    build indexes concurrently, have no bound: it would throw away an index that is almost built.
    """

    @event.listens_for(connection, "begin")
    def _bound(begun: AlchemyConnection) -> None:
        if begun.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            begun.exec_driver_sql(f"set local lock_timeout = {milliseconds:d}")


async def until_unlocked(connection: Connection, work: Callable[[int], Awaitable[Result]]) -> Result:
    """Runs work, again and again while it gets no lock.

    Args:
        connection: reads which session may hold the lock. Keeps no snapshot, which would hold up an index.
        work: waits so many milliseconds for each lock, and can be repeated after such an error.

    Raises:
        RecordBusy: it got no lock for a minute; the message names the session with the oldest transaction.
    """
    began, logged, pause, wait = time.monotonic(), False, SHORTEST_PAUSE_SECONDS, SHORTEST_WAIT_MILLISECONDS
    while True:
        try:
            return await work(wait)
        except RecordBusy:
            waited = time.monotonic() - began
            if waited >= LONGEST_SECONDS:
                raise RecordBusy(await _holder(connection), LOCKED) from None
        if waited >= SILENT_SECONDS and not logged:
            logged = True
            log.warning(
                f"a migration waits for tables in use; the oldest transaction is of {await _holder(connection)}",
                action="migration_waits",
            )
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311  # not a secret
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        wait = min(2 * wait, LONGEST_WAIT_MILLISECONDS)


async def _holder(connection: Connection) -> str:
    row = await connection.fetchrow(OLDEST_TRANSACTION)
    await connection.execute(END_SNAPSHOT)
    if row is None:
        return "a session that has just ended"
    return f"pid {row[0]} ({row[1] or 'without application_name'}, user {row[2]}, since {row[3]:.1f} s)"
