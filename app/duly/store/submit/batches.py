"""Tables `batches` and `batch_tallies`: jobs submitted together, and the counts of their ends."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL
from duly.domain.job import NewBatch, NewJob
from duly.store.postgres.database import Connection

RECORD_BATCH = """
insert into batches (tenant_id, batch_id, name, first_id, last_id, total, then_job)
values ($1, $2, $3, $4, $5, $6, $7::json)
on conflict do nothing
"""
READ_CREATION_TIME = "select created_at from batches where tenant_id = $1 and batch_id = $2"
# All its jobs existed before, so no end will be counted: this tally completes the batch.
INSERT_EMPTY_TALLY = """
insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values ($1, $2, 0, 0, 0)
"""


def batch_columns(batch: NewBatch, jobs: Sequence[NewJob], *, total: int) -> tuple[object, ...]:
    """Returns the row of a batch of these jobs, of which `total` are new."""
    ids = [job.job_id for job in jobs]
    return batch.tenant_id, batch.batch_id, batch.name, min(ids), max(ids), total, batch.then


async def record_batch(connection: Connection, batch: NewBatch, jobs: Sequence[NewJob], *, total: int) -> datetime:
    """Records a batch in the transaction of its jobs; one that is recorded already is not changed. Returns its creation
    time.
    """
    await connection.execute(RECORD_BATCH, *batch_columns(batch, jobs, total=total))
    if not total:
        await connection.execute(INSERT_EMPTY_TALLY, batch.tenant_id, batch.batch_id)
    at: datetime = await connection.fetchval(READ_CREATION_TIME, batch.tenant_id, batch.batch_id)
    return at


# Statements that end jobs insert tallies, so that none of them waits for the row of a batch; they are added up here.
# The lock of the row makes exactly one of two transactions with the last ends see the batch complete.
TAKE_TALLIES = """
with taken as (
    delete from batch_tallies t using (
        select tally_id from batch_tallies where batch_id <> all($2)
        order by batch_id, tally_id limit $1 for update skip locked
    ) s
    where t.tally_id >= s.tally_id and t.tally_id <= s.tally_id
    returning t.*
)
select tenant_id, batch_id, sum(completed)::int, sum(failed)::int, sum(cancelled)::int
from taken group by tenant_id, batch_id order by tenant_id, batch_id
"""
ADD_TALLY = """
update batches set
    completed = completed + $3, failed = failed + $4, cancelled = cancelled + $5,
    completed_at = case when completed + $3 + failed + $4 + cancelled + $5 >= total then coalesce(completed_at, now())
                   end
where tenant_id = $1 and batch_id = $2
returning tenant_id, batch_id, completed, failed, cancelled,
          case when completed_at is not null and then_job_id is null then then_job::text end,
          name, total, case when completed_at = now() then completed_at end
"""


class CountedBatch(NamedTuple):
    """Batch after some of its jobs have ended; `then` is the template of the job that is due now. `completed_at` is set
    only if these were the last.
    """

    tenant_id: int
    batch_id: UUID
    completed: int
    failed: int
    cancelled: int
    then: str | None
    name: str | None
    total: int
    completed_at: datetime | None


class Tally(NamedTuple):
    """Ends of a batch's jobs that are not counted yet."""

    tenant_id: int
    batch_id: UUID
    completed: int
    failed: int
    cancelled: int


