"""Retry of jobs that failed or were cancelled."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Mark
from duly.domain.outcome import COMPENSATION_FAILED
from duly.domain.steps import StepKind, StepStatus
from duly.store.ledger.compensation import steps_left
from duly.store.postgres.database import Connection
from duly.store.ties.held import NOTE, FromStep, forgotten, forgotten_names, marks_of_steps
from duly.store.ties.placement import HotRow

# The token is the number of recorded starts, since each claim raises it by one. It keeps rising, so a worker that still
# runs the job cannot write. Of two concurrent requests one writes the event. Marks are looked up job by job, because
# the planner may answer `exists` for many by a full scan. A failed compensation is continued; else what was compensated
# is forgotten.
REQUEUE_JOBS = f"""
with wanted as materialized (
    select * from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
),
last as materialized (
    select a.tenant_id, a.job_id, e.sequence, e.kind, e.failed_to_compensate and exists (
        select from steps s
        where s.job_id = a.job_id and s.tenant_id = a.tenant_id and s.kind = {StepKind.STEP:d} and s.compensable
          and s.status = {StepStatus.COMPLETED:d}
    ) as compensates
    from wanted a cross join lateral (
        select sequence, kind,
               kind = {EventKind.FAILED:d} and coalesce(data ->> 'code' = '{COMPENSATION_FAILED}', false)
               as failed_to_compensate
        from events where job_id = a.job_id and tenant_id = a.tenant_id
        order by sequence desc limit 1
    ) e
    where e.kind in ({EventKind.FAILED:d}, {EventKind.CANCELLED:d})
),
undone as materialized (select * from last where not compensates),
{forgotten("undone")},
requeued as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence + 1, {EventKind.REQUEUED:d}, 0, $3, {NOTE.format(names=forgotten_names("l"))}
    from last l
    on conflict do nothing
    returning tenant_id, job_id, sequence
),
asked as materialized (
    select r.tenant_id, r.job_id, r.sequence + l.compensates::int as sequence, l.kind, l.compensates, j.*
    from requeued r
    cross join lateral (select kind, compensates from last where job_id = r.job_id limit 1) l
    cross join lateral (
        select timeout_seconds, priority, callback_events, queue, type, batch_id, unique_key, concurrency_key,
               depends_on, despite_failure, holds
        from jobs where tenant_id = r.tenant_id and job_id = r.job_id offset 0
    ) j
),
continued as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence, {EventKind.COMPENSATING:d}, 0, $3,
           json_build_object('end', e.data -> 'end', 'error', e.data -> 'error', 'steps', {steps_left("a")})
    from asked a cross join lateral (
        select data from events
        where job_id = a.job_id and tenant_id = a.tenant_id and kind = {EventKind.COMPENSATING:d}
        order by sequence desc limit 1
    ) e
    where compensates
),
uncounted as (
    insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled)
    select tenant_id, batch_id, 0, -count(*) filter (where kind = {EventKind.FAILED:d}),
           -count(*) filter (where kind = {EventKind.CANCELLED:d})
    from asked where batch_id is not null group by tenant_id, batch_id
)
select 0, tenant_id, job_id,
       (
           select count(*)::int from events e
           where e.job_id = a.job_id and e.tenant_id = a.tenant_id and e.kind = {EventKind.STARTED:d}
       ),
       sequence, timeout_seconds, priority, 0, 0, callback_events,
       case when concurrency_key is not null then {Mark.KEYED:d} else 0 end
       | case when unique_key is not null then {Mark.UNIQUE:d} else 0 end
       | coalesce((
             select {Mark.DEPENDED:d} from dependencies d
             where d.parent_id = a.job_id and d.tenant_id = a.tenant_id limit 1
         ), 0)
       | coalesce((
             select {Mark.MERGED:d} from events e
             where e.job_id = a.job_id and e.tenant_id = a.tenant_id and e.kind = {EventKind.REQUEUED:d}
               and e.data -> 'parameters' is not null
             limit 1
         ), 0)
       | coalesce((
             select {Mark.CHECKPOINT:d} from checkpoints c where c.job_id = a.job_id and c.tenant_id = a.tenant_id
         ), 0)
       | case when holds then {Mark.HOLDS:d} else 0 end
       | case when compensates then {Mark.COMPENSATING:d} else 0 end
       | {marks_of_steps("a", keeps="a.compensates")},
       queue, type, batch_id, null::timestamptz, null::timestamptz, concurrency_key, 0,
       case when not compensates then depends_on end, coalesce(despite_failure, false)
from asked a
"""


class RequeuedJob(NamedTuple):
    """Job to run again, and its dependencies."""

    standing: HotRow
    depends_on: tuple[UUID, ...]
    despite_failure: bool


async def requeue(
    connection: Connection, keys: Sequence[tuple[int, UUID]], *, source: str, from_step: FromStep | None = None
) -> list[RequeuedJob]:
    """Records that these (tenant, job) run again, with new attempts; they have no hot row yet. A job that neither
    failed nor was cancelled is not in the result.
    """
    if not keys:
        return []
    columns = [list(column) for column in zip(*keys, strict=True)]
    name, sequence = from_step or (None, None)
    rows = await connection.fetch(REQUEUE_JOBS, *columns, source, sequence, name)
    return [RequeuedJob(HotRow(*row[:18]), tuple(row[18] or ()), row[19]) for row in rows]


READ_UNIQUE_KEYS = """
select a.tenant_id, a.job_id, j.type, j.unique_key from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select type, unique_key from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0
) j
where j.unique_key is not null
"""


async def read_unique_keys(
    connection: Connection, keys: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, str, str], list[UUID]]:
    """Returns the jobs among these (tenant, job) that have a unique key, by (tenant, type, key)."""
    found: dict[tuple[int, str, str], list[UUID]] = {}
    for row in await connection.fetch(READ_UNIQUE_KEYS, *(list(column) for column in zip(*keys, strict=True))):
        found.setdefault((row[0], row[2], row[3]), []).append(row[1])
    return found
