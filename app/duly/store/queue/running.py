"""The table `running`: one row an attempt. Every write of a worker names the lease token."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Finish, Finished, Lane
from duly.store.ledger.outbox import DELIVERS, outbox
from duly.store.ledger.terminal import AFTER_GONE, FOLLOWED
from duly.store.postgres.database import Connection


class Progress(NamedTuple):
    """What an attempt tells of itself; `data` is the same as the event's JSON text."""

    job_id: UUID
    token: int
    percent: float
    message: str | None
    data: str


_PROGRESSED = f"{EventKind.PROGRESSED:d}::smallint"
_CANCELLED = EventKind.CANCELLED
# A webhook for progress goes out at most once a second a job, by the database's clock.
PROGRESS_IF_HELD = f"""
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


async def record_progress_if_held(connection: Connection, told: Sequence[Progress], *, source: str) -> dict[UUID, bool]:
    """Records progress of attempts that still hold their lease; no job twice. Returns these, and whether there are
    webhooks to send.
    """
    rows = await connection.fetch(PROGRESS_IF_HELD, *zip(*told, strict=True), source)
    return {row[0]: row[1] for row in rows}


# Holds where the job is to run again.
_WAITS = f"kind < {FIRST_TERMINAL:d}"

# A join by `>=` and `<=` is one by the key that leaves no other plan: where the planner may join by `=`, it may also
# read the whole index in order, which looks cheap while the table is small, and is kept.
# An acknowledged cancel wish wins over whatever end came after it: the caller was told that the job will end as
# cancelled. What returns to a worker (kinds 3, 4, 6) keeps its token, so that the next claim raises it further.
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
    """Records how these attempts ended. One whose lease was lost is not among the returned, and changed nothing."""
    rows = await connection.fetch(FINISH_IF_HELD, *zip(*ends, strict=True), cancelled_error, source)
    return [
        Finished(row[0], EventKind(row[1]), row[2], Lane(row[3], row[4], row[5]), row[6], row[7], row[8])
        for row in rows
    ]


class CancelRequestResult(StrEnum):
    """What became of a cancel wish: noted now, noted by an earlier one, or no attempt is running."""

    NOTED = "noted"
    STOOD = "stood"
    GONE = "gone"


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
select case when exists (select from wished) then 'noted'
            when exists (select from running
                         where tenant_id = $1 and job_id = $2 and cancel_requested_at is not null) then 'stood'
            else 'gone' end
"""


async def request_cancel(connection: Connection, tenant_id: int, job_id: UUID, *, source: str) -> CancelRequestResult:
    """Notes the wish on a running attempt. GONE may also mean that another wish came in at the same moment."""
    return CancelRequestResult(await connection.fetchval(REQUEST_CANCEL, tenant_id, job_id, source))


WISHED = "select job_id from running where node_id = $1 and cancel_requested_at is not null"


async def cancel_wishes(connection: Connection, node_id: UUID) -> list[UUID]:
    """The jobs on this node that somebody wants cancelled."""
    return [row[0] for row in await connection.fetch(WISHED, node_id)]


HELD = """
select job_id, token from running
where node_id = $1 and started_at < now() - $2 * interval '1 second' and cancel_requested_at is null
"""


async def find_held(connection: Connection, node_id: UUID, *, older_than_seconds: float) -> dict[UUID, int]:
    """The attempts that this node has had for so long, with their tokens."""
    return {row[0]: row[1] for row in await connection.fetch(HELD, node_id, older_than_seconds)}


class Deadline(NamedTuple):
    """When an attempt times out: in so many seconds."""

    job_id: UUID
    token: int
    seconds: float


MOVE_DEADLINES_IF_HELD = """
update running n set deadline = now() + t.seconds * interval '1 second'
from unnest($1::uuid[], $2::int[], $3::float8[]) as t (job_id, token, seconds)
where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
"""


async def move_deadlines_if_held(connection: Connection, deadlines: Sequence[Deadline]) -> None:
    """Moves the deadlines of attempts that still hold their lease; no job twice."""
    await connection.execute(MOVE_DEADLINES_IF_HELD, *zip(*deadlines, strict=True))


class OverdueReason(StrEnum):
    LOST = "lost"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class Overdue(NamedTuple):
    """A running attempt that needs a verdict from outside."""

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


# The attempts of a node that is no longer listed are lost, whatever their age. A node that lives has some seconds
# beyond a deadline or a cancel wish to record the end itself. One whose outcome a listed node has set aside has ended:
# that node goes on trying to record it, unless somebody wants the job cancelled.
OVERDUE = """
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
    connection: Connection, *, patience_seconds: float, limit: int, but: Collection[UUID] = ()
) -> list[Overdue]:
    """Attempts that need a verdict, but for these jobs."""
    return [
        Overdue(*row)._replace(verdict=OverdueReason(row[8]))
        for row in await connection.fetch(OVERDUE, patience_seconds, limit, list(but))
    ]
