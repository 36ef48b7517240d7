"""Table `scheduled`: jobs that wait for a time, and their release to `ready`. Parked jobs: `duly.store.queue.park`."""

from collections.abc import Sequence
from enum import Enum
from uuid import UUID

from duly.domain.job import Lane, Mark, WaitReason
from duly.store.postgres.database import Connection
from duly.store.queue.ready import LaneStart

_TIME = f"{WaitReason.TIME:d}"
# Jobs that become ready for their first start and need a concurrency key are released by `duly.store.ties.placement`.
_KEYED = f"(marks & {Mark.KEYED:d} <> 0 and reason = {_TIME})"
_PLAIN = f"(reason in ({_TIME}, {WaitReason.RETRY:d}) and not {_KEYED})"
PARKED = f"reason in ({WaitReason.TIMER:d}, {WaitReason.SIGNAL:d})"
RELEASE_DUE = f"""
with due as materialized (
    select job_id from scheduled where run_at <= now() and {_PLAIN} and job_id <> all($2)
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
select tenant_id, queue, type, priority, job_id from gone
"""


async def release_due(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[LaneStart]:
    """Moves up to `limit` due jobs, except some, to `ready`. Returns the lane and the id of each."""
    return [LaneStart(Lane(*row[:4]), row[4]) for row in await connection.fetch(RELEASE_DUE, limit, exclude)]


class DueKind(Enum):
    """Due jobs by the statement that releases them; the value is its condition."""

    PLAIN = _PLAIN
    KEYED = _KEYED
    PARKED = PARKED


_FIND_FIRST_DUE = """
select job_id from scheduled where run_at <= now() and {kind} and job_id <> all($1) order by run_at limit 1
"""
FIND_FIRST_DUE = {kind: _FIND_FIRST_DUE.format(kind=kind.value) for kind in DueKind}


async def find_first_due(connection: Connection, kind: DueKind, *, exclude: Sequence[UUID]) -> list[UUID]:
    """Returns the job of this kind that is released next, if any."""
    return [row[0] for row in await connection.fetch(FIND_FIRST_DUE[kind], exclude)]


# The time of a job that waits for a signal without a timeout, or is held, is infinite.
READ_NEXT_DUE = """
select extract(epoch from min(run_at) - now())::float8 from scheduled where run_at < 'infinity' and job_id <> all($1)
"""


async def seconds_to_next(connection: Connection, *, exclude: Sequence[UUID] = ()) -> float | None:
    """Returns the seconds until the next job is due, by the database's clock; None if no other job is scheduled."""
    seconds: float | None = await connection.fetchval(READ_NEXT_DUE, exclude)
    return seconds
