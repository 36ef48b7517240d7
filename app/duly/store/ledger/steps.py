"""Table `steps`: recorded steps and waits of jobs. Their values are in the events that they refer to."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Mark
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.catalog_types import Connection


class StepRecord(NamedTuple):
    """Step of an attempt, to be recorded; `data` is the event's JSON text, with the result."""

    job_id: UUID
    token: int
    name: str
    data: str
    compensable: bool = False


# Integers: the driver takes flags for nested arrays, since they can be iterated.
_MARKS, _COMPENSABLE_MARKS = int(Mark.STEPS), int(Mark.STEPS | Mark.COMPENSABLE)
# Several steps of one attempt, which ran concurrently, have consecutive numbers. The key of `steps` refuses a second
# step of the same name. Repair derives the rows from the events.
RECORD_STEPS_IF_HELD = f"""
with told as (
    select * from unnest($1::uuid[], $2::int[], $3::int[], $4::smallint[]) with ordinality
        as t (job_id, token, steps, marks, place)
),
moved as (
    update running n set sequence = n.sequence + t.steps, marks = n.marks | t.marks
    from told t where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
    returning n.tenant_id, n.job_id, n.sequence - t.steps as sequence, n.attempt, t.place
),
done as (
    select m.tenant_id, m.job_id, m.sequence + s.number as sequence, m.attempt, s.name, s.data, s.compensable
    from moved m join unnest($5::int[], $6::int[], $7::text[], $8::text[], $9::bool[])
        as s (place, number, name, data, compensable) on s.place = m.place
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.STEP_COMPLETED:d}, attempt, $10, data::json from done
),
kept as (
    insert into steps (tenant_id, job_id, sequence, kind, status, name, compensable)
    select tenant_id, job_id, sequence, {StepKind.STEP:d}, {StepStatus.COMPLETED:d}, name, compensable from done
)
select place from moved
"""


async def record_steps_if_held(connection: Connection, steps: Sequence[StepRecord], *, source: str) -> list[bool]:
    """Records steps of attempts that hold their lease. Returns for each, in order, whether it did.

    Raises:
        RecordRefused: one has the name of a recorded step of its job; nothing was recorded.
    """
    ordered = sorted(range(len(steps)), key=lambda index: (steps[index].job_id, steps[index].token))
    attempts: list[tuple[UUID, int, int, int]] = []
    rows: list[tuple[int, int, str, str, bool]] = []
    for key, group in groupby(ordered, key=lambda index: steps[index][:2]):
        own = [steps[index] for index in group]
        marks = _COMPENSABLE_MARKS if any(step.compensable for step in own) else _MARKS
        attempts.append((*key, len(own), marks))
        rows += [(len(attempts), number, *step[2:]) for number, step in enumerate(own, 1)]
    held = await connection.fetch(RECORD_STEPS_IF_HELD, *zip(*attempts, strict=True), *zip(*rows, strict=True), source)
    keys = {attempts[row[0] - 1][:2] for row in held}
    return [step[:2] in keys for step in steps]


class StepRow(NamedTuple):
    """Recorded step of a job; `result` is JSON text."""

    job_id: UUID
    name: str
    sequence: int
    status: StepStatus
    compensable: bool
    result: str


READ_STEPS = f"""
select s.job_id, s.name, s.sequence, s.status, s.compensable, (e.data -> 'result')::text
from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select * from steps where job_id = a.job_id and tenant_id = a.tenant_id and kind = {StepKind.STEP:d} offset 0
) s
cross join lateral (
    select data from events where job_id = s.job_id and sequence = s.sequence and tenant_id = s.tenant_id offset 0
) e
"""


async def read_steps(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[StepRow]:
    """Returns the recorded steps of these (tenant, job), in no order."""
    rows = await connection.fetch(READ_STEPS, *zip(*keys, strict=True))
    return [StepRow(*row)._replace(status=StepStatus(row[3])) for row in rows]


class WaitRow(NamedTuple):
    """Ended wait of a job, or a signal that nothing has waited for; `body` is JSON text."""

    job_id: UUID
    kind: StepKind
    name: str
    status: StepStatus
    body: str | None


# A wait that timed out stays so, even if its signal arrives later. A timer that is due has ended, whatever resumed the
# job; a signal's wait times out only in the statement that resumes the job, so that all attempts agree.
_SIGNALS_AND_WAITS = f"""
    select g.job_id, {StepKind.SIGNAL:d} as kind, g.name, {StepStatus.COMPLETED:d} as status,
           (e.data -> 'body')::text as body
    from (select * from signals where job_id = a.job_id and tenant_id = a.tenant_id offset 0) g
    cross join lateral (
        select data from events where job_id = g.job_id and sequence = g.sequence and tenant_id = g.tenant_id offset 0
    ) e
    where not exists (
        select from steps
        where job_id = g.job_id and tenant_id = g.tenant_id and kind = {StepKind.SIGNAL:d} and name = g.name
          and status = {StepStatus.TIMED_OUT:d}
        offset 0
    )
    union all
    select job_id, kind, name,
           case when kind = {StepKind.TIMER:d} then {StepStatus.COMPLETED:d} else {StepStatus.TIMED_OUT:d} end, null
    from steps
    where job_id = a.job_id and tenant_id = a.tenant_id
      and (kind = {StepKind.TIMER:d} and (status = {StepStatus.COMPLETED:d} or until <= now())
           or kind = {StepKind.SIGNAL:d} and status = {StepStatus.TIMED_OUT:d})
"""
READ_WAITS = f"""
select w.* from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral ({_SIGNALS_AND_WAITS}) w
"""


async def read_waits(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[WaitRow]:
    """Returns the ended waits and the signals of these (tenant, job)."""
    rows = await connection.fetch(READ_WAITS, *zip(*keys, strict=True))
    return [WaitRow(row[0], StepKind(row[1]), row[2], StepStatus(row[3]), row[4]) for row in rows]
