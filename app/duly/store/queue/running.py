"""Table `running`: one row for each attempt. Every write of a worker is fenced by the lease token."""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Finish, Finished, Lane, Mark, WaitReason
from duly.store.ledger.compensation import BEGINS, COMPENSATES, compensated
from duly.store.ledger.end_jobs import AFTER_GONE, FOLLOWED
from duly.store.ledger.outbox import DELIVERS, oldest_job, outbox, recorded_job
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection
from duly.store.postgres.parameter_columns import compact, each_row, in_full
from duly.store.queue.ready import UNLEASED_MARKS


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
{outbox("moved", job=recorded_job(oldest="$7"), asked="g.may_be_told")}
select job_id, {DELIVERS} from moved
"""


async def record_progress_if_held(
    connection: Connection, items: Sequence[Progress], *, source: str
) -> dict[UUID, bool]:
    """Records progress of attempts that hold their lease, at most once for each job. Returns these jobs, and whether
    there are webhooks to send.
    """
    rows = await connection.fetch(RECORD_PROGRESS_IF_HELD, *zip(*items, strict=True), source, oldest_job(items))
    return {row[0]: row[1] for row in rows}


# Holds where the job is to run again.
_WAITS = f"kind < {FIRST_TERMINAL:d}"
_HELD = f"kind = {EventKind.HELD:d}"

# A join by `>=` and `<=` allows one plan only, by the key. With `=` the planner may also scan the whole index in order,
# which looks cheap while the table is small, and generic plans are kept.
# An acknowledged cancel request wins over a later end: its response said that the job will end as cancelled.
# Jobs that return to a queue keep their token, so that the next claim raises it further.
_ENDED_ARRAYS = {
    "token": "$2::int[]",
    "kind": "$3::smallint[]",
    "data": "$4::text[]",
    "delay_seconds": "$5::float8[]",
    "charged": "$6::bool[]",
    "crashed": "$7::bool[]",
}
_ENDED_VALUES = (name if name == "data" else each_row(array, name) for name, array in _ENDED_ARRAYS.items())
_DELETED = f"""
    delete from running n using ended t
    where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token{{of_tenant}}
      and n.marks & {COMPENSATES:d} {{compensates}} 0
    returning n.tenant_id, n.job_id, n.token, n.sequence + 1 as sequence, n.timeout_seconds, n.priority,
              n.attempt, n.attempt - (not t.charged)::int as attempts_charged,
              n.crashes + t.crashed::int as crashes, n.callback_events, n.marks, n.batch_id, n.queue, n.type,
              t.delay_seconds, date_part('epoch', now() - n.started_at) as ran_seconds{{names}},
              case when n.cancel_requested_at is null then t.kind else {_CANCELLED:d} end as kind,
              case when n.cancel_requested_at is null or t.kind = {_CANCELLED:d} then t.data else $8 end as data
"""
_FINISH = f"""
with ended as (
    select job_id, {", ".join(_ENDED_VALUES)}{{names}}
    from unnest($1::uuid[], {", ".join(_ENDED_ARRAYS.values())}{{arrays}})
        as t (job_id, {", ".join(_ENDED_ARRAYS)}{{names}})
),
{{gone}},
released as (
    delete from leases l using gone g
    where g.marks & {Mark.LEASED:d} <> 0 and l.job_id >= g.job_id and l.job_id <= g.job_id
),
again as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempts_charged, crashes,
           callback_events, {UNLEASED_MARKS}, batch_id, queue, type
    from gone where {_WAITS} and delay_seconds <= 0
),
later as (
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, marks, batch_id, reason, queue, type)
    select tenant_id, job_id,
           case when {_HELD} then 'infinity' else now() + delay_seconds * interval '1 second' end, token, sequence,
           timeout_seconds, priority, attempts_charged, crashes, callback_events, {UNLEASED_MARKS}, batch_id,
           case when {_HELD} then {WaitReason.HELD:d} else {WaitReason.RETRY:d} end, queue, type
    from gone where {_WAITS} and delay_seconds > 0
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, kind, attempts_charged, $9, data::json from gone
),
{{remembered}}{AFTER_GONE},
{outbox("gone", job=recorded_job(oldest="$10"))}
select job_id, kind, sequence, tenant_id, queue, type, priority,
       case when {_WAITS} and not {_HELD} then delay_seconds end, {DELIVERS},
       {FOLLOWED}, ran_seconds{{more}}
from gone
"""
_OF_LEASES = {
    "arrays": ", $11::int[], $12::bytea[]",
    "names": ", tenant, digest",
    "remembered": """
