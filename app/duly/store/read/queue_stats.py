"""Queue statistics: waiting and running jobs, age of the oldest, rates.

Counts are exact up to some thousand rows, which are read in key order: a table that was long and is short today is
counted as short, despite its size on disk. Larger counts come from a sample of pages, because counting ten million rows
takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from duly.domain.job import DEFAULT_QUEUE, WaitReason
from duly.domain.rate_keys import rate_prefix
from duly.store.ledger.ready_keys import at_key, in_lane
from duly.store.postgres.database import Connection
from duly.store.queue.limits import UNLIMITED, FlowLimits, Scope, limits_in
from duly.store.queue.ready import FIND_LANES, lanes_of_tenant
from duly.store.read.access_paths import PLANS

Table = Literal["ready", "scheduled", "blocked", "running", "deliveries", "inbox"]

# Tables up to this size (some 80,000 rows) are counted in full.
READ_IN_FULL_BYTES = 8 << 20

SAMPLE_SHARE = "select least(100, 100 * $2::float8 / greatest(pg_relation_size($1::text::regclass), 1))"
COUNTED_IN_ALL = 10_000
COUNTED_IN_A_LANE = 1_000
_KEYS: dict[Table, str] = {
    "ready": 'queue collate "C", type collate "C", priority, job_id',
    "blocked": "job_id",
    "running": "job_id",
}


@dataclass(frozen=True, slots=True)
class QueueState:
    """Statistics of one queue. `scheduled` jobs wait for a time, `parked` ones for what their handler waits for, `held`
    ones for a retry by hand. `oldest_seconds` is the age of the oldest ready job; rates are of the last minute.
    """

    queue: str
    ready: int
    scheduled: int
    parked: int
    held: int
    blocked: int
    running: int
    oldest_seconds: float | None
    in_per_second: float
    out_per_second: float
    paused_at: datetime | None
    limits: FlowLimits


COUNT_QUEUES = """
select queue, count(*) from (select queue from {table} where tenant_id = $1 order by {key} limit $2) f group by queue
"""
# Counts at most `$2` rows of a lane.
COUNT_LANES = f"""
{lanes_of_tenant("$1")}
select l.queue, sum(f.waiting)::int, bool_or(f.waiting >= $2) from lane l
cross join lateral (
    select count(*) as waiting from (select from ready where {in_lane("l")} order by job_id limit $2) c
) f
group by l.queue
"""
# Age by the database's clock since a job was ready: since its submission or, where later, `run_at` or the end of the
# last of its dependencies; after an attempt, a pause or a retry by hand, since the event that ended it. (The delay of a
# retry is not recorded, and counts.) Lanes are ordered by id: behind a job that was ready before, others may have
# waited longer, so more of them are read.
_LOOKED_AT = 20
_OLDEST_AGES = f"""
select l.queue, max(extract(epoch from now() - r.since))::float8 from {{lanes}} l
cross join lateral (select sequence from ready where {at_key("ready", "l")} offset 0) first
cross join lateral (
    select min(coalesce(case when w.sequence > 0 then (
        select occurred_at from events e
        where e.tenant_id = w.tenant_id and e.job_id = w.job_id and e.sequence = w.sequence limit 1
    ) end, (
        select greatest(j.created_at, j.run_at, (
            select max(p.occurred_at) from unnest(j.depends_on) as d (job_id) cross join lateral (
                select occurred_at from events
                where tenant_id = j.tenant_id and job_id = d.job_id order by sequence desc limit 1
            ) p
        ))
        from jobs j where j.tenant_id = w.tenant_id and j.job_id = w.job_id limit 1
    ))) as since
    from (
        select tenant_id, job_id, sequence from ready where {in_lane("l")} order by job_id
        limit case when first.sequence = 0 then 1 else {_LOOKED_AT} end
    ) w
) r
group by l.queue
"""
READ_OLDEST_AGES = lanes_of_tenant("$1") + _OLDEST_AGES.format(lanes="lane")
READ_ALL_OLDEST_AGES = _OLDEST_AGES.format(lanes=f"({FIND_LANES})")
READ_PAUSED = "select queue, paused_at from queues where tenant_id = $1 and paused_at is not null"
READ_LIMITED = f"""
select concurrency, rate_count, rate_seconds, name from limits where tenant_id = $1 and scope = {Scope.QUEUE:d}
"""
# Sums of the counters of live nodes, of the queues whose keys have this prefix: see `duly.domain.rate_keys`.
READ_RATES = """
select k.queue, sum((r.value ->> 0)::float8), sum((r.value ->> 1)::float8)
from nodes, json_each(rates) r cross join lateral (select substr(r.key, length($1::text) + 1) as queue) k
where heartbeat_at > now() - interval '1 minute' and left(r.key, length($1)) = $1 and strpos(k.queue, ' ') = 0
group by k.queue
"""


async def read_queues(connection: Connection, tenant_id: int) -> dict[str, QueueState]:
    """Returns, by name, the default queue and each queue that has unfinished jobs or limits, is paused, or was busy
    within the last minute.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        counts = {table: await _count(connection, table, tenant_id) for table in _KEYS}
        scheduled = await _count_scheduled(connection, tenant_id)
        ages = await oldest_ages(connection, tenant_id)
        rates = {row[0]: (row[1], row[2]) for row in await connection.fetch(READ_RATES, rate_prefix(tenant_id))}
        paused = {row[0]: row[1] for row in await connection.fetch(READ_PAUSED, tenant_id)}
        limits = {row[3]: limits_in(row) for row in await connection.fetch(READ_LIMITED, tenant_id)}
    names = {DEFAULT_QUEUE, *scheduled, *ages, *rates, *paused, *limits}.union(*counts.values())
    return {
        queue: QueueState(
            queue=queue,
            ready=counts["ready"].get(queue, 0),
            scheduled=scheduled.get(queue, NONE_SCHEDULED).waiting,
            parked=scheduled.get(queue, NONE_SCHEDULED).parked,
            held=scheduled.get(queue, NONE_SCHEDULED).held,
            blocked=counts["blocked"].get(queue, 0),
            running=counts["running"].get(queue, 0),
            oldest_seconds=ages.get(queue),
            in_per_second=rates.get(queue, (0.0, 0.0))[0],
            out_per_second=rates.get(queue, (0.0, 0.0))[1],
            paused_at=paused.get(queue),
            limits=limits.get(queue, UNLIMITED),
        )
        for queue in sorted(names)
    }


