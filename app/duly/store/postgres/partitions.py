"""Partitions of the ledger, one per day and table, created some days ahead."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from duly.domain.ids import smallest_id_at
from duly.store.postgres.advisory_locks import PARTITIONS, hold
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import DatabaseMisconfigured
from duly.store.postgres.partition_function import make_lent, may_make

PARTITIONED = ("jobs", "events", "delivery_attempts", "job_logs", "messages", "lease_ends", "steps", "signals")
DAYS_AHEAD = 3

LIST_PARTITIONS = """
select c.relname as name, i.inhdetachpending as detaching
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass($1)
"""

# Of several tables at once, since every start of a node lists those of all. During a migration, later revisions have
# not made all of the tables.
LIST_PARTITIONS_OF = """
select given.name, array(
    select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = to_regclass(given.name)
) from unnest($1::text[]) with ordinality as given (name, ordinal)
where to_regclass(given.name) is not null order by given.ordinal
"""

READ_TODAY = "select (now() at time zone 'utc')::date"


async def ensure_partitions(connection: Connection, days: Collection[date] = ()) -> list[str]:
    """Creates missing partitions from yesterday (for clients whose clocks lag) to three days ahead, and of these days.
    Returns the names.
    """
    today = await connection.fetchval(READ_TODAY)
    wanted = sorted({*days, *(today + timedelta(days=ahead) for ahead in range(-1, DAYS_AHEAD + 1))})
    there = await list_partitions(connection)
    lacking = [(table, day) for table in there for day in wanted if partition_name(table, day) not in there[table]]
    if not lacking:
        return []
    may = await may_make(connection, PARTITIONED)
    if not may.owns and not may.lent:
        raise DatabaseMisconfigured(f"{lacking[0][0]} of {lacking[0][1]}", may.error_class)
    make = make_lent if may.lent and not may.owns else _make
    return [name for table, day in lacking for name in await make(connection, table, day)]


async def list_partitions(connection: Connection) -> dict[str, set[str]]:
    """Returns the names of the partitions of each table that exists."""
    return {table: set(names) for table, names in await connection.fetch(LIST_PARTITIONS_OF, PARTITIONED)}


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
