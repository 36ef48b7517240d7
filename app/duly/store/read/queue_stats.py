"""Queue statistics: waiting and running jobs, age of the oldest, rates.

Counts are exact up to some thousand rows, which are read in key order: a table that was long and is short today is
counted as short, despite its size on disk. Larger counts come from a sample of pages, because counting ten million rows
takes seconds.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from duly.domain.job import DEFAULT_QUEUE
from duly.store.postgres.database import Connection
from duly.store.queue.ready import FIND_LANES
from duly.store.read.access_paths import PLANS

Table = Literal["ready", "scheduled", "blocked", "running", "deliveries"]

# Tables up to this size (some 80,000 rows) are counted in full.
READ_IN_FULL_BYTES = 8 << 20

SAMPLE_SHARE = "select least(100, 100 * $2::float8 / greatest(pg_relation_size($1::text::regclass), 1))"
COUNTED_IN_ALL = 10_000
COUNTED_IN_A_LANE = 1_000
_KEYS: dict[Table, str] = {
    "ready": "queue, type, priority, job_id",
    "scheduled": "job_id",
    "blocked": "job_id",
    "running": "job_id",
}


@dataclass(frozen=True, slots=True)
class QueueState:
    """Statistics of one queue. `oldest_seconds` is the age of the oldest ready job; rates are of the last minute."""

    queue: str
    ready: int
    scheduled: int
    blocked: int
    running: int
    oldest_seconds: float | None
    in_per_second: float
    out_per_second: float
    paused_at: datetime | None


COUNT_QUEUES = """
select queue, count(*) from (select queue from {table} where tenant_id = $1 order by {key} limit $2) f group by queue
"""
# Counts at most `$2` rows of a lane.
COUNT_LANES = f"""
select l.queue, sum(f.waiting)::int, bool_or(f.waiting >= $2) from ({FIND_LANES}) l
cross join lateral (
    select count(*) as waiting from (
        select from ready
        where queue = l.queue and type = l.type and priority = l.priority and tenant_id = $1
        order by job_id limit $2
    ) c
) f
group by l.queue
"""
# Age by the database's clock, since the submission or, where later, `run_at`. A null tenant selects all.
READ_OLDEST_AGES = f"""
select l.queue, max(extract(epoch from now() - greatest(j.created_at, j.run_at)))::float8 from ({FIND_LANES}) l
cross join lateral (
    select tenant_id, job_id from ready
    where queue = l.queue and type = l.type and priority = l.priority and ($1::int is null or tenant_id = $1)
    order by job_id limit 1
) r
cross join lateral (select created_at, run_at from jobs where tenant_id = r.tenant_id and job_id = r.job_id offset 0) j
group by l.queue
"""
READ_PAUSED = "select queue, paused_at from queues where tenant_id = $1 and paused_at is not null"
READ_LIMITED = "select name from limits where tenant_id = $1 and scope = 1"
# Sums of the counters of live nodes.
READ_RATES = """
select r.key, sum((r.value ->> 0)::float8), sum((r.value ->> 1)::float8) from nodes, json_each(rates) r
where heartbeat_at > now() - interval '1 minute'
group by r.key
"""


async def read_queues(connection: Connection, tenant_id: int) -> dict[str, QueueState]:
    """Returns, by name, the default queue and each queue that has unfinished jobs or limits, is paused, or was busy
    within the last minute.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        counts = {table: await _count(connection, table, tenant_id) for table in _KEYS}
        ages = await oldest_ages(connection, tenant_id)
        rates = {row[0]: (row[1], row[2]) for row in await connection.fetch(READ_RATES)}
        paused = {row[0]: row[1] for row in await connection.fetch(READ_PAUSED, tenant_id)}
        limited = {row[0] for row in await connection.fetch(READ_LIMITED, tenant_id)}
    names = {DEFAULT_QUEUE, *ages, *rates, *paused, *limited}.union(*counts.values())
    return {
        queue: QueueState(
            queue=queue,
            ready=counts["ready"].get(queue, 0),
            scheduled=counts["scheduled"].get(queue, 0),
            blocked=counts["blocked"].get(queue, 0),
            running=counts["running"].get(queue, 0),
            oldest_seconds=ages.get(queue),
            in_per_second=rates.get(queue, (0.0, 0.0))[0],
            out_per_second=rates.get(queue, (0.0, 0.0))[1],
            paused_at=paused.get(queue),
        )
        for queue in sorted(names)
    }


async def oldest_ages(connection: Connection, tenant_id: int | None) -> dict[str, float]:
    """Returns the age in seconds of the oldest ready job of each queue, of one tenant or of all."""
    return {row[0]: max(0.0, row[1]) for row in await connection.fetch(READ_OLDEST_AGES, tenant_id)}


async def _count(connection: Connection, table: Table, tenant_id: int) -> dict[str, int]:
    statement = COUNT_QUEUES.format(table=table, key=_KEYS[table])
    counts = {row[0]: row[1] for row in await connection.fetch(statement, tenant_id, COUNTED_IN_ALL)}
    if sum(counts.values()) < COUNTED_IN_ALL:
        return counts
    sampled = await count_by_queue(connection, table, tenant_id=tenant_id)
    if table == "ready":
        # A sample may miss a short queue beside a long one, so lanes are counted as far as possible.
        for queue, waiting, more in await connection.fetch(COUNT_LANES, tenant_id, COUNTED_IN_A_LANE):
            sampled[queue] = max(sampled.get(queue, 0), waiting) if more else waiting
    return sampled


async def count_by_queue(connection: Connection, table: Table, *, tenant_id: int | None = None) -> dict[str, int]:
    """Returns the number of rows by queue, of one tenant or of all; a large table is sampled."""
    share: float = await connection.fetchval(SAMPLE_SHARE, table, READ_IN_FULL_BYTES)
    counted = f"""
        select queue, count(*) from {table} tablesample system ($1::real)
        where $2::int is null or tenant_id = $2 group by queue
    """
    return {row[0]: round(row[1] * 100 / share) for row in await connection.fetch(counted, share, tenant_id)}


async def count_all(connection: Connection, table: Table) -> int:
    """Returns the number of rows; a large table is sampled."""
    share: float = await connection.fetchval(SAMPLE_SHARE, table, READ_IN_FULL_BYTES)
    counted = f"select count(*) from {table} tablesample system ($1::real)"
    found: int = await connection.fetchval(counted, share)
    scaled: float = found * 100 / share
    return round(scaled)


def nothing_in(queue: str) -> QueueState:
    """Returns the statistics of a queue without jobs."""
    return QueueState(queue, 0, 0, 0, 0, None, 0.0, 0.0, None)
