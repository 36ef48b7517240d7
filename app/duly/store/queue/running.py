"""Table `running`: one row for each attempt. Every write of a worker is fenced by the lease token."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Finish, Finished, Lane
from duly.store.ledger.end_jobs import AFTER_GONE, FOLLOWED
from duly.store.ledger.outbox import DELIVERS, outbox
from duly.store.postgres.database import Connection


class Progress(NamedTuple):
    """Progress of an attempt; `data` is the event's JSON text with the same values."""

    job_id: UUID
    token: int
    percent: float
    message: str | None
    data: str


_PROGRESSED = f"{EventKind.PROGRESSED:d}::smallint"
_CANCELLED = EventKind.CANCELLED
# Webhooks for progress are limited to one per second for each job, by the database's clock.
RECORD_PROGRESS_IF_HELD = f"""
with told as (
    select * from unnest($1::uuid[], $2::int[], $3::real[], $4::text[], $5::text[])
        as t (job_id, token, percent, message, data)
),
moved as (
    update running n
    set sequence = n.sequence + 1, progress = t.percent, progress_message = t.message,
        progress_told_at = case when n.progress_told_at > now() - interval '1 second' then n.progress_told_at
                                else now() end
    from told t where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
    returning n.tenant_id, n.job_id, n.sequence, n.attempt, t.data, {_PROGRESSED} as kind, n.type, n.callback_events,
              n.progress_told_at = now() as may_be_told
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.PROGRESSED:d}, attempt, $6, data::json from moved
),
{outbox("moved", asked="g.may_be_told")}
select job_id, {DELIVERS} from moved
"""


async def record_progress_if_held(
    connection: Connection, items: Sequence[Progress], *, source: str
) -> dict[UUID, bool]:
    """Records progress of attempts that hold their lease, at most once for each job. Returns these jobs, and whether
    there are webhooks to send.
    """
    rows = await connection.fetch(RECORD_PROGRESS_IF_HELD, *zip(*items, strict=True), source)
    return {row[0]: row[1] for row in rows}


# Holds where the job is to run again.
_WAITS = f"kind < {FIRST_TERMINAL:d}"

# A join by `>=` and `<=` allows one plan only, by the key. With `=` the planner may also scan the whole index in order,
# which looks cheap while the table is small, and generic plans are kept.
# An acknowledged cancel request wins over a later end: its response said that the job will end as cancelled.
# Jobs that return to a queue keep their token, so that the next claim raises it further.
FINISH_IF_HELD = f"""
with ended as (
    select * from unnest($1::uuid[], $2::int[], $3::smallint[], $4::text[], $5::float8[], $6::bool[], $7::bool[])
        as t (job_id, token, kind, data, delay_seconds, charged, crashed)
),
gone as (
    delete from running n using ended t
    where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
    returning n.tenant_id, n.job_id, n.token, n.sequence + 1 as sequence, n.timeout_seconds, n.priority,
              n.attempt, n.attempt - (not t.charged)::int as attempts_charged,
              n.crashes + t.crashed::int as crashes, n.callback_events, n.marks, n.batch_id, n.queue, n.type,
              t.delay_seconds,
              case when n.cancel_requested_at is null then t.kind else {_CANCELLED:d} end as kind,
              case when n.cancel_requested_at is null or t.kind = {_CANCELLED:d} then t.data else $8 end as data
),
again as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempts_charged, crashes,
           callback_events, marks, batch_id, queue, type
    from gone where {_WAITS} and delay_seconds <= 0
),
later as (
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, marks, batch_id, reason, queue, type)
    select tenant_id, job_id, now() + delay_seconds * interval '1 second', token, sequence, timeout_seconds,
           priority, attempts_charged, crashes, callback_events, marks, batch_id, 1, queue, type
    from gone where {_WAITS} and delay_seconds > 0
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, kind, attempts_charged, $9, data::json from gone
),
{AFTER_GONE},
{outbox("gone")}
select job_id, kind, sequence, queue, type, priority, case when {_WAITS} then delay_seconds end, {DELIVERS},
       {FOLLOWED}
from gone
"""


async def finish_if_held(
    connection: Connection, ends: Sequence[Finish], *, source: str, cancelled_error: str
) -> list[Finished]:
    """Records the ends of attempts. An attempt that lost its lease is not in the result, and nothing is
    changed for it.
    """
    rows = await connection.fetch(FINISH_IF_HELD, *zip(*ends, strict=True), cancelled_error, source)
    return [
        Finished(row[0], EventKind(row[1]), row[2], Lane(row[3], row[4], row[5]), row[6], row[7], row[8])
        for row in rows
    ]


