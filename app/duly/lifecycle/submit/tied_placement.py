"""Places new tied jobs in their hot tables: blocked by a dependency or a concurrency key, scheduled, or ready."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.job import Flow, NewJob
from duly.domain.outcome import dependency_error
from duly.store.ledger.end_jobs import WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import Connection
from duly.store.ties.placement import HotRow, Placement, acquire_keys, marked, place
from duly.store.ties.unique_keys_and_dependencies import Tied, record_dependencies, watch_parents


async def place_tied(connection: Connection, jobs: Sequence[NewJob], inserted: Mapping[UUID, Tied]) -> None:
    """Places these jobs, just inserted, and fails those that depend on a job that did not complete."""
    keyed = [
        (job.tenant_id, key, job.job_id)
        for job in jobs
        if (key := _flow(job).concurrency_key) and _may_start_now(job, inserted[job.job_id])
    ]
    held = await acquire_keys(connection, keyed)
    parents = [(job.tenant_id, parent) for job in jobs for parent in _flow(job).depends_on]
    ended = await watch_parents(connection, parents)
    rows = [_row(job, inserted[job.job_id], ended, has_key=job.job_id in held) for job in jobs]
    await place(connection, rows)
    failed = {job.job_id: failed_parent for job in jobs if (failed_parent := _failed_dependency(job, ended))}
    await record_dependencies(connection, _open_dependencies(jobs, ended, failed))
    ends = [
        WaitingJobEnd(job.tenant_id, job.job_id, EventKind.FAILED, dependency_error(failed[job.job_id]))
        for job in jobs
        if job.job_id in failed
    ]
    if ends:
        await end_waiting_jobs(connection, ends, source="api")


def _open_dependencies(
    jobs: Sequence[NewJob], ended: Mapping[UUID, EventKind], failed: Mapping[UUID, UUID]
) -> list[tuple[int, UUID, UUID]]:
    """Returns (tenant, parent, job) for each dependency that a job still waits for."""
    return [
        (job.tenant_id, parent, job.job_id)
        for job in jobs
        for parent in _flow(job).depends_on
        if parent not in ended and job.job_id not in failed
    ]


def _flow(job: NewJob) -> Flow:
    return job.flow or Flow()


def _may_start_now(job: NewJob, tied: Tied) -> bool:
    return tied.run_at is None and not _flow(job).depends_on


def _failed_dependency(job: NewJob, ended: Mapping[UUID, EventKind]) -> UUID | None:
    """Returns the first dependency that failed or was cancelled, unless the job runs despite that."""
    flow = _flow(job)
    if flow.despite_failure:
        return None
    return next((parent for parent in flow.depends_on if ended.get(parent) in UNSUCCESSFUL), None)


def _place_of(job: NewJob, tied: Tied, *, waits: bool, has_key: bool) -> Placement:
    flow = _flow(job)
    if waits:
        return Placement.DEPENDENCIES
    if tied.run_at is not None or (flow.depends_on and flow.concurrency_key is not None):
        return Placement.SCHEDULED
    return Placement.READY if flow.concurrency_key is None or has_key else Placement.CONCURRENCY


def _row(job: NewJob, tied: Tied, ended: Mapping[UUID, EventKind], *, has_key: bool) -> HotRow:
    """Returns the row of a new job in its hot table."""
    flow = _flow(job)
    unmet = sum(parent not in ended for parent in flow.depends_on)
    waits = bool(unmet or _failed_dependency(job, ended))
    return HotRow(
        place=_place_of(job, tied, waits=waits, has_key=has_key),
        tenant_id=job.tenant_id,
        job_id=job.job_id,
        token=0,
        sequence=0,
        timeout_seconds=job.timeout_seconds,
        priority=job.priority,
        attempt=0,
        crashes=0,
        callback_events=job.callback_events,
        marks=marked(keyed=flow.concurrency_key is not None, unique=flow.unique_key is not None, holds=flow.holds),
        queue=job.queue,
        type=job.type,
        batch_id=job.batch_id,
        expires_at=tied.expires_at,
        run_at=tied.run_at,
        concurrency_key=flow.concurrency_key,
        waits_for=unmet,
    )
