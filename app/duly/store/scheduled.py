"""The table `scheduled`: jobs that wait for a time; making them ready when it has come."""

from uuid import UUID

from duly.domain.job import Lane
from duly.store.database import Connection
from duly.store.ready import LaneStart

RELEASE_DUE = """
with due as materialized (
    select job_id from scheduled where run_at <= now() order by run_at limit $1 for update skip locked
),
gone as (
    delete from scheduled s using due d where s.job_id = d.job_id returning s.*
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, queue, type
    from gone
)
select queue, type, priority, job_id from gone
"""


async def release_due(connection: Connection, *, limit: int) -> list[LaneStart]:
    """Moves up to `limit` due jobs to `ready`. Returns where each went."""
    return [LaneStart(Lane(*row[:3]), row[3]) for row in await connection.fetch(RELEASE_DUE, limit)]


NEXT_DUE = "select extract(epoch from min(run_at) - now())::float8 from scheduled"


async def seconds_to_next(connection: Connection) -> float | None:
    """How long until the next job is due, by the database's clock; None where nothing is scheduled."""
    seconds: float | None = await connection.fetchval(NEXT_DUE)
    return seconds


# A job that waits is cancelled where it stands. `$3` to `$5` complete the key of its lane.
CANCEL_WAITING = """
with from_ready as (
    delete from ready where queue = $3 and type = $4 and priority = $5 and job_id = $2 and tenant_id = $1
    returning tenant_id, job_id, sequence + 1 as sequence, attempt, callback_events
),
from_scheduled as (
    delete from scheduled where job_id = $2 and tenant_id = $1
    returning tenant_id, job_id, sequence + 1 as sequence, attempt, callback_events
),
gone as (select * from from_ready union all select * from from_scheduled),
outbox as (
    insert into deliveries (tenant_id, job_id, sequence, kind)
    select tenant_id, job_id, sequence, 12 from gone where callback_events & 32 <> 0
)
insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
select tenant_id, job_id, sequence, 12, attempt, $6, $7::json from gone
returning sequence
"""


async def cancel_waiting(
    connection: Connection, tenant_id: int, job_id: UUID, *, lane: Lane, source: str, error: str
) -> int | None:
    """Cancels a job that waits. Returns its last sequence, or None where it does not wait (any more)."""
    sequence: int | None = await connection.fetchval(CANCEL_WAITING, tenant_id, job_id, *lane, source, error)
    return sequence
