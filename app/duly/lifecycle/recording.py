"""Record: new jobs inside a transaction of the caller's, and who is told of them after its commit."""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from uuid import UUID

from duly.domain.job import Accepted, Lane, NewJob
from duly.lifecycle.signals import Signals
from duly.store.database import Connection
from duly.store.jobs import record_jobs


async def record(connection: Connection, jobs: Sequence[NewJob]) -> list[Accepted | Exception]:
    """Records new jobs; an answer for each, in order. What is refused (an Exception) is not recorded."""
    at = await record_jobs(connection, jobs)
    return [Accepted(job.job_id, at) for job in jobs]


def tell(
    signals: Signals,
    jobs: Sequence[NewJob],
    accepted: Sequence[Accepted | Exception],
    *,
    started: Container[UUID] = (),
) -> int:
    """After the commit: wakes whoever may run them. Returns how many are new."""
    oldest: dict[Lane, NewJob] = {}
    fresh = 0
    for job, answer in zip(jobs, accepted, strict=True):
        if isinstance(answer, Exception) or answer.job_id != job.job_id:
            continue
        fresh += 1
        if job.job_id in started:
            continue
        if _runs_at_once(job):
            oldest.setdefault(Lane(job.queue, job.type, job.priority), job)
        else:
            signals.local.scheduled(job.delay_seconds or 0)
    for lane, job in oldest.items():
        signals.ready(lane, job.job_id)
    return fresh


def _runs_at_once(job: NewJob) -> bool:
    """By this clock; where the database's says otherwise, the job is found by the next look at what is due."""
    return not job.delay_seconds and (job.run_at is None or job.run_at <= datetime.now(UTC))
