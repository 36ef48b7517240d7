"""Parking of attempts in `scheduled`, until a time or a signal, and their return to `ready` when the time has come."""

from collections.abc import Sequence
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished, Lane, Mark, WaitReason
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.catalog_types import Connection
from duly.store.queue.ready import UNLEASED_MARKS, LaneStart
from duly.store.queue.scheduled import PARKED

_TIMER, _SIGNAL = f"{StepKind.TIMER:d}", f"{StepKind.SIGNAL:d}"


def _rfc3339(moment: str) -> str:
    """Returns the SQL of a time as the API writes it."""
    return f"""to_char({moment} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


# Deadlines are in milliseconds, as the event has them, so that repair derives equal ones.
# A wait has the deadline of the first time that its job parked for it. If a signal arrived during the attempt, the job
# does not park: the handler is called again, and finds the signal or parks then. Every statement that moves a job locks
# its row, as the sender of a signal does: either the sender finds the parked row, or this one finds the mark.
# An attempt with a cancel request is left for the statement that ends it. Parking is not charged.
PARK_IF_HELD = f"""
with ended as (
    select * from unnest($1::uuid[], $2::int[]) with ordinality as t (job_id, token, place)
),
gone as (
    delete from running n using ended t
    where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token and n.cancel_requested_at is null
    returning n.tenant_id, n.job_id, n.token, n.sequence + 1 as sequence, n.timeout_seconds, n.priority,
              n.attempt - 1 as attempt, n.crashes, n.callback_events, n.marks, n.batch_id, n.queue, n.type, t.place,
              case when n.marks & {Mark.SIGNALLED:d} <> 0 then {EventKind.RESUMED:d}
                   else {EventKind.PARKED:d} end as kind
),
waits as materialized (
    select g.tenant_id, g.job_id, g.sequence, g.place, w.kind, w.name, s.name is null as fresh,
           case when s.name is null then date_trunc('milliseconds', now() + w.seconds * interval '1 second')
                else s.until end as until
    from gone g join unnest($3::int[], $4::smallint[], $5::text[], $6::float8[]) as w (place, kind, name, seconds)
        on w.place = g.place
    left join lateral (
        select name, until from steps
        where job_id = g.job_id and kind = w.kind and name = w.name and tenant_id = g.tenant_id offset 0
    ) s on true
),
parked as materialized (
    select g.*, u.* from gone g cross join lateral (
        select min(w.until) as until, bool_or(w.kind = {_SIGNAL}) as for_signal,
               json_build_object(
                   'until', {_rfc3339("min(w.until)")},
                   'signals', coalesce(json_agg(w.name order by w.name) filter (where w.kind = {_SIGNAL}), '[]'),
                   'waits', json_agg(json_build_object(
                       'kind', case when w.kind = {_SIGNAL} then 'signal' else 'timer' end,
                       'name', w.name, 'until', {_rfc3339("w.until")}
                   ) order by w.kind, w.name)
               ) as data
        from waits w where w.place = g.place
    ) u
),
released as (
    delete from leases l using gone g
    where g.marks & {Mark.LEASED:d} <> 0 and l.job_id >= g.job_id and l.job_id <= g.job_id
),
again as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
           {UNLEASED_MARKS}, batch_id, queue, type
    from parked where kind = {EventKind.RESUMED:d}
),
later as (
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, marks, batch_id, reason, queue, type)
    select tenant_id, job_id, coalesce(until, 'infinity'), token, sequence, timeout_seconds, priority, attempt, crashes,
           callback_events, {UNLEASED_MARKS}, batch_id,
           case when for_signal then {WaitReason.SIGNAL:d} else {WaitReason.TIMER:d} end, queue, type
    from parked where kind = {EventKind.PARKED:d}
),
remembered as (
    insert into steps (tenant_id, job_id, sequence, kind, status, name, until)
    select tenant_id, job_id, sequence, kind, {StepStatus.WAITING:d}, name, until from waits where fresh
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, kind, attempt, $7, data from parked
)
select job_id, kind, sequence, tenant_id, queue, type, priority,
       case when kind = {EventKind.RESUMED:d} then 0 else extract(epoch from until - now())::float8 end
from parked
"""


async def park_if_held(connection: Connection, ends: Sequence[Finish], *, source: str) -> list[Finished]:
    """Parks attempts for their waits. Those that lost their lease, or have a cancel request, are not in the result, and
    nothing is changed for them. A job with a signal that arrived during its attempt is ready again.
    """
    waits = [(place, *wait) for place, end in enumerate(ends, 1) for wait in end.waits]
    columns = [[row[column] for row in waits] for column in (0, 1, 2, 3)]
    job_ids, tokens = [end.job_id for end in ends], [end.token for end in ends]
    rows = await connection.fetch(PARK_IF_HELD, job_ids, tokens, *columns, source)
    return [Finished(row[0], EventKind(row[1]), row[2], Lane(*row[3:7]), row[7], delivers=False) for row in rows]


# A signal that was sent before its job parked has no part in `steps`, so the table of signals decides.
RESUME_DUE = f"""
with due as materialized (
    select job_id from scheduled where run_at <= now() and {PARKED} and job_id <> all($2)
    order by run_at limit $1 for update skip locked
),
gone as (
    delete from scheduled s using due d where s.job_id >= d.job_id and s.job_id <= d.job_id
    returning s.tenant_id, s.job_id, s.token, s.sequence + 1 as sequence, s.timeout_seconds, s.priority, s.attempt,
              s.crashes, s.callback_events, s.marks, s.batch_id, s.queue, s.type
),
over as materialized (
    select g.job_id, g.sequence, s.kind, s.name from gone g cross join lateral (
        select kind, name from steps
        where job_id = g.job_id and tenant_id = g.tenant_id and status = {StepStatus.WAITING:d} and until <= now()
        offset 0
    ) s
    where s.kind = {_TIMER} or not exists (
        select from signals where job_id = g.job_id and tenant_id = g.tenant_id and name = s.name offset 0
    )
),
ended as (
    update steps w
    set sequence = o.sequence,
        status = case when w.kind = {_TIMER} then {StepStatus.COMPLETED:d} else {StepStatus.TIMED_OUT:d} end
    from over o
    where w.job_id >= o.job_id and w.job_id <= o.job_id and w.kind = o.kind and w.name = o.name
    returning w.job_id, w.kind, w.name
),
named as (
    select job_id, bool_or(kind = {_SIGNAL}) as timed_out,
           json_agg(name order by name) filter (where kind = {_TIMER}) as timers,
           json_agg(name order by name) filter (where kind = {_SIGNAL}) as signals
    from ended group by job_id
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select g.tenant_id, g.job_id, g.sequence, {EventKind.RESUMED:d}, g.attempt, $3,
           json_build_object('reason', case when n.timed_out then 'timeout' else 'timer' end,
                             'timers', coalesce(n.timers, '[]'), 'signals', coalesce(n.signals, '[]'))
    from gone g left join named n on n.job_id = g.job_id
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           batch_id, queue, type
    from gone
)
select tenant_id, queue, type, priority, job_id from gone
"""


async def resume_due(
    connection: Connection, *, limit: int, source: str, exclude: Sequence[UUID] = ()
) -> list[LaneStart]:
    """Makes up to `limit` parked jobs ready whose time has come, except some. Waits for signals time out."""
    rows = await connection.fetch(RESUME_DUE, limit, exclude, source)
    return [LaneStart(Lane(*row[:4]), row[4]) for row in rows]