class CancelRequestResult(StrEnum):
    """Result of a cancel request on a running attempt."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    NOT_RUNNING = "not_running"


REQUEST_CANCEL = f"""
with wished as (
    update running set cancel_requested_at = now(), sequence = sequence + 1
    where tenant_id = $1 and job_id = $2 and cancel_requested_at is null
    returning tenant_id, job_id, sequence, attempt
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source)
    select tenant_id, job_id, sequence, {EventKind.CANCEL_REQUESTED:d}, attempt, $3 from wished
)
select case when exists (select from wished) then 'recorded'
            when exists (select from running
                         where tenant_id = $1 and job_id = $2 and cancel_requested_at is not null)
            then 'already_recorded'
            else 'not_running' end
"""


async def request_cancel(connection: Connection, tenant_id: int, job_id: UUID, *, source: str) -> CancelRequestResult:
    """Records a cancel request on a running attempt. NOT_RUNNING can also mean that another request was recorded at the
    same moment.
    """
    return CancelRequestResult(await connection.fetchval(REQUEST_CANCEL, tenant_id, job_id, source))


FIND_CANCEL_REQUESTED = "select job_id from running where node_id = $1 and cancel_requested_at is not null"


async def find_cancel_requested(connection: Connection, node_id: UUID) -> list[UUID]:
    """Returns the jobs on this node with a cancel request."""
    return [row[0] for row in await connection.fetch(FIND_CANCEL_REQUESTED, node_id)]


FIND_HELD = """
select job_id, token from running
where node_id = $1 and started_at < now() - $2 * interval '1 second' and cancel_requested_at is null
"""


async def find_held(connection: Connection, node_id: UUID, *, older_than_seconds: float) -> dict[UUID, int]:
    """Returns the attempts that this node has held for at least this long, with their tokens."""
    return {row[0]: row[1] for row in await connection.fetch(FIND_HELD, node_id, older_than_seconds)}


class Deadline(NamedTuple):
    """Remaining time of an attempt."""

    job_id: UUID
    token: int
    seconds: float


MOVE_DEADLINES_IF_HELD = """
update running n set deadline = now() + t.seconds * interval '1 second'
from unnest($1::uuid[], $2::int[], $3::float8[]) as t (job_id, token, seconds)
where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
"""


async def move_deadlines_if_held(connection: Connection, deadlines: Sequence[Deadline]) -> None:
    """Moves the deadlines of attempts that hold their lease, at most one for each job."""
    await connection.execute(MOVE_DEADLINES_IF_HELD, *zip(*deadlines, strict=True))


class OverdueReason(StrEnum):
    """Reason why an attempt must be ended from outside."""

    LOST = "lost"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class Overdue(NamedTuple):
    """Running attempt that must be ended from outside."""

    tenant_id: int
    job_id: UUID
    token: int
    attempt: int
    crashes: int
    type: str
    timeout_seconds: float
    max_attempts: int
    verdict: OverdueReason
    node_id: UUID | None = None


# Attempts of a node that is no longer listed are lost, independent of their age. A live node has some seconds after
# a deadline or a cancel request to record the end itself. An attempt whose outcome a listed node has set aside has
# ended: that node keeps trying to record it, unless a cancel request is recorded.
FIND_OVERDUE = """
select n.tenant_id, n.job_id, n.token, n.attempt, n.crashes, n.type, n.timeout_seconds, j.max_attempts,
       case when o.node_id is null then 'lost' when n.cancel_requested_at < now() - $1 * interval '1 second'
            then 'cancelled' else 'timed_out' end, n.node_id
from running n join jobs j on j.tenant_id = n.tenant_id and j.job_id = n.job_id
left join nodes o on o.node_id = n.node_id
where (o.node_id is null or n.deadline < now() - $1 * interval '1 second'
       or n.cancel_requested_at < now() - $1 * interval '1 second')
  and n.job_id <> all($3)
  and not exists (
      select from set_aside s join nodes k on k.node_id = s.node_id
      where s.job_id = n.job_id and s.stage = 'finish' and s.token = n.token and n.cancel_requested_at is null
        and s.noted_at > now() - interval '5 minutes'
  )
order by n.job_id limit $2
"""


async def find_overdue(
    connection: Connection, *, patience_seconds: float, limit: int, exclude: Collection[UUID] = ()
) -> list[Overdue]:
    """Returns attempts that must be ended from outside, except those of some jobs."""
    return [
        Overdue(*row)._replace(verdict=OverdueReason(row[8]))
        for row in await connection.fetch(FIND_OVERDUE, patience_seconds, limit, list(exclude))
    ]
