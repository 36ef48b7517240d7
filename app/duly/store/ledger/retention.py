"""Retention: drops the partitions of a day once all its jobs ended longer ago than the retention."""

import re
from datetime import UTC, date, datetime, timedelta

from duly.domain.events import FIRST_TERMINAL
from duly.domain.ids import smallest_id_at
from duly.store.ledger.checkpoints import delete_checkpoints
from duly.store.ledger.retention_holds import is_held
from duly.store.postgres.advisory_locks import PARTITIONS, take
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.partitions import (
    LIST_PARTITIONS,
    PARTITIONED,
    READ_TODAY,
    list_partitions,
    midnight,
    partition_name,
)

HOT_TABLES = ("ready", "scheduled", "blocked", "running", "deliveries", "endings")
BATCH = 500
DETACH_SECONDS = 60.0


# A day holds jobs of all tenants, so the longest retention of any tenant applies to all.
LONGEST = "select greatest($1::int, (select max(retention_days) from tenants))"


async def longest_retention(connection: Connection, retention_days: int) -> int:
    """Returns the longest retention of any tenant; `retention_days` is that of tenants without one."""
    longest: int = await connection.fetchval(LONGEST, retention_days)
    return longest


async def drop_expired(connection: Connection, *, retention_days: int) -> list[str]:
    """Drops each day whose jobs all ended longer ago than the retention, that has no unsent webhook, and that no hold
    keeps.

    Returns the names dropped. The tables of a day are dropped together, since history without its job is useless.
    """
    async with connection.transaction():  # a node of an older release holds the lock while it drops
        if not await take(connection, PARTITIONS):
            return []
    dropped = []
    retention_days = await longest_retention(connection, retention_days)
    for day in await _days_before(connection, retention_days):
        if await _in_use(connection, day) or await is_held(connection, day):
            continue
        if not await _ended_lately(connection, day, retention_days):
            dropped += await _drop_day(connection, day)
    return dropped


async def any_expired(connection: Connection, *, retention_days: int) -> bool:
    """Returns whether a day is older than the retention, so that `drop_expired` may have something to drop."""
    return bool(await _days_before(connection, await longest_retention(connection, retention_days)))


async def _days_before(connection: Connection, retention_days: int) -> list[date]:
    """Returns the days with partitions that are older than this."""
    today = await connection.fetchval(READ_TODAY)
    days = {
        datetime.strptime(match.group(1), "%Y%m%d").replace(tzinfo=UTC).date()
        for names in (await list_partitions(connection)).values()
        for name in names
        if (match := re.search(r"_(\d{8})$", name))
    }
    return sorted(day for day in days if day < today - timedelta(days=retention_days))


async def _in_use(connection: Connection, day: date) -> bool:
    low, high = smallest_id_at(midnight(day)), smallest_id_at(midnight(day + timedelta(days=1)))
    for table in HOT_TABLES:
        query = f"select exists (select from {table} where job_id >= $1 and job_id < $2)"  # names of our own
        if await connection.fetchval(query, low, high):
            return True
    return False


# The index of terminal events has no times. The table is append-only, so its last pages have the latest ends: they
# decide for a day that is kept, and the whole table is scanned once, just before it is dropped. The first page is a
# parameter, because the planner makes a range scan of pages from constants only.
COUNT_PAGES = "select pg_relation_size($1::text::regclass) / current_setting('block_size')::bigint"
HAS_RECENT_ENDS = f"""
select exists (
    select from {{events}}
    where kind >= {FIRST_TERMINAL:d} and occurred_at > now() - $1 * interval '1 day' and ctid >= $2::text::tid
)
"""
LAST_PAGES = 256


async def _ended_lately(connection: Connection, day: date, retention_days: int) -> bool:
    """Returns whether a job of this day, however old its id is, ended within the retention."""
    events = partition_name("events", day)
    if not await connection.fetchval("select to_regclass($1) is not null", events):
        return False  # an earlier drop of this day was interrupted
    query = HAS_RECENT_ENDS.format(events=events)
    pages = await connection.fetchval(COUNT_PAGES, events)
    for first in (max(pages - LAST_PAGES, 0), 0):
        if await connection.fetchval(query, retention_days, f"({first},0)"):
            return True
    return False


async def _drop_day(connection: Connection, day: date) -> list[str]:
    # Deleted before the tables, so that the day is found again after an interruption.
    low, high = smallest_id_at(midnight(day)), smallest_id_at(midnight(day + timedelta(days=1)))
    while await delete_checkpoints(connection, since=low, before=high, limit=BATCH) == BATCH:
        pass
    dropped = []
    for table in PARTITIONED:
        name = partition_name(table, day)
        state = {row["name"]: row["detaching"] for row in await connection.fetch(LIST_PARTITIONS, table)}
        if name in state:
            # A concurrent detach waits for readers instead of blocking them; an interrupted one is completed.
            how = "finalize" if state[name] else "concurrently"
            await connection.execute(f"alter table {table} detach partition {name} {how}", timeout=DETACH_SECONDS)
            async with connection.transaction():
                await connection.execute("set local lock_timeout = '5s'")
                await connection.execute(f"drop table {name}")
            dropped.append(name)
    return dropped
