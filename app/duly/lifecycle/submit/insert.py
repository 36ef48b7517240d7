"""Inserts new jobs in the caller's transaction, and wakes those that may run them after the commit.

Most jobs have no ties: one statement inserts all of them. See `insert_tied` for the others.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from duly.domain.job import Accepted, NewJob
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
    results: list[InsertResult] = []
    if plain:
        recorded = await record_jobs(connection, plain, starting=eager.choose(plain) if eager else None)
        if eager:
            eager.delivers = recorded.delivers
            if not recorded.started:
                eager.release_slots()
        results = [Accepted(job.job_id, recorded.at) for job in plain]
    return results if len(plain) == len(jobs) else await _with_tied(connection, jobs, results)


async def _with_tied(
    connection: Connection, jobs: Sequence[NewJob], results: Sequence[InsertResult]
) -> list[InsertResult]:
    """Inserts the tied ones among these jobs. Returns the results of all, in order, with those of the plain ones."""
    tied = [job for job in jobs if job.flow is not None]
    try:
        of_tied, of_plain = iter(await TiedJobs(connection).insert(tied)), iter(results)
    except LockContention as error:
        raise RecordBusy(f"job {error} is locked too often") from None
    return [next(of_tied if job.flow is not None else of_plain) for job in jobs]


def wake_for_submitted(
    wakeups: Wakeups,
    jobs: Sequence[NewJob],
    results: Sequence[InsertResult],
    *,
    started: Collection[UUID] = (),
) -> int:
    """Wakes the parts that run new jobs, or make them ready. Call it after the commit.

    Args:
        started: jobs that already run on this node.

    Returns:
        The number of jobs that are new, not deduplicated or refused.
    """
    oldest: dict[tuple[object, ...], NewJob] = {}  # by the members of their lane: making one takes half a µs
    fresh: list[tuple[int, str]] = []
    for job, result in zip(jobs, results, strict=True):
        if isinstance(result, Exception) or not result.fresh:
            continue
        fresh.append((job.tenant_id, job.queue))
        if started and job.job_id in started:
            continue
        if job.flow is not None:
            wakeups.local.scheduled(0)
            wakeups.follow_ups()
        if _runs_at_once(job, result.created_at):
            oldest.setdefault((job.tenant_id, job.queue, job.type, job.priority), job)
        else:
            wakeups.local.scheduled(job.delay_seconds or 0)
    for job in oldest.values():
        wakeups.ready(job.lane, job.job_id)
    wakeups.submitted(fresh)
    return len(fresh)


def _runs_at_once(job: NewJob, recorded_at: datetime) -> bool:
    return not job.delay_seconds and (job.run_at is None or job.run_at <= recorded_at)
