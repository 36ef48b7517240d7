"""Partitions of the ledger, one per day and table, created some days ahead."""

from datetime import UTC, date, datetime, timedelta

from duly.domain.ids import smallest_id_at
from duly.store.postgres.advisory_locks import PARTITIONS, hold
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import DatabaseMisconfigured
from duly.store.postgres.partition_function import make_lent, may_make

PARTITIONED = ("jobs", "events", "delivery_attempts", "job_logs", "messages")
DAYS_AHEAD = 3

LIST_PARTITIONS = """
select c.relname as name, i.inhdetachpending as detaching
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass($1)
"""

READ_TODAY = "select (now() at time zone 'utc')::date"


async def ensure_partitions(connection: Connection) -> list[str]:
    """Creates missing partitions from yesterday (for clients whose clocks lag) to three days ahead.
    Returns the names.
    """
    today = await connection.fetchval(READ_TODAY)
    lacking = []
    for table in PARTITIONED:
        there = {row["name"] for row in await connection.fetch(LIST_PARTITIONS, table)}
        for ahead in range(-1, DAYS_AHEAD + 1):
            day = today + timedelta(days=ahead)
            if partition_name(table, day) not in there:
                lacking.append((table, day))
    if not lacking:
        return []
    may = await may_make(connection, PARTITIONED)
    if not may.owns and not may.lent:
        raise DatabaseMisconfigured(f"{lacking[0][0]} of {lacking[0][1]}", may.error_class)
    make = make_lent if may.lent and not may.owns else _make
    return [name for table, day in lacking for name in await make(connection, table, day)]


async def is_there(connection: Connection, *, table: str, day: date) -> bool:
    """Returns whether the table has the partition of this day."""
    return partition_name(table, day) in {row["name"] for row in await connection.fetch(LIST_PARTITIONS, table)}


async def _make(connection: Connection, table: str, day: date) -> list[str]:
    name, low, high = partition_name(table, day), _bound(day), _bound(day + timedelta(days=1))
    # Attached rather than created as a partition, which needs no lock that blocks readers or writers.
    async with connection.transaction():
        await hold(connection, PARTITIONS)
        if await connection.fetchval("select to_regclass($1) is not null", name):
            return []
        await connection.execute("set local lock_timeout = '5s'")
        await connection.execute(f"create table {name} (like {table} including defaults)")
        await connection.execute(f"alter table {table} attach partition {name} for values from ('{low}') to ('{high}')")
    return [name]


def partition_name(table: str, day: date) -> str:
    """Returns the name of a partition."""
    return f"{table}_{day:%Y%m%d}"


def midnight(day: date) -> datetime:
    """Returns the beginning of a day in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _bound(day: date) -> str:
    return str(smallest_id_at(midnight(day)))
