"""Facts about the surroundings of a job, which explain its state."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.explanation_facts import OpenBreaker, Parent, StartLimit
from duly.domain.job import Lane
from duly.store.ledger.ready_keys import in_lane
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.queue.nodes import leased_type_key
from duly.store.queue.ready import lanes_of_queue

MOST_AHEAD = 10_000
MOST_PARENTS = 20

READ_SURROUNDINGS = """
select now() as now,
       (select paused_at from queues where tenant_id = $1 and queue = $2) as paused_at,
       (
           select count(*)::int from nodes
           where not draining
             and ($3 = any(job_types) and 'worker' = any(roles) or $5 = any(leased_types))
       ) as workers,
       n.name, r.deadline, r.cancel_requested_at, r.started_at,
       j.concurrency_key, j.expires_at, c.job_id as holder, l.expires_at, l.worker_name
from jobs j
left join lateral (
    select node_id, deadline, cancel_requested_at, started_at from running
    where job_id = $4 and tenant_id = $1 offset 0
) r on true
left join nodes n on n.node_id = r.node_id
left join lateral (
    select expires_at, worker_name from leases where tenant_id = $1 and job_id = $4 offset 0
) l on true
left join lateral (
    select job_id from concurrency where tenant_id = $1 and key = j.concurrency_key offset 0
) c on true
where j.tenant_id = $1 and j.job_id = $4
"""


class JobSurroundings(NamedTuple):
    """Surroundings of a job, by the database's clock."""

    now: datetime
    paused_at: datetime | None
    workers: int
    node: str | None
    deadline: datetime | None
    cancel_requested_at: datetime | None
    started_at: datetime | None
    key: str | None
    expires_at: datetime | None
    holder: UUID | None
    lease_expires_at: datetime | None
    worker_name: str | None


async def read_surroundings(connection: Connection, tenant_id: int, job_id: UUID, lane: Lane) -> JobSurroundings:
    """Returns the surroundings of an existing job."""
    leased = leased_type_key(tenant_id, lane.type)
    row = await connection.fetchrow(READ_SURROUNDINGS, tenant_id, lane.queue, lane.type, job_id, leased)
    return JobSurroundings(*only(row))


# Lane by lane in the order of claims: higher priorities first, then by age. Counts at most the limit in each lane.
COUNT_AHEAD = f"""
{lanes_of_queue("$1", "$2")}
select least(sum(c.n), $5)::int from lane l cross join lateral (
    select count(*) as n from (
        select from ready where {in_lane("l")} and (l.priority > $3 or job_id < $4) limit $5
    ) r
) c
where l.priority >= $3
"""


async def count_ahead(connection: Connection, lane: Lane, job_id: UUID) -> int:
    """Returns the number of ready jobs of its queue ahead of this one, up to `MOST_AHEAD`."""
    return await connection.fetchval(COUNT_AHEAD, lane.tenant_id, lane.queue, lane.priority, job_id, MOST_AHEAD) or 0


READ_PARENTS = f"""
select d.parent_id,
       case when exists (select from running where job_id = d.parent_id and tenant_id = $1) then 'running'
            else coalesce((
                select case kind when {EventKind.COMPLETED:d} then 'completed' when {EventKind.FAILED:d} then 'failed'
                       when {EventKind.CANCELLED:d} then 'cancelled' else 'pending' end
                from events where job_id = d.parent_id and tenant_id = $1 order by sequence desc limit 1
            ), 'pending') end,
       count(*) over ()::int
from dependencies d where d.child_id = $2 and d.tenant_id = $1 order by d.parent_id limit $3
"""


async def read_parents(connection: Connection, tenant_id: int, job_id: UUID) -> tuple[Sequence[Parent], int]:
    """Returns the first dependencies that the job waits for, and their number."""
    rows = await connection.fetch(READ_PARENTS, tenant_id, job_id, MOST_PARENTS)
    return [Parent(row[0], row[1]) for row in rows], rows[0][2] if rows else 0


COUNT_BEFORE_IN_KEY = """
select count(*)::int from (
    select from blocked where tenant_id = $1 and concurrency_key = $2 and reason = 3 and job_id < $3 limit $4
) b
"""


async def count_before_in_key(connection: Connection, tenant_id: int, key: str, job_id: UUID) -> int:
    """Returns the number of jobs that have waited longer for the same concurrency key."""
    before: int = await connection.fetchval(COUNT_BEFORE_IN_KEY, tenant_id, key, job_id, MOST_AHEAD)
    return before


READ_LIMITS = """
select case scope when 1 then 'queue' else 'job type' end, name, concurrency,
       (select count(*)::int from running r where r.tenant_id = l.tenant_id
        and case l.scope when 1 then r.queue else r.type end = l.name),
       rate_count, rate_seconds, t.tokens,
       case when rate_count is not null
            then now() + greatest(1 - t.tokens, 0) * rate_seconds / rate_count * interval '1 second' end
from limits l cross join lateral (
    select least(rate_count, l.tokens + greatest(extract(epoch from now() - refilled_at), 0)::float8
                             * rate_count / rate_seconds) as tokens
) t
where tenant_id = $1 and ((scope = 1 and name = $2) or (scope = 2 and name = $3)) order by scope
"""


async def read_limits_of(connection: Connection, tenant_id: int, lane: Lane) -> list[StartLimit]:
    """Returns the limits of the job's queue and type, with their current use."""
    return [
        StartLimit(row[0], row[1], row[2], row[3], row[4], row[5], row[6] or 0.0, row[7])
        for row in await connection.fetch(READ_LIMITS, tenant_id, lane.queue, lane.type)
    ]


READ_OPEN_BREAKER = "select state, code, probe_at from breakers where tenant_id = $1 and type = $2 and state <> 0"


async def read_open_breaker(connection: Connection, lane: Lane) -> OpenBreaker | None:
    """Returns the circuit breaker of the tenant and type; None if it is closed."""
    row = await connection.fetchrow(READ_OPEN_BREAKER, lane.tenant_id, lane.type)
    return OpenBreaker(row[0] == 1, row[1], row[2]) if row is not None else None