remembered as (
    insert into lease_ends (tenant_id, job_id, token, kind, sequence, digest)
    select tenant_id, job_id, token, kind, sequence, digest from gone
),
""",
    "more": ", token, marks",
}


def _finish(*, compensates: bool, leases: bool = False) -> str:
    """Returns the statement for jobs without steps to compensate, or for those with such steps."""
    texts = _OF_LEASES if leases else {"arrays": "", "names": "", "remembered": "", "more": ""}
    deleted = _DELETED.format(
        compensates="<>" if compensates else "=",
        of_tenant=" and n.tenant_id = t.tenant" if leases else "",
        names=texts["names"],
    )
    gone = f"gone as ({deleted})"
    if compensates:
        delay = f"case when {BEGINS} then 0 else delay_seconds end as delay_seconds"
        columns = f"token, timeout_seconds, priority, attempt, ran_seconds, {delay}{texts['names']}"
        gone = f"taken as ({deleted}),{compensated(columns, oldest='$10', numbers=('attempts_charged', 'crashes'))}"
    return _FINISH.format(gone=gone, **texts)


# The statement for most jobs finds neither those with steps to compensate nor those that compensate: theirs is longer.
FINISH_IF_HELD = _finish(compensates=False)
FINISH_COMPENSATING_IF_HELD = _finish(compensates=True)
# Ends that workers report over HTTP: remembered, so that the same request gets the same response again.
FINISH_LEASES_IF_HELD = _finish(compensates=False, leases=True)
FINISH_COMPENSATING_LEASES_IF_HELD = _finish(compensates=True, leases=True)


async def finish_if_held(
    connection: Connection, ends: Sequence[Finish], *, source: str, cancelled_error: str
) -> list[Finished]:
    """Records the ends of attempts. An attempt that lost its lease is not in the result, and nothing is
    changed for it; nor is one of a job with steps to compensate.
    """
    rows = await connection.fetch(FINISH_IF_HELD, *finish_columns(ends), cancelled_error, source, oldest_job(ends))
    return all_finished(rows)


async def finish_compensating_if_held(
    connection: Connection, ends: Sequence[Finish], *, source: str, cancelled_error: str
) -> list[Finished]:
    """Records the ends of attempts of jobs with steps to compensate. An unsuccessful end begins the compensation."""
    given = (*finish_columns(ends), cancelled_error, source, oldest_job(ends))
    return all_finished(await connection.fetch(FINISH_COMPENSATING_IF_HELD, *given))


def finish_columns(ends: Iterable[Finish]) -> list[Sequence[object] | None]:
    """Returns the first parameters of a finish statement, compact where all ends have one value."""
    job_ids, tokens, kinds, data, *others, _waits, _children = zip(*ends, strict=True)
    return [job_ids, compact(tokens), compact(kinds), in_full(data), *map(compact, others)]


_KINDS = {int(kind): kind for kind in EventKind}  # a call of the class takes as long as all else in a row


def all_finished(rows: Iterable[Record]) -> list[Finished]:
    """Returns the recorded ends of the rows of a finish statement. Rows of one lane share it if they come together."""
    finished: list[Finished] = []
    lane = Lane(0, "", "", 0)
    for row in rows:
        of_row = row[3:7]
        if of_row != lane:
            lane = Lane(*of_row)
        finished.append(Finished(row[0], _KINDS[row[1]], row[2], lane, row[7], row[8], row[9], row[10]))
    return finished


class CancelRequestResult(StrEnum):
    """Result of a cancel request on a running attempt."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    NOT_RUNNING = "not_running"


REQUEST_CANCEL = f"""
with wished as (
    update running set cancel_requested_at = now(), sequence = sequence + 1
    where tenant_id = $1 and job_id = $2 and cancel_requested_at is null and marks & {Mark.COMPENSATING:d} = 0
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
    same moment, or that the job is compensating: its end is decided.
    """
    return CancelRequestResult(await connection.fetchval(REQUEST_CANCEL, tenant_id, job_id, source))


FIND_HELD = f"""
select job_id, token from running
where node_id = $1 and started_at < now() - $2 * interval '1 second' and cancel_requested_at is null
  and marks & {Mark.LEASED:d} = 0
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
    LEASE_EXPIRED = "lease_expired"
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
    marks: int = 0


_LEASED = f"{Mark.LEASED:d}"
_LEASE_GONE = "coalesce(l.expires_at < now(), true)"
_TOLD_TO_CANCEL = f"case when n.marks & {_LEASED} <> 0 then l.cancel_told_at else n.cancel_requested_at end"
# Attempts of a node that is no longer listed are lost, independent of their age; attempts under a lease over HTTP when
# it has expired. A live node has some seconds after a deadline or a cancel request to record the end itself, and a
# worker over HTTP after the heartbeat that told it of the request. An attempt whose outcome a listed node has set aside
# has ended: that node keeps trying to record it, unless a cancel request is recorded.
FIND_OVERDUE = f"""
select n.tenant_id, n.job_id, n.token, n.attempt, n.crashes, n.type, n.timeout_seconds, j.max_attempts,
       case when n.marks & {_LEASED} = 0 and o.node_id is null then 'lost'
            when n.marks & {_LEASED} <> 0 and {_LEASE_GONE} then 'lease_expired'
            when {_TOLD_TO_CANCEL} < now() - $1 * interval '1 second' then 'cancelled' else 'timed_out' end, n.node_id,
       n.marks
from running n join jobs j on j.tenant_id = n.tenant_id and j.job_id = n.job_id
left join nodes o on o.node_id = n.node_id
left join lateral (
    select expires_at, cancel_told_at from leases
    where n.marks & {_LEASED} <> 0 and job_id = n.job_id and token = n.token and tenant_id = n.tenant_id offset 0
) l on true
where (case when n.marks & {_LEASED} <> 0 then {_LEASE_GONE} else o.node_id is null end
       or n.deadline < now() - $1 * interval '1 second' or {_TOLD_TO_CANCEL} < now() - $1 * interval '1 second')
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
