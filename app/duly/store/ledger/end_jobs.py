"""CTEs shared by all statements that end jobs, and the statement that ends waiting jobs."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Lane, Mark
from duly.store.ledger.compensation import compensated
from duly.store.ledger.outbox import DELIVERS, oldest_job, outbox, recorded_job
from duly.store.ledger.ready_keys import at_key
from duly.store.postgres.database import Connection

_TERMINAL = f"kind >= {FIRST_TERMINAL:d}"
# A failed job keeps its checkpoint: a retry continues from there.
_DROPS_CHECKPOINT = f"kind in ({EventKind.COMPLETED:d}, {EventKind.CANCELLED:d})"
_COMPLETED, _FAILED, _CANCELLED = (
    f"count(*) filter (where kind = {kind:d})" for kind in (EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED)
)
_FOLLOWED_MARKS = Mark.KEYED | Mark.DEPENDED
# True where the end has follow-ups: for other jobs, or for its batch.
FOLLOWED = f"({_TERMINAL} and (marks & {_FOLLOWED_MARKS:d} <> 0 or batch_id is not null))"

# Follow a CTE `gone` of rows deleted from a hot table, each with the kind of its event. Effects on the job itself
# happen here; effects on other jobs are left to follow-ups in `endings` and `batch_tallies`.
AFTER_GONE = f"""
unlocked as (
    delete from unique_keys u using gone g
    where g.{_TERMINAL} and g.marks & {Mark.UNIQUE:d} <> 0 and u.job_id >= g.job_id and u.job_id <= g.job_id
),
forgotten as (
    delete from checkpoints c using gone g
    where g.{_DROPS_CHECKPOINT} and g.marks & {Mark.CHECKPOINT:d} <> 0 and c.job_id >= g.job_id and c.job_id <= g.job_id
),
followed as (
    insert into endings (tenant_id, job_id, sequence, kind, marks)
    select tenant_id, job_id, sequence, kind, marks from gone where {_TERMINAL} and marks & {_FOLLOWED_MARKS:d} <> 0
),
tallied as (
    insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled)
    select tenant_id, batch_id, {_COMPLETED}, {_FAILED},
           {_CANCELLED}
    from gone where {_TERMINAL} and batch_id is not null group by tenant_id, batch_id
)
"""

_LEFT = """
    returning w.tenant_id, w.job_id, w.sequence + 1 as sequence, w.attempt, w.callback_events, w.marks, w.batch_id,
              w.queue, w.type, l.kind, l.data, w.token, w.crashes, w.priority, w.timeout_seconds
"""
# The end of a job that compensates is decided already.
_MAY_END = f"w.marks & {Mark.COMPENSATING:d} = 0 and (not $5 or (w.attempt = 0 and w.expires_at <= now()))"

# Searches all tables of waiting jobs; a job that runs or has ended is not changed. `$5`: only expired jobs.
END_WAITING_JOBS = f"""
with wanted as materialized (
    select * from unnest($1::int[], $2::uuid[], $3::smallint[], $4::text[]) as a (tenant_id, job_id, kind, data)
),
lanes as materialized (
    select a.*, j.queue, j.type, j.priority from wanted a cross join lateral (
        select queue, type, priority from jobs
        where tenant_id = a.tenant_id and job_id = a.job_id and job_id >= $7 offset 0
    ) j
),
from_ready as (
    delete from ready w using lanes l
    where {at_key("w", "l")} and {_MAY_END} {_LEFT}
),
from_scheduled as (
    delete from scheduled w using lanes l
    where w.job_id >= l.job_id and w.job_id <= l.job_id and w.tenant_id = l.tenant_id and {_MAY_END} {_LEFT}
),
from_blocked as (
    delete from blocked w using lanes l
    where w.job_id >= l.job_id and w.job_id <= l.job_id and w.tenant_id = l.tenant_id and {_MAY_END} {_LEFT}
),
taken as (
    select * from from_ready union all select * from from_scheduled union all select * from from_blocked
),
{compensated("token, priority, timeout_seconds", oldest="$7")},
to_compensate as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           batch_id, queue, type
    from gone where kind = {EventKind.COMPENSATING:d}
),
{AFTER_GONE},
undone as (
    delete from dependencies d using gone g where d.child_id >= g.job_id and d.child_id <= g.job_id
),
{outbox("gone", job=recorded_job(oldest="$7"))},
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, kind, attempt, $6, data::json from gone
)
select tenant_id, job_id, sequence, kind, {DELIVERS}, {FOLLOWED}, queue, type, priority from gone
"""


class WaitingJobEnd(NamedTuple):
    """Waiting job, and the event that ends it; `data` is its error as JSON text."""

    tenant_id: int
    job_id: UUID
    kind: EventKind
    data: str


class EndedWaitingJob(NamedTuple):
    """Waiting job that was ended, or whose steps are compensated first. `delivers`: there is a webhook to send;
    `followed`: its end has follow-ups.
    """

    tenant_id: int
    job_id: UUID
    sequence: int
    kind: EventKind
    delivers: bool
    followed: bool
    queue: str
    type: str
    priority: int

    @property
    def lane(self) -> Lane:
        """Lane of the job."""
        return Lane(self.tenant_id, self.queue, self.type, self.priority)


async def end_waiting_jobs(
    connection: Connection, ends: Sequence[WaitingJobEnd], *, source: str, only_expired: bool = False
) -> list[EndedWaitingJob]:
    """Ends these jobs where they wait. A job that does not wait (any more) is not in the result, nor is one that
    compensates. A job with steps to compensate is ready for that, and ends later.
    """
    columns = zip(*ends, strict=True)
    rows = await connection.fetch(END_WAITING_JOBS, *columns, only_expired, source, oldest_job(ends))
    return [EndedWaitingJob(*row)._replace(kind=EventKind(row[3])) for row in rows]


# The oldest expiries of each table; a table without any costs one look at an empty index.
FIND_EXPIRED = """
select tenant_id, job_id from (
    (select tenant_id, job_id from ready where expires_at <= now() and attempt = 0 and job_id <> all($2)
     order by expires_at limit $1)
    union all
    (select tenant_id, job_id from scheduled where expires_at <= now() and attempt = 0 and job_id <> all($2)
     order by expires_at limit $1)
    union all
    (select tenant_id, job_id from blocked where expires_at <= now() and attempt = 0 and job_id <> all($2)
     order by expires_at limit $1)
) w limit $1
"""


async def find_expired(connection: Connection, *, limit: int, exclude: Sequence[UUID] = ()) -> list[tuple[int, UUID]]:
    """Returns jobs that did not start before they expired, except some, as (tenant, job)."""
    return [(row[0], row[1]) for row in await connection.fetch(FIND_EXPIRED, limit, exclude)]


READ_NEXT_EXPIRY = """
select extract(epoch from least(
    (select min(expires_at) from ready where expires_at is not null and job_id <> all($1)),
    (select min(expires_at) from scheduled where expires_at is not null and job_id <> all($1)),
    (select min(expires_at) from blocked where expires_at is not null and job_id <> all($1))
) - now())::float8
"""


async def seconds_to_next_expiry(connection: Connection, *, exclude: Sequence[UUID] = ()) -> float | None:
    """Returns the seconds until a waiting job, except some, expires; None if none does."""
    seconds: float | None = await connection.fetchval(READ_NEXT_EXPIRY, exclude)
    return seconds
