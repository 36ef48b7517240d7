"""Inserts new jobs in the caller's transaction, and wakes those that may run them after the commit.

Most jobs have no ties: one statement inserts all of them. See `insert_tied` for the others.
"""

from collections.abc import Container, Sequence
from datetime import datetime
from uuid import UUID

from duly.domain.job import Accepted, Lane, NewJob
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.eager_start import EagerStart
from duly.lifecycle.submit.insert_tied import InsertResult, TiedJobs
from duly.store.postgres.database import Connection, RecordBusy
from duly.store.submit.jobs import record_jobs
from duly.store.ties.unique_keys_and_dependencies import LockContention


async def insert_jobs(
    connection: Connection, jobs: Sequence[NewJob], *, eager: EagerStart | None = None
) -> list[InsertResult]:
    """Inserts new jobs. Returns a result for each, in order; an Exception for a job that is refused and not inserted.

    Raises:
        RecordBusy: a job that another one depends on is locked too often; it is safe to try again.
    """
    plain = [job for job in jobs if job.flow is None]
    results: dict[UUID, InsertResult] = {}
    if plain:
        recorded = await record_jobs(connection, plain, starting=eager.choose(plain) if eager else None)
        if eager:
            eager.delivers = recorded.delivers
            if not recorded.started:
                eager.release_slots()
        results = {job.job_id: Accepted(job.job_id, recorded.at) for job in plain}
    if len(plain) == len(jobs):
        return list(results.values())
    return await _with_tied(connection, jobs, results)


async def _with_tied(
    connection: Connection, jobs: Sequence[NewJob], results: dict[UUID, InsertResult]
) -> list[InsertResult]:
    """Inserts the tied ones among these jobs. Returns the results of all, in order."""
    tied = [job for job in jobs if job.flow is not None]
    try:
        of_tied = iter(await TiedJobs(connection).insert(tied))
    except LockContention as error:
        raise RecordBusy(f"job {error} is locked too often") from None
    return [next(of_tied) if job.flow is not None else results[job.job_id] for job in jobs]


def wake_for_submitted(
    wakeups: Wakeups,
    jobs: Sequence[NewJob],
    results: Sequence[InsertResult],
    *,
    started: Container[UUID] = (),
) -> int:
    """Wakes the parts that run new jobs, or make them ready. Call it after the commit.

    Args:
        started: jobs that already run on this node.

    Returns:
        The number of jobs that are new, not deduplicated or refused.
    """
    oldest: dict[Lane, NewJob] = {}
    fresh: list[str] = []
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Exception) or not result.fresh:
            continue
        fresh.append(job.queue)
        if job.job_id in started:
            continue
        if job.flow is not None:
            wakeups.local.scheduled(0)
            wakeups.follow_ups()
        if _runs_at_once(job, result.created_at):
            oldest.setdefault(Lane(job.queue, job.type, job.priority), job)
        else:
            wakeups.local.scheduled(job.delay_seconds or 0)
    for lane, job in oldest.items():
        wakeups.ready(lane, job.job_id)
    wakeups.submitted(fresh)
    return len(fresh)


def _runs_at_once(job: NewJob, recorded_at: datetime) -> bool:
    return not job.delay_seconds and (job.run_at is None or job.run_at <= recorded_at)
