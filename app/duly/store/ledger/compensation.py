"""Compensation of completed steps: its begin and its end, in the statements that end jobs, and its records."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, EventKind
from duly.domain.job import Mark
from duly.domain.outcome import COMPENSATION_FAILED
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.catalog_types import Connection

# Marks of jobs whose end is decided by the statements of this module.
COMPENSATES = Mark.COMPENSABLE | Mark.COMPENSATING
_FAILED, _CANCELLED, _COMPENSATING = (
    f"{kind:d}" for kind in (EventKind.FAILED, EventKind.CANCELLED, EventKind.COMPENSATING)
)


def steps_left(job: str, *, oldest: str = "") -> str:
    """Returns an SQL expression for the names of the completed steps of a job that have a compensation, as a JSON
    array: the newest first, which is the order of compensation. Null for none. `oldest`: parameter with the
    `oldest_job` of the statement, if it has one.
    """
    bound = f"and s.job_id >= {oldest} " if oldest else ""
    return f"""(
        select json_agg(s.name order by s.sequence desc) from steps s
        where s.job_id = {job}.job_id {bound}and s.tenant_id = {job}.tenant_id and s.kind = {StepKind.STEP:d}
          and s.compensable and s.status = {StepStatus.COMPLETED:d}
    )"""


# Follow a CTE `taken` of rows deleted from a hot table, each with the kind and the data of an end. An unsuccessful end
# of a job with steps to compensate begins the compensation, which has attempts of its own. The end of a compensation is
# the one that began it, or a failure that names the steps that are left.
BEGINS = f"kind in ({_FAILED}, {_CANCELLED}) and marks & {Mark.COMPENSATING:d} = 0 and steps_left is not null"
_ENDS = f"kind >= {FIRST_TERMINAL:d} and marks & {Mark.COMPENSATING:d} <> 0"
_BEGAN = f"""
    'end', case when kind = {_FAILED} then 'failed' else 'cancelled' end, 'error', data::json, 'steps', steps_left
"""
_LEFT = f"""
    'code', '{COMPENSATION_FAILED}',
    'message', 'Compensation failed, with ' || json_array_length(steps_left) || ' of its steps left: '
               || coalesce(data::json ->> 'message', ''),
    'details', coalesce(data::jsonb -> 'details', jsonb_build_object())
               || jsonb_build_object('steps', steps_left, 'cause', data::json ->> 'code')
"""


def compensated(columns: str, *, oldest: str, numbers: tuple[str, str] = ("attempt", "crashes")) -> str:
    """Returns common table expressions that make `gone` of `taken`.

    Args:
        columns: further columns of `taken`.
        oldest: parameter with the `oldest_job` of the statement.
        numbers: names of its numbers of attempts and crashes.
    """
    attempts, crashes = numbers
    return f"""
standing as materialized (
    select t.*, case when t.marks & {Mark.COMPENSABLE:d} <> 0 then {steps_left("t", oldest=oldest)} end as steps_left,
           case when t.marks & {Mark.COMPENSATING:d} <> 0 and t.kind >= {FIRST_TERMINAL:d} then (
               select data from events
               where job_id = t.job_id and job_id >= {oldest} and tenant_id = t.tenant_id and kind = {_COMPENSATING}
               order by sequence desc limit 1
           ) end as began
    from taken t
),
gone as materialized (
    select tenant_id, job_id, sequence, callback_events, batch_id, queue, type, {columns},
           case when {BEGINS} then marks | {Mark.COMPENSATING:d} else marks end as marks,
           case when {BEGINS} then 0 else {attempts} end as {attempts},
           case when {BEGINS} then 0 else {crashes} end as {crashes},
           case when {BEGINS} then {_COMPENSATING}
                when {_ENDS} and steps_left is null then
                    case when began ->> 'end' = 'cancelled' then {_CANCELLED} else {_FAILED} end
                when {_ENDS} then {_FAILED} else kind end::smallint as kind,
           case when {BEGINS} then json_build_object({_BEGAN})::text
                when {_ENDS} and steps_left is null then (began -> 'error')::text
                when {_ENDS} then json_build_object({_LEFT})::text
                else data end as data
    from standing
)"""


class CompensatedStep(NamedTuple):
    """Step that an attempt has compensated; `data` is the event's JSON text."""

    job_id: UUID
    token: int
    name: str
    data: str


# At most one for each attempt: it compensates one step after another. A step that is compensated already, because
# the response to this statement was lost, is not recorded again. Joins are ranges of the whole key: with a constant
# kind, the planner may scan all steps.
RECORD_COMPENSATED_IF_HELD = f"""
with told as (
    select * from unnest($1::uuid[], $2::int[], $3::text[], $4::text[]) as t (job_id, token, name, data)
),
held as materialized (
    select n.tenant_id, t.job_id, {StepKind.STEP:d}::smallint as kind, t.name from told t cross join lateral (
        select tenant_id from running where job_id = t.job_id and token = t.token for update offset 0
    ) n
),
undone as (
    update steps s set status = {StepStatus.COMPENSATED:d}
    from held h
    where s.job_id >= h.job_id and s.job_id <= h.job_id and s.kind >= h.kind and s.kind <= h.kind
      and s.name >= h.name and s.name <= h.name and s.tenant_id = h.tenant_id and s.status = {StepStatus.COMPLETED:d}
    returning s.job_id
),
moved as (
    update running n set sequence = n.sequence + 1
    from told t
    where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token
      and exists (select from undone u where u.job_id = t.job_id)
    returning n.tenant_id, n.job_id, n.sequence, n.attempt, t.data
),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.STEP_COMPENSATED:d}, attempt, $5, data::json from moved
)
select t.job_id, t.token from told t
where exists (select from running where job_id = t.job_id and token = t.token offset 0)
"""


async def record_compensated_if_held(
    connection: Connection, steps: Sequence[CompensatedStep], *, source: str
) -> set[tuple[UUID, int]]:
    """Records compensated steps of attempts that hold their lease. Returns these attempts, as (job, token)."""
    rows = await connection.fetch(RECORD_COMPENSATED_IF_HELD, *zip(*steps, strict=True), source)
    return {(row[0], row[1]) for row in rows}
