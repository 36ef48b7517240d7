"""Retry by hand: the steps that it forgets, and jobs that are held because their attempts are exhausted."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Lane, Mark, WaitReason
from duly.domain.steps import StepKind, StepStatus
from duly.store.postgres.database import Connection
from duly.store.queue.ready import LaneStart

# A retry forgets steps that were compensated, and those from sequence `$4` on, if it names one (`$5`).
FORGETS = f"(s.status = {StepStatus.COMPENSATED:d} or coalesce(s.sequence >= $4, false))"
NOTE = "json_strip_nulls(json_build_object('reason', 'retried', 'fromStep', $5::text, 'forgotten', {names}))"
KEPT_STEPS = Mark.STEPS | Mark.COMPENSABLE


def forgotten(source: str) -> str:
    """Returns a common table expression that deletes the steps that a retry of the jobs in `source` forgets."""
    return f"""
forgotten as (
    delete from steps s using {source} l
    where s.job_id >= l.job_id and s.job_id <= l.job_id and s.tenant_id = l.tenant_id and {FORGETS}
    returning s.job_id, s.sequence, s.name
)
"""


def forgotten_names(job: str) -> str:
    """Returns an SQL expression for the names of the steps of a job that are forgotten; null for none."""
    return f"(select json_agg(f.name order by f.sequence) from forgotten f where f.job_id = {job}.job_id)"


def marks_of_steps(job: str, *, keeps: str = "false") -> str:
    """Returns an SQL expression for the marks of the steps that a job keeps; where `keeps` is true, it keeps all."""
    kept = f"({keeps} or not {FORGETS})"
    found = "select {mark:d} from steps s where s.job_id = {job}.job_id and s.tenant_id = {job}.tenant_id and {kept}"
    compensable = f"s.kind = {StepKind.STEP:d} and s.compensable and s.status = {StepStatus.COMPLETED:d}"
    return (
        f"coalesce(({found.format(mark=Mark.STEPS, job=job, kept=kept)} limit 1), 0)\n"
        f"       | coalesce(({found.format(mark=Mark.COMPENSABLE, job=job, kept=kept)} and {compensable} limit 1), 0)"
    )


# They kept their concurrency key, their unique key and their token, and wait for no other job.
RELEASE_HELD = f"""
with wanted as materialized (
    select * from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
),
gone as (
    delete from scheduled s using wanted a
    where s.job_id >= a.job_id and s.job_id <= a.job_id and s.tenant_id = a.tenant_id and s.reason = {WaitReason.HELD:d}
    returning s.*
),
{forgotten("gone")},
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source, data)
    select tenant_id, job_id, sequence + 1, {EventKind.REQUEUED:d}, 0, $3, {NOTE.format(names=forgotten_names("g"))}
    from gone g
),
now_ready as (
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, batch_id, queue, type)
    select tenant_id, job_id, token, sequence + 1, timeout_seconds, priority, 0, 0, callback_events,
           marks & ~{KEPT_STEPS:d} | {marks_of_steps("g")}, batch_id, queue, type
    from gone g
)
select tenant_id, queue, type, priority, job_id from gone
"""


class FromStep(NamedTuple):
    """Step from which a job is retried, and the sequence of its event."""

    name: str
    sequence: int


async def release_held(
    connection: Connection, keys: Sequence[tuple[int, UUID]], *, source: str, from_step: FromStep | None = None
) -> list[LaneStart]:
    """Makes those of these (tenant, job) that are held ready, with new attempts. Returns the lane and the id of each.

    Args:
        from_step: this step and all later ones are forgotten.
    """
    columns = [list(column) for column in zip(*keys, strict=True)]
    name, sequence = from_step or (None, None)
    rows = await connection.fetch(RELEASE_HELD, *columns, source, sequence, name)
    return [LaneStart(Lane(*row[:4]), row[4]) for row in rows]


READ_RECORDED_STEPS = f"""
select name, sequence from steps
where job_id = $2 and tenant_id = $1 and kind = {StepKind.STEP:d} and status = {StepStatus.COMPLETED:d}
order by sequence
"""


async def read_recorded_steps(connection: Connection, tenant_id: int, job_id: UUID) -> dict[str, int]:
    """Returns the completed steps of a job with the sequences of their events, in their order."""
    return {row[0]: row[1] for row in await connection.fetch(READ_RECORDED_STEPS, tenant_id, job_id)}