async def oldest_ages(connection: Connection, tenant_id: int | None = None) -> dict[str, float]:
    """Returns the seconds since the longest waiting job of each queue was ready, of one tenant or of all."""
    of_tenant = () if tenant_id is None else (tenant_id,)
    rows = await connection.fetch(READ_OLDEST_AGES if of_tenant else READ_ALL_OLDEST_AGES, *of_tenant)
    return {row[0]: max(0.0, row[1]) for row in rows if row[1] is not None}


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


class Scheduled(NamedTuple):
    """Number of jobs of a queue in `scheduled`: those that wait for a time, parked ones, and held ones."""

    waiting: int = 0
    parked: int = 0
    held: int = 0


NONE_SCHEDULED = Scheduled()
_PARKED = f"reason in ({WaitReason.TIMER:d}, {WaitReason.SIGNAL:d}, {WaitReason.CHILDREN:d})"
_HELD = f"reason = {WaitReason.HELD:d}"


_COUNT_SCHEDULED = f"""
select queue, count(*) filter (where not {_PARKED} and not {_HELD}), count(*) filter (where {_PARKED}),
       count(*) filter (where {_HELD})
"""
COUNT_SCHEDULED = f"""
{_COUNT_SCHEDULED}
from (select queue, reason from scheduled where tenant_id = $1 order by job_id limit $2) f group by queue
"""


async def _count_scheduled(connection: Connection, tenant_id: int) -> dict[str, Scheduled]:
    """Returns the numbers of a tenant's jobs in `scheduled` by queue, exact up to some thousand."""
    rows = await connection.fetch(COUNT_SCHEDULED, tenant_id, COUNTED_IN_ALL)
    counts = {row[0]: Scheduled(*row[1:]) for row in rows}
    if sum(sum(each) for each in counts.values()) < COUNTED_IN_ALL:
        return counts
    return await count_scheduled(connection, tenant_id=tenant_id)


async def count_scheduled(connection: Connection, *, tenant_id: int | None = None) -> dict[str, Scheduled]:
    """Returns the numbers of jobs in `scheduled` by queue, of one tenant or of all; a large table is sampled."""
    share: float = await connection.fetchval(SAMPLE_SHARE, "scheduled", READ_IN_FULL_BYTES)
    counted = f"""
        {_COUNT_SCHEDULED}
        from scheduled tablesample system ($1::real) where $2::int is null or tenant_id = $2 group by queue
    """
    rows = await connection.fetch(counted, share, tenant_id)
    return {row[0]: Scheduled(*(round(count * 100 / share) for count in row[1:])) for row in rows}


async def count_all(connection: Connection, table: Table) -> int:
    """Returns the number of rows; a large table is sampled."""
    share: float = await connection.fetchval(SAMPLE_SHARE, table, READ_IN_FULL_BYTES)
    counted = f"select count(*) from {table} tablesample system ($1::real)"
    found: int = await connection.fetchval(counted, share)
    scaled: float = found * 100 / share
    return round(scaled)


def joined_queue(parts: Sequence[QueueState]) -> QueueState:
    """Returns the statistics of a queue of which several databases have a part. Paused in any of them, it is paused."""
    pauses = [part.paused_at for part in parts if part.paused_at is not None]
    return QueueState(
        queue=parts[0].queue,
        ready=sum(part.ready for part in parts),
        scheduled=sum(part.scheduled for part in parts),
        parked=sum(part.parked for part in parts),
        held=sum(part.held for part in parts),
        blocked=sum(part.blocked for part in parts),
        running=sum(part.running for part in parts),
        oldest_seconds=max((part.oldest_seconds for part in parts if part.oldest_seconds is not None), default=None),
        in_per_second=sum(part.in_per_second for part in parts),
        out_per_second=sum(part.out_per_second for part in parts),
        paused_at=min(pauses, default=None),
        limits=next((part.limits for part in parts if part.limits != UNLIMITED), UNLIMITED),
    )


def nothing_in(queue: str) -> QueueState:
    """Returns the statistics of a queue without jobs."""
    return QueueState(queue, 0, 0, 0, 0, 0, 0, None, 0.0, 0.0, None, UNLIMITED)
