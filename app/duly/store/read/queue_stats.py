"""How each queue stands: what waits and runs in it, since when, and how much comes and goes.

Counts are exact up to some thousand rows, by reading the key in order: a table that was long yesterday and is short
today is found short, whatever its size on disk. Beyond that they come from a sample of pages.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from duly.domain.job import DEFAULT_QUEUE
from duly.store.postgres.database import Connection
from duly.store.queue.ready import LANES
from duly.store.read.queue_depth import count_by_queue
from duly.store.schema.access_paths import PLANS

Table = Literal["ready", "scheduled", "blocked", "running"]

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
    """One queue. `oldest_seconds` is the age of the oldest job that could start now; rates are of the last minute."""

    queue: str
    ready: int
    scheduled: int
    blocked: int
    running: int
    oldest_seconds: float | None
    in_per_second: float
    out_per_second: float
    paused_at: datetime | None


COUNT = """
select queue, count(*) from (select queue from {table} where tenant_id = $1 order by {key} limit $2) f group by queue
"""
# Of a lane that has more than `$2`, no more are counted.
COUNT_LANES = f"""
select l.queue, sum(f.waiting)::int, bool_or(f.waiting >= $2) from ({LANES}) l
cross join lateral (
    select count(*) as waiting from (
        select from ready
        where queue = l.queue and type = l.type and priority = l.priority and tenant_id = $1
        order by job_id limit $2
    ) c
) f
group by l.queue
"""
# By the database's clock: since it was submitted, or since it may start where that is later. Without a tenant, of all.
OLDEST = f"""
select l.queue, max(extract(epoch from now() - greatest(j.created_at, j.run_at)))::float8 from ({LANES}) l
cross join lateral (
    select tenant_id, job_id from ready
    where queue = l.queue and type = l.type and priority = l.priority and ($1::int is null or tenant_id = $1)
    order by job_id limit 1
) r
cross join lateral (select created_at, run_at from jobs where tenant_id = r.tenant_id and job_id = r.job_id offset 0) j
group by l.queue
"""
PAUSED = "select queue, paused_at from queues where tenant_id = $1 and paused_at is not null"
LIMITED = "select name from limits where tenant_id = $1 and scope = 1"
# What the processes counted that live; their list is short.
RATES = """
select r.key, sum((r.value ->> 0)::float8), sum((r.value ->> 1)::float8) from nodes, json_each(rates) r
where heartbeat_at > now() - interval '1 minute'
group by r.key
"""


async def read_queues(connection: Connection, tenant_id: int) -> dict[str, QueueState]:
    """The default queue, and every other that holds unfinished jobs, was busy within the last minute, is paused, or
    has limits; by name.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        counts = {table: await _count(connection, table, tenant_id) for table in _KEYS}
        ages = await oldest_ages(connection, tenant_id)
        rates = {row[0]: (row[1], row[2]) for row in await connection.fetch(RATES)}
        paused = {row[0]: row[1] for row in await connection.fetch(PAUSED, tenant_id)}
        limited = {row[0] for row in await connection.fetch(LIMITED, tenant_id)}
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
    """Returns the seconds that the oldest ready job of each queue waits: of one tenant, or of all."""
    return {row[0]: max(0.0, row[1]) for row in await connection.fetch(OLDEST, tenant_id)}


async def _count(connection: Connection, table: Table, tenant_id: int) -> dict[str, int]:
    statement = COUNT.format(table=table, key=_KEYS[table])
    counts = {row[0]: row[1] for row in await connection.fetch(statement, tenant_id, COUNTED_IN_ALL)}
    if sum(counts.values()) < COUNTED_IN_ALL:
        return counts
    sampled = await count_by_queue(connection, table, tenant_id=tenant_id)
    if table == "ready":
        # A short queue beside a long one may have no row in the sample: as far as lanes can be counted, they are.
        for queue, waiting, more in await connection.fetch(COUNT_LANES, tenant_id, COUNTED_IN_A_LANE):
            sampled[queue] = max(sampled.get(queue, 0), waiting) if more else waiting
    return sampled


def nothing_in(queue: str) -> QueueState:
    """How a queue stands that no job is in."""
    return QueueState(queue, 0, 0, 0, 0, None, 0.0, 0.0, None)
