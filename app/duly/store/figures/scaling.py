"""Reads the load of a tenant's queues and job types, for the scaling signal.

Counts are bounded: a lane is counted up to a thousand rows, a longer one is estimated from a sample of pages.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from duly.store.ledger.ready_keys import in_lane
from duly.store.postgres.database import Connection
from duly.store.queue.limits import Scope
from duly.store.queue.ready import lanes_of_tenant
from duly.store.read.queue_stats import COUNTED_IN_A_LANE, READ_IN_FULL_BYTES, SAMPLE_SHARE

Kind = tuple[str, str]  # queue and type
RATE_SECONDS = 60.0
MOST_ARRIVALS = 60_000


class Waiting(NamedTuple):
    """Ready jobs of one queue and type, and the age of the oldest."""

    jobs: int
    oldest_seconds: float


# Null stands for any queue or type. Filtered lanes are passed by without counting them.
COUNT_READY = f"""
{lanes_of_tenant("$1")}
select l.queue, l.type, sum(f.jobs)::int, bool_or(f.jobs >= $2),
       greatest(0, max(extract(epoch from now() - greatest(j.created_at, j.run_at))))::float8
from lane l
cross join lateral (
    select count(*) as jobs from (select from ready where {in_lane("l")} order by job_id limit $2) c
) f
cross join lateral (
    select created_at, run_at from jobs where tenant_id = l.tenant_id and job_id = l.job_id offset 0
) j
where ($3::text is null or l.queue = $3) and ($4::text is null or l.type = $4)
group by l.queue, l.type
"""


async def count_waiting(
    connection: Connection, tenant_id: int, *, queue: str | None, job_type: str | None
) -> dict[Kind, Waiting]:
    """Returns the ready jobs by queue and type."""
    rows = await connection.fetch(COUNT_READY, tenant_id, COUNTED_IN_A_LANE, queue, job_type)
    sampled: dict[Kind, int] = {}
    if any(row[3] for row in rows):
        share: float = await connection.fetchval(SAMPLE_SHARE, "ready", READ_IN_FULL_BYTES)
        counted = """
            select queue, type, count(*) from ready tablesample system ($1::real)
            where tenant_id = $2 and ($3::text is null or queue = $3) and ($4::text is null or type = $4)
            group by queue, type
        """
        found = await connection.fetch(counted, share, tenant_id, queue, job_type)
        sampled = {(row[0], row[1]): round(row[2] * 100 / share) for row in found}
    return {
        (row[0], row[1]): Waiting(max(row[2], sampled.get((row[0], row[1]), 0)) if row[3] else row[2], row[4])
        for row in rows
    }


class Running(NamedTuple):
    """Attempts in progress of one queue and type, and their mean age."""

    attempts: int
    mean_seconds: float


COUNT_RUNNING = """
select queue, type, count(*)::int, avg(greatest(0, extract(epoch from now() - started_at)))::float8 from running
where tenant_id = $1 and ($2::text is null or queue = $2) and ($3::text is null or type = $3)
group by queue, type
"""


async def count_running(
    connection: Connection, tenant_id: int, *, queue: str | None, job_type: str | None
) -> dict[Kind, Running]:
    """Returns the attempts in progress by queue and type."""
    rows = await connection.fetch(COUNT_RUNNING, tenant_id, queue, job_type)
    return {(row[0], row[1]): Running(row[2], row[3]) for row in rows}


class QueueRate(NamedTuple):
    """Jobs submitted per second in the last one to two minutes; mean time of an attempt within the last hour."""

    arrival_rate: float = 0.0
    run_seconds: float | None = None


# The current minute has just begun, as a rule: the previous one is counted as well.
READ_RATES = """
select n.queue,
       sum(f.submitted) filter (where f.minute >= w.since)::float8 / extract(epoch from now() - w.since)::float8,
       sum(f.run_seconds) / nullif(sum(f.ran), 0)
from (select date_trunc('minute', now()) - interval '1 minute' as since) w
cross join queue_names n
cross join lateral (
    select minute, submitted, ran, run_seconds from minute_figures
    where tenant_id = $1 and queue = n.queue collate "C" and minute >= w.since - interval '1 hour'
) f
where n.tenant_id = $1 and ($2::text is null or n.queue = $2)
group by n.queue, w.since
"""


async def read_rates(connection: Connection, tenant_id: int, *, queue: str | None) -> Mapping[str, QueueRate]:
    """Returns the rates of queues that the tenant uses, from the figures of minutes."""
    rows = await connection.fetch(READ_RATES, tenant_id, queue)
    return defaultdict(QueueRate, {row[0]: QueueRate(row[1] or 0.0, row[2]) for row in rows})


COUNT_ARRIVALS = """
select count(*) from (
    select from jobs
    where tenant_id = $1 and type = $2 and type <> '' and job_id >= $3 and ($4::text is null or queue = $4) limit $5
) j
"""


async def arrivals_of_type(
    connection: Connection, tenant_id: int, job_type: str, *, since: UUID, queue: str | None
) -> int:
    """Returns the number of jobs of this type with an id since this one, up to 60,000."""
    found: int = await connection.fetchval(COUNT_ARRIVALS, tenant_id, job_type, since, queue, MOST_ARRIVALS)
    return found


class Restrictions(NamedTuple):
    """Paused queues, and concurrency limits by name."""

    paused: set[str]
    of_queues: dict[str, int]
    of_types: dict[str, int]


READ_PAUSED = "select queue from queues where tenant_id = $1 and paused_at is not null"
READ_LIMITS = "select scope, name, concurrency from limits where tenant_id = $1 and concurrency is not null"


async def read_restrictions(connection: Connection, tenant_id: int) -> Restrictions:
    """Returns what keeps jobs of this tenant from starting."""
    paused = {row[0] for row in await connection.fetch(READ_PAUSED, tenant_id)}
    limits = await connection.fetch(READ_LIMITS, tenant_id)
    of = {scope: {row[1]: row[2] for row in limits if row[0] == scope} for scope in (Scope.QUEUE, Scope.TYPE)}
    return Restrictions(paused, of[Scope.QUEUE], of[Scope.TYPE])


SUM_SLOTS = """
select coalesce(sum(slots), 0)::int from nodes
where 'worker' = any(roles) and not draining and ($1::text is null or $1 = any(job_types))
"""


async def sum_slots(connection: Connection, *, job_type: str | None) -> int:
    """Returns the slots of live workers that have a handler for this type, or for any."""
    found: int = await connection.fetchval(SUM_SLOTS, job_type)
    return found
