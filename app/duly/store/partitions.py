"""The partitions of the ledger, one a day: made some days ahead, dropped whole when all their jobs have long ended."""

import re
from datetime import UTC, date, datetime, timedelta

from duly.domain.ids import smallest_id_at
from duly.store.catalog_types import Connection
from duly.store.checkpoints import forget_checkpoints
from duly.store.database_errors import DatabaseUnfit
from duly.store.exclusive import PARTITIONS, hold, take
from duly.store.lent_partitions import make_lent, may_make

PARTITIONED = ("jobs", "events", "delivery_attempts", "job_logs", "messages")
HOT_TABLES = ("ready", "scheduled", "blocked", "running", "deliveries", "endings")
DAYS_AHEAD = 3
BATCH = 500
DETACH_SECONDS = 60.0

LIST = """
select c.relname as name, i.inhdetachpending as detaching
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass($1)
"""

TODAY = "select (now() at time zone 'utc')::date"


async def ensure_partitions(connection: Connection) -> list[str]:
    """Makes what is missing from yesterday (a client's clock may lag) to three days ahead. Returns the names made."""
    today = await connection.fetchval(TODAY)
    lacking = []
    for table in PARTITIONED:
        there = {row["name"] for row in await connection.fetch(LIST, table)}
        for ahead in range(-1, DAYS_AHEAD + 1):
            day = today + timedelta(days=ahead)
            if _name(table, day) not in there:
                lacking.append((table, day))
    if not lacking:
        return []
    may = await may_make(connection, PARTITIONED)
    if not may.owns and not may.lent:
        raise DatabaseUnfit(f"{lacking[0][0]} of {lacking[0][1]}", may.trouble)
    make = make_lent if may.lent and not may.owns else _make
    return [name for table, day in lacking for name in await make(connection, table, day)]


async def is_there(connection: Connection, *, table: str, day: date) -> bool:
    """Returns whether this day of the table has its partition."""
    return _name(table, day) in {row["name"] for row in await connection.fetch(LIST, table)}


async def _make(connection: Connection, table: str, day: date) -> list[str]:
    name, low, high = _name(table, day), _bound(day), _bound(day + timedelta(days=1))
    # Attached rather than created as a partition: that takes no lock which readers or writers would wait for.
    async with connection.transaction():
        await hold(connection, PARTITIONS)
        if await connection.fetchval("select to_regclass($1) is not null", name):
            return []
        await connection.execute("set local lock_timeout = '5s'")
        await connection.execute(f"create table {name} (like {table} including defaults)")
        await connection.execute(f"alter table {table} attach partition {name} for values from ('{low}') to ('{high}')")
    return [name]


async def drop_expired(connection: Connection, *, retention_days: int) -> list[str]:
    """Drops each day whose jobs all ended longer ago than the retention, and of which no webhook is unsent.

    Returns the names dropped. A day's tables go together: history without its job would be no history.
    """
    async with connection.transaction():  # held by a node of an older release for as long as it drops
        if not await take(connection, PARTITIONS):
            return []
    dropped = []
    for day in await _expired_days(connection, retention_days):
        if not await _in_use(connection, day) and not await _ended_lately(connection, day, retention_days):
            dropped += await _drop_day(connection, day)
    return dropped


async def _expired_days(connection: Connection, retention_days: int) -> list[date]:
    today = await connection.fetchval(TODAY)
    days = {
        datetime.strptime(match.group(1), "%Y%m%d").replace(tzinfo=UTC).date()
        for table in PARTITIONED
        for row in await connection.fetch(LIST, table)
        if (match := re.search(r"_(\d{8})$", row["name"]))
    }
    return sorted(day for day in days if day < today - timedelta(days=retention_days))


async def _in_use(connection: Connection, day: date) -> bool:
    low, high = smallest_id_at(_midnight(day)), smallest_id_at(_midnight(day + timedelta(days=1)))
    for table in HOT_TABLES:
        query = f"select exists (select from {table} where job_id >= $1 and job_id < $2)"  # names of our own
        if await connection.fetchval(query, low, high):
            return True
    return False


# The index of terminal events holds no times. The table is append-only, so its last pages hold the latest ends: they
# answer for a day that is kept, and the whole table is read once, just before it is dropped. The first page is a value
# of its own: the planner makes a range of pages of nothing that may change meanwhile.
PAGES = "select pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint"
ENDED_LATELY = """
select exists (
    select from {events}
    where kind >= 10 and occurred_at > now() - $1 * interval '1 day' and ctid >= $2::text::tid
)
"""
LAST_PAGES = 256


async def _ended_lately(connection: Connection, day: date, retention_days: int) -> bool:
    """Returns whether a job of this day ended within the retention, however old its id is."""
    events = _name("events", day)
    if not await connection.fetchval("select to_regclass($1) is not null", events):
        return False  # dropping this day was cut short
    query = ENDED_LATELY.format(events=events)
    pages = await connection.fetchval(PAGES, events)
    for first in (max(pages - LAST_PAGES, 0), 0):
        if await connection.fetchval(query, retention_days, f"({first},0)"):
            return True
    return False


async def _drop_day(connection: Connection, day: date) -> list[str]:
    # Before the tables: where this is cut short, the day is found again.
    low, high = smallest_id_at(_midnight(day)), smallest_id_at(_midnight(day + timedelta(days=1)))
    while await forget_checkpoints(connection, since=low, before=high, limit=BATCH) == BATCH:
        pass
    dropped = []
    for table in PARTITIONED:
        name = _name(table, day)
        state = {row["name"]: row["detaching"] for row in await connection.fetch(LIST, table)}
        if name in state:
            # Detaching concurrently waits for readers instead of stopping them; one that was cut short is completed.
            how = "finalize" if state[name] else "concurrently"
            await connection.execute(f"alter table {table} detach partition {name} {how}", timeout=DETACH_SECONDS)
            async with connection.transaction():
                await connection.execute("set local lock_timeout = '5s'")
                await connection.execute(f"drop table {name}")
            dropped.append(name)
    return dropped


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _bound(day: date) -> str:
    return str(smallest_id_at(_midnight(day)))