async def take_tallies(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[Tally]:
    """Takes up to `limit` tallies, except those of some batches, in the caller's transaction, which must count them."""
    return [Tally(*row) for row in await connection.fetch(TAKE_TALLIES, limit, exclude)]


async def add_tallies(connection: Connection, tallies: Sequence[Tally]) -> list[CountedBatch]:
    """Adds tallies to their batches, and returns the batches."""
    added = []
    for tally in tallies:
        row = await connection.fetchrow(ADD_TALLY, *tally)
        if row is not None:
            added.append(CountedBatch(*row))
    return added


RECORD_THEN = "update batches set then_job_id = $3, then_error = null where tenant_id = $1 and batch_id = $2"
RECORD_THEN_ERROR = "update batches set then_error = $3::json where tenant_id = $1 and batch_id = $2"


async def record_then(connection: Connection, tenant_id: int, batch_id: UUID, job_id: UUID) -> None:
    """Records the job that follows the batch."""
    await connection.execute(RECORD_THEN, tenant_id, batch_id, job_id)


async def record_then_error(connection: Connection, tenant_id: int, batch_id: UUID, error: str) -> None:
    """Records the error (JSON text) with which the job that follows the batch was refused."""
    await connection.execute(RECORD_THEN_ERROR, tenant_id, batch_id, error)


# Adds the pending tallies, so that no ended job is missing.
_VIEW = """
select b.batch_id, b.name, b.first_id, b.last_id, b.total, b.completed + t.completed, b.failed + t.failed,
       b.cancelled + t.cancelled, b.then_job_id, b.created_at, b.completed_at, {running}, b.then_error::text
from batches b cross join lateral (
    select coalesce(sum(completed), 0)::int as completed, coalesce(sum(failed), 0)::int as failed,
           coalesce(sum(cancelled), 0)::int as cancelled
    from batch_tallies where batch_id = b.batch_id and tenant_id = b.tenant_id
) t
"""
_RUNNING = "(select count(*)::int from running n where n.batch_id = b.batch_id and n.tenant_id = b.tenant_id)"
READ_BATCH = f"{_VIEW.format(running=_RUNNING)} where b.tenant_id = $1 and b.batch_id = $2"
# `running` has no index of batches: it is counted once for the page, not once for each batch.
LIST_BATCHES = f"""
with page as (
    select batch_id from batches where tenant_id = $1 and batch_id < $2 order by batch_id desc limit $3
), busy as (
    select batch_id, count(*)::int as jobs from running
    where tenant_id = $1 and batch_id = any(array(select batch_id from page)) group by batch_id
)
{_VIEW.format(running="coalesce((select jobs from busy where busy.batch_id = b.batch_id), 0)")}
where b.tenant_id = $1 and b.batch_id = any(array(select batch_id from page)) order by b.batch_id desc
"""


class BatchView(NamedTuple):
    """Batch as a reader sees it. Its jobs have ids from `first_id` to `last_id`."""

    batch_id: UUID
    name: str | None
    first_id: UUID
    last_id: UUID
    total: int
    completed: int
    failed: int
    cancelled: int
    then_job_id: UUID | None
    created_at: datetime
    completed_at: datetime | None
    running: int
    then_error: str | None

    @property
    def ended(self) -> int:
        """Returns the number of its jobs that have ended."""
        return self.completed + self.failed + self.cancelled


async def view_batch(connection: Connection, tenant_id: int, batch_id: UUID) -> BatchView | None:
    """Returns a batch; None if the tenant has no such batch."""
    row = await connection.fetchrow(READ_BATCH, tenant_id, batch_id)
    return BatchView(*row) if row is not None else None


async def list_batches(connection: Connection, tenant_id: int, *, before: UUID, limit: int) -> list[BatchView]:
    """Returns up to `limit` batches with smaller ids, newest first."""
    return [BatchView(*row) for row in await connection.fetch(LIST_BATCHES, tenant_id, before, limit)]


READ_JOB_IDS = """
select j.job_id from batches b join jobs j
    on j.tenant_id = b.tenant_id and j.job_id between b.first_id and b.last_id and j.batch_id = b.batch_id
where b.tenant_id = $1 and b.batch_id = $2 order by j.job_id
"""


async def read_job_ids(connection: Connection, tenant_id: int, batch_id: UUID) -> list[UUID]:
    """Returns all jobs of a batch, in the order of submission."""
    return [row[0] for row in await connection.fetch(READ_JOB_IDS, tenant_id, batch_id)]


# The bounds are parameters, not joined, so that ids are read in order and the search ends with the page.
READ_JOB_IDS_AFTER = """
select job_id from jobs j
where tenant_id = $1 and batch_id = $2 and job_id >= $3 and job_id <= $4 and job_id > $5 {condition}
order by job_id limit $6
"""
# The newest event decides the status of a job.
UNFINISHED = f"""
and coalesce((select kind from events e where e.job_id = j.job_id order by e.sequence desc limit 1), 0)
    < {FIRST_TERMINAL:d}
"""


async def read_job_ids_after(
    connection: Connection, tenant_id: int, batch: BatchView, *, after: UUID, limit: int, unfinished: bool = False
) -> list[UUID]:
    """Returns up to `limit` jobs of a batch after this one; with `unfinished` only those that have not ended."""
    statement = READ_JOB_IDS_AFTER.format(condition=UNFINISHED if unfinished else "")
    bounds = (batch.first_id, batch.last_id, after)
    return [row[0] for row in await connection.fetch(statement, tenant_id, batch.batch_id, *bounds, limit)]
