"""Table `signals`: the values that were sent to jobs by name, and the resumption of jobs that wait for one."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Lane, Mark, WaitReason
from duly.domain.steps import StepKind, StepStatus
from duly.store.ledger.ready_keys import at_key
from duly.store.postgres.database import Connection

# Senders to one job wait for each other, so that each sees the signals of those before it: the first of a name wins.
# Waits without a lock would end in a violation of the primary key.
_LOCK = "select pg_advisory_xact_lock(hashtextextended('duly signals ' || $1::text, 0))"

_AT_ID = "tenant_id = $1 and job_id = $2"
_FIRST = "not exists (select from sent)"
_AWAITED = f"(reason = {WaitReason.SIGNAL:d} and exists (select from awaited))"
_CHANGED = "returning w.tenant_id, w.job_id, w.sequence, w.attempt"
# The hot row is locked where it is, so no claim, park or end can pass by: an attempt that runs gets a mark, and does
# not park; a parked job is resumed. A row that moves meanwhile is not found, and the statement is repeated.
SEND_SIGNAL = f"""
with lane as materialized (
    select tenant_id, job_id, queue, type, priority from jobs where {_AT_ID}
),
sent as materialized (
    select s.sequence, s.digest, e.occurred_at from signals s
    join events e on e.tenant_id = s.tenant_id and e.job_id = s.job_id and e.sequence = s.sequence
    where s.tenant_id = $1 and s.job_id = $2 and s.name = $3
),
awaited as materialized (
    select from steps
    where {_AT_ID} and kind = {StepKind.SIGNAL:d} and name = $3 and status = {StepStatus.WAITING:d}
),
in_running as (
    update running w set sequence = w.sequence + 1, marks = w.marks | {Mark.SIGNALLED:d}
    where {_AT_ID} and {_FIRST}
    {_CHANGED}
),
in_ready as (
    update ready w set sequence = w.sequence + 1 from lane l
    where {at_key("w", "l")} and {_FIRST}
    {_CHANGED}
),
in_scheduled as (
    update scheduled w set sequence = w.sequence + 1
    where {_AT_ID} and {_FIRST} and not {_AWAITED}
    {_CHANGED}
),
in_blocked as (
    update blocked w set sequence = w.sequence + 1
    where {_AT_ID} and {_FIRST}
    {_CHANGED}
),
gone as (
    delete from scheduled w
    where {_AT_ID} and {_FIRST} and {_AWAITED}
    returning w.*
),
resumed as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, expires_at, queue, type)
    select tenant_id, job_id, token, sequence + 2, timeout_seconds, priority, attempt, crashes, callback_events, marks,
           batch_id, expires_at, queue, type
    from gone
),
changed as (
    select *, false as starts from in_running
    union all select *, true from in_ready
    union all select *, false from in_scheduled
    union all select *, false from in_blocked
    union all select tenant_id, job_id, sequence + 1, attempt, true from gone
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.SIGNALLED:d}, attempt, $6, $5::json from changed
    union all
    select tenant_id, job_id, sequence + 2, {EventKind.RESUMED:d}, attempt, $6,
           json_build_object('reason', 'signal', 'signal', $3::text)
    from gone
),
kept as (
    insert into signals (tenant_id, job_id, sequence, name, digest)
    select tenant_id, job_id, sequence, $3, $4 from changed
),
arrived as (
    update steps w set status = {StepStatus.COMPLETED:d}, sequence = c.sequence from changed c
    where w.tenant_id = $1 and w.job_id = $2 and w.kind = {StepKind.SIGNAL:d} and w.name = $3
      and w.status = {StepStatus.WAITING:d}
)
select c.sequence, null::bytea, now(), c.starts, l.tenant_id, l.queue, l.type, l.priority
from changed c cross join lane l
union all
select sequence, digest, occurred_at, false, null, null, null, null from sent
"""


class SentSignal(NamedTuple):
    """Signal that a job has got. `digest` is that of an earlier one with the same name; None if this one was recorded.
    `lane`: that in which the job may start now, if it may.
    """

    sequence: int
    digest: bytes | None
    sent_at: datetime
    lane: Lane | None


class Signal(NamedTuple):
    """Signal to send. `data` is the event's JSON text, with its name and its body."""

    tenant_id: int
    job_id: UUID
    name: str
    digest: bytes
    data: str


async def lock_signals(connection: Connection, job_id: UUID) -> None:
    """Waits until no other transaction sends a signal to the job. The transaction is the caller's."""
    await connection.execute(_LOCK, str(job_id))


async def send_signal(connection: Connection, signal: Signal, *, source: str) -> SentSignal | None:
    """Records a signal after `lock_signals`, unless one of this name was recorded. None: the job has no hot row, or has
    just moved.
    """
    row = await connection.fetchrow(SEND_SIGNAL, *signal, source)
    if row is None:
        return None
    return SentSignal(row[0], row[1], row[2], Lane(*row[4:]) if row[3] else None)


READ_SIGNAL = """
select e.data -> 'body' ->> 'choice', e.occurred_at from signals s
join events e on e.tenant_id = s.tenant_id and e.job_id = s.job_id and e.sequence = s.sequence
where s.tenant_id = $1 and s.job_id = $2 and s.name = $3
"""
READ_WAIT = f"""
select coalesce(until <= now(), false) or status = {StepStatus.TIMED_OUT:d} from steps
where {_AT_ID} and kind = {StepKind.SIGNAL:d} and name = $3
"""


class Answer(NamedTuple):
    """Signal that answered the question of a link. `choice` is None if it was not sent by a link."""

    choice: str | None
    sent_at: datetime


async def read_answer(connection: Connection, tenant_id: int, job_id: UUID, name: str) -> Answer | None:
    """Returns the signal of this name; None if there is none."""
    row = await connection.fetchrow(READ_SIGNAL, tenant_id, job_id, name)
    return Answer(*row) if row is not None else None


async def has_timed_out(connection: Connection, tenant_id: int, job_id: UUID, name: str) -> bool:
    """Returns whether the job waited for the signal of this name, and the time is over."""
    return bool(await connection.fetchval(READ_WAIT, tenant_id, job_id, name))


FIND_SENT = """
select exists (
    select from signals where tenant_id = a.tenant_id and job_id = a.job_id and name = a.name
)
from unnest($1::int[], $2::uuid[], $3::text[]) with ordinality as a (tenant_id, job_id, name, place) order by a.place
"""


async def find_sent(connection: Connection, keys: Sequence[tuple[int, UUID, str]]) -> list[bool]:
    """Returns for each of these (tenant, job, name), in order, whether the signal was sent."""
    return [row[0] for row in await connection.fetch(FIND_SENT, *zip(*keys, strict=True))]
