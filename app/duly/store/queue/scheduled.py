"""Table `scheduled`: jobs that wait for a time, and their release to `ready`."""

from collections.abc import Sequence
from uuid import UUID

from duly.domain.job import Lane, Mark
from duly.store.postgres.database import Connection
from duly.store.queue.ready import LaneStart

# Jobs that become ready for their first start and need a concurrency key are released by `duly.store.ties.placement`.
RELEASE_DUE = f"""
with due as materialized (
    select job_id from scheduled
    where run_at <= now() and not (marks & {Mark.KEYED:d} <> 0 and reason = 0) and job_id <> all($2)
    order by run_at limit $1 for update skip locked
),
gone as (
    delete from scheduled s using due d where s.job_id = d.job_id returning s.*
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, expires_at, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           batch_id, expires_at, queue, type
    from gone
)
select queue, type, priority, job_id from gone
"""


async def release_due(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[LaneStart]:
    """Moves up to `limit` due jobs, except some, to `ready`. Returns the lane and the id of each."""
    return [LaneStart(Lane(*row[:3]), row[3]) for row in await connection.fetch(RELEASE_DUE, limit, exclude)]


FIND_FIRST_DUE = f"""
select job_id from scheduled
where run_at <= now() and (marks & {Mark.KEYED:d} <> 0 and reason = 0) = $1 and job_id <> all($2)
order by run_at limit 1
"""


async def find_first_due(connection: Connection, *, keyed: bool, exclude: Sequence[UUID]) -> list[UUID]:
    """Returns the job that is released next, if any."""
    return [row[0] for row in await connection.fetch(FIND_FIRST_DUE, keyed, exclude)]


READ_NEXT_DUE = "select extract(epoch from min(run_at) - now())::float8 from scheduled where job_id <> all($1)"


async def seconds_to_next(connection: Connection, *, exclude: Sequence[UUID] = ()) -> float | None:
    """Returns the seconds until the next job is due, by the database's clock; None if no other job is scheduled."""
    seconds: float | None = await connection.fetchval(READ_NEXT_DUE, exclude)
    return seconds
