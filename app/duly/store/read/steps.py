"""Steps and waits of a job, in the order of their newest events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection


class StepPosition(NamedTuple):
    """Position in the list: the sequence of the event, and what tells apart the waits of one event."""

    sequence: int
    kind: int
    name: str


class StepView(NamedTuple):
    """Step or wait of a job. `value` is the result of a step or the body of a signal, as JSON text; `attempts` and
    `started_at` are those of the attempt that completed a step.
    """

    position: StepPosition
    status: StepStatus
    until: datetime | None
    compensable: bool
    at: datetime
    attempts: int | None
    started_at: str | None
    value: str | None


# A signal that no attempt has parked for has no row in `steps`.
_STEPS = f"""
select s.sequence, s.kind, s.name, s.status, s.until, s.compensable, e.occurred_at,
       (e.data ->> 'attempts')::int, e.data ->> 'startedAt',
       case when e.kind = {EventKind.STEP_COMPLETED:d} then (e.data -> 'result')::text
            when e.kind = {EventKind.SIGNALLED:d} then (e.data -> 'body')::text end
from (
    select sequence, kind, name, status, until, compensable from steps
    where tenant_id = {{tenant}} and job_id = {{job}}
    union all
    select sequence, {StepKind.SIGNAL:d}, name, {StepStatus.COMPLETED:d}, null, false from signals g
    where tenant_id = {{tenant}} and job_id = {{job}} and not exists (
        select from steps w
        where w.tenant_id = {{tenant}} and w.job_id = {{job}} and w.kind = {StepKind.SIGNAL:d} and w.name = g.name
    )
) s
join events e on e.tenant_id = {{tenant}} and e.job_id = {{job}} and e.sequence = s.sequence
"""
LIST_STEPS = f"""
{_STEPS.format(tenant="$1", job="$2")}
where (s.sequence, s.kind, s.name) > ($3::int, $4::int, $5 collate "C")
order by s.sequence, s.kind, s.name limit $6
"""


async def list_steps(
    connection: Connection, tenant_id: int, job_id: UUID, *, after: StepPosition, limit: int
) -> list[StepView]:
    """Returns steps and waits after a position, up to `limit`."""
    rows = await connection.fetch(LIST_STEPS, tenant_id, job_id, *after, limit)
    return [_view(row) for row in rows]


def _view(row: Record | tuple[Any, ...]) -> StepView:
    return StepView(StepPosition(*row[:3]), StepStatus(row[3]), *row[4:])


LIST_STEPS_OF_EACH = f"""
select a.job_id, v.* from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral ({_STEPS.format(tenant="a.tenant_id", job="a.job_id")} order by s.sequence, s.kind, s.name) v
"""


async def list_steps_of_each(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, list[StepView]]:
    """Returns all steps and waits of these (tenant, job), by job; a job without any is not in the result."""
    found: dict[UUID, list[StepView]] = {}
    for row in await connection.fetch(LIST_STEPS_OF_EACH, *zip(*keys, strict=True)):
        found.setdefault(row[0], []).append(_view(row[1:]))
    return found


READ_AWAITED = f"""
select array(select json_array_elements_text(data -> 'signals')) from events
where tenant_id = $1 and job_id = $2 and kind = {EventKind.PARKED:d} order by sequence desc limit 1
"""


async def read_awaited_signals(connection: Connection, tenant_id: int, job_id: UUID) -> list[str]:
    """Returns the names of the signals for which a job parked the last time."""
    return await connection.fetchval(READ_AWAITED, tenant_id, job_id) or []


class NamedCompensation(NamedTuple):
    """Completed step with a compensation: that of its event, as JSON text."""

    name: str
    sequence: int
    compensation: str


READ_COMPENSATIONS = f"""
select s.name, s.sequence, (e.data -> 'compensation')::text from steps s
join events e on e.tenant_id = s.tenant_id and e.job_id = s.job_id and e.sequence = s.sequence
where s.tenant_id = $1 and s.job_id = $2 and s.kind = {StepKind.STEP:d} and s.compensable
  and s.status = {StepStatus.COMPLETED:d}
order by s.sequence desc
"""


async def read_compensations(connection: Connection, tenant_id: int, job_id: UUID) -> list[NamedCompensation]:
    """Returns the completed steps of a job that have a compensation, in the order of compensation: newest first."""
    return [NamedCompensation(*row) for row in await connection.fetch(READ_COMPENSATIONS, tenant_id, job_id)]
