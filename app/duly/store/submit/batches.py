"""The tables `batches` and `batch_tallies`: jobs that were submitted together, and how many of them have ended."""

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
MADE_AT = "select created_at from batches where tenant_id = $1 and batch_id = $2"
# All its jobs stood already: nothing will ever end in it, and so it is counted once at its beginning.
EMPTY_TALLY = """
insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values ($1, $2, 0, 0, 0)
"""


def batch_columns(batch: NewBatch, jobs: Sequence[NewJob], *, total: int) -> tuple[object, ...]:
    """The row of a batch of these jobs, of which `total` are new."""
    ids = [job.job_id for job in jobs]
    return batch.tenant_id, batch.batch_id, batch.name, min(ids), max(ids), total, batch.then


async def record_batch(connection: Connection, batch: NewBatch, jobs: Sequence[NewJob], *, total: int) -> datetime:
    """Records a batch, in the transaction of its jobs. One that is recorded is left as it is. Returns when."""
    await connection.execute(RECORD_BATCH, *batch_columns(batch, jobs, total=total))
    if not total:
        await connection.execute(EMPTY_TALLY, batch.tenant_id, batch.batch_id)
    at: datetime = await connection.fetchval(MADE_AT, batch.tenant_id, batch.batch_id)
    return at


# Counted apart by every statement that ends jobs, so that none of them waits for a batch's row; added up here. The
# row's lock keeps two that count the last ends apart: exactly one of them sees the batch complete.
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
ADD_UP = """
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
    """A batch after some of its jobs have ended; `then` is the job that is due now, as JSON text. `completed_at` only
    where these were the last.
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
    """Ends of a batch's jobs that are not added up yet."""

    tenant_id: int
    batch_id: UUID
    completed: int
    failed: int
    cancelled: int


async def take_tallies(connection: Connection, *, limit: int, but: Sequence[UUID] = ()) -> list[Tally]:
    """Takes up to `limit` tallies, but those of some batches, in a transaction of the caller's that adds them up."""
    return [Tally(*row) for row in await connection.fetch(TAKE_TALLIES, limit, but)]


async def add_up(connection: Connection, tallies: Sequence[Tally]) -> list[CountedBatch]:
    """Adds tallies to their batches."""
    added = []
    for tally in tallies:
        row = await connection.fetchrow(ADD_UP, *tally)
        if row is not None:
            added.append(CountedBatch(*row))
    return added


THEN = "update batches set then_job_id = $3, then_error = null where tenant_id = $1 and batch_id = $2"
THEN_ERROR = "update batches set then_error = $3::json where tenant_id = $1 and batch_id = $2"


async def note_then(connection: Connection, tenant_id: int, batch_id: UUID, job_id: UUID) -> None:
    """The job that follows the batch is this one."""
    await connection.execute(THEN, tenant_id, batch_id, job_id)


async def note_then_error(connection: Connection, tenant_id: int, batch_id: UUID, error: str) -> None:
    """The job that follows the batch was refused, with this error as JSON text."""
    await connection.execute(THEN_ERROR, tenant_id, batch_id, error)


# What has ended and is not added up yet is added here: no job is missing in between.
READ = """
select b.batch_id, b.name, b.first_id, b.last_id, b.total, b.completed + t.completed, b.failed + t.failed,
       b.cancelled + t.cancelled, b.then_job_id, b.created_at, b.completed_at,
       (select count(*)::int from running n where n.batch_id = b.batch_id and n.tenant_id = b.tenant_id),
       b.then_error::text
from batches b cross join lateral (
    select coalesce(sum(completed), 0)::int as completed, coalesce(sum(failed), 0)::int as failed,
           coalesce(sum(cancelled), 0)::int as cancelled
    from batch_tallies where batch_id = b.batch_id and tenant_id = b.tenant_id
) t
where b.tenant_id = $1 and b.batch_id = $2
"""


class BatchView(NamedTuple):
    """What a reader sees of a batch. All its jobs have ids from `first_id` to `last_id`."""

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
        return self.completed + self.failed + self.cancelled


async def view_batch(connection: Connection, tenant_id: int, batch_id: UUID) -> BatchView | None:
    """A batch of this tenant's, or None."""
    row = await connection.fetchrow(READ, tenant_id, batch_id)
    return BatchView(*row) if row is not None else None


JOB_IDS = """
select j.job_id from batches b join jobs j
    on j.tenant_id = b.tenant_id and j.job_id between b.first_id and b.last_id and j.batch_id = b.batch_id
where b.tenant_id = $1 and b.batch_id = $2 order by j.job_id
"""


async def job_ids_of(connection: Connection, tenant_id: int, batch_id: UUID) -> list[UUID]:
    """All jobs of a batch of this tenant's, in the order of their submissions."""
    return [row[0] for row in await connection.fetch(JOB_IDS, tenant_id, batch_id)]


# The bounds are given, not joined: so the ids come in their order, and the search ends with the page.
PAGE_OF_IDS = """
select job_id from jobs j
where tenant_id = $1 and batch_id = $2 and job_id >= $3 and job_id <= $4 and job_id > $5 {condition}
order by job_id limit $6
"""
# What a job is now follows from its newest event.
UNFINISHED = f"""
and coalesce((select kind from events e where e.job_id = j.job_id order by e.sequence desc limit 1), 0)
    < {FIRST_TERMINAL:d}
"""


async def page_of_job_ids(
    connection: Connection, tenant_id: int, batch: BatchView, *, after: UUID, limit: int, unfinished: bool = False
) -> list[UUID]:
    """Up to `limit` jobs of a batch that come after this one; with `unfinished` those that have not ended."""
    statement = PAGE_OF_IDS.format(condition=UNFINISHED if unfinished else "")
    bounds = (batch.first_id, batch.last_id, after)
    return [row[0] for row in await connection.fetch(statement, tenant_id, batch.batch_id, *bounds, limit)]
