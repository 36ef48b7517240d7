"""Submits the child jobs of running attempts, fenced by the parent's lease token.

The ids of children are derived from the parent's, so each later attempt of the parent finds them again.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import Accepted, NewBatch, NewJob
from duly.errors import CancelRequested, JobExists, LeaseLost
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.retry import redrive
from duly.lifecycle.submit.insert import wake_for_submitted
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.lifecycle.submit.queue_limit import QueueLimit, insert_within_limit
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import Connection, Database
from duly.store.submit.batches import record_batch, view_batch
from duly.store.ties.child_jobs import find_cancelled, find_left_failed, holders
from duly.store.ties.unique_keys_and_dependencies import find_recorded
from duly.telemetry.metrics import Metrics

BATCH = 100


class ChildSubmission(NamedTuple):
    """The child jobs that one attempt submits in one call: a single job, or a batch. The flow of each names the parent
    and a digest of the submission.
    """

    tenant_id: int
    parent_id: UUID
    token: int
    jobs: Sequence[NewJob]
    batch: NewBatch | None = None


class ChildSubmitter:
    """Records the child jobs of all attempts on this node."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        queue_limit: QueueLimit,
        canceller: Canceller,
    ) -> None:
        self._database = database
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._queue_limit = queue_limit
        self._canceller = canceller
        self.batcher: Batcher[ChildSubmission, list[Accepted]] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="child jobs"
        )

    async def submit(self, submission: ChildSubmission) -> list[Accepted]:
        """Records the jobs, or finds those that an earlier attempt recorded. Returns the results in order.

        Jobs that failed before their parent was redriven are redriven too.

        Raises:
            LeaseLost, CancelRequested: nothing was recorded.
            JobExists: an earlier attempt submitted something else in one of these places.
            DulyError: one of the jobs is refused; nothing was recorded.
            Overloaded, DatabaseOutage, RecordBusy: they are not known to be recorded; it is safe to try again.
        """
        return await self.batcher.put(submission)

    async def _record(self, submissions: Sequence[ChildSubmission]) -> list[list[Accepted] | Exception]:
        """Records all single jobs in one transaction, and each batch in one of its own."""
        results: dict[int, list[Accepted] | Exception] = {}
        async with self._connection.use() as connection:
            singles = [number for number, submission in enumerate(submissions) if submission.batch is None]
            batches = [[number] for number, submission in enumerate(submissions) if submission.batch is not None]
            for numbers in filter(None, (singles, *batches)):
                together = [submissions[number] for number in numbers]
                results |= zip(numbers, await self._record_together(connection, together), strict=True)
            existing = {id_ for number in results for id_ in _replayed(results[number])}
            await self._after(connection, submissions, existing)
        return [results[number] for number in range(len(submissions))]

    async def _record_together(
        self, connection: Connection, submissions: Sequence[ChildSubmission]
    ) -> Sequence[list[Accepted] | Exception]:
        """Records submissions in one transaction, and wakes what runs the new jobs."""
        try:
            async with connection.transaction():
                recorded = await _record_fenced(connection, submissions, self._queue_limit)
        except _BatchRefused as error:
            return [error.reason]
        results = [result for job, result in recorded.new]
        self._metrics.recorded(
            wake_for_submitted(self._wakeups, [job for job, _ in recorded.new], results), statement="submit"
        )
        return recorded.results

    async def _after(self, connection: Connection, submissions: Sequence[ChildSubmission], existing: set[UUID]) -> None:
        """Redrives children of redriven parents, and cancels children of parents that were cancelled before the
        children were visible.
        """
        parents = {
            (submission.tenant_id, job.job_id): submission.parent_id
            for submission in submissions
            for job in submission.jobs
        }
        found = [(tenant, parent, child) for (tenant, child), parent in parents.items() if child in existing]
        if found:
            failed = await find_left_failed(connection, found)
            if failed:
                again = [(tenant, child) for tenant, _, child in found if child in failed]
                await redrive(self._database, self._wakeups, again)
        cancelled = await find_cancelled(
            connection, sorted({(submission.tenant_id, submission.parent_id) for submission in submissions})
        )
        for submission in submissions:
            if submission.parent_id in cancelled:
                await self._canceller.cancel_many(submission.tenant_id, [job.job_id for job in submission.jobs])


class _Recorded(NamedTuple):
    """A result for each submission, and the jobs that are new."""

    results: list[list[Accepted] | Exception]
    new: list[tuple[NewJob, InsertResult]]


class _BatchRefused(Exception):
    """Rolls the transaction of a batch back."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


async def _record_fenced(
    connection: Connection, submissions: Sequence[ChildSubmission], queue_limit: QueueLimit
) -> _Recorded:
    """Records the submissions whose attempts hold their leases."""
    attempts = [(submission.tenant_id, submission.parent_id, submission.token) for submission in submissions]
    held = await holders(connection, attempts)
    fenced = [held.get((submission.parent_id, submission.token)) is False for submission in submissions]
    allowed = list(compress(submissions, fenced))
    of_jobs = await _found(connection, [job for submission in allowed for job in submission.jobs])
    # By id: a caller that was stopped may have left its submission behind, and sent it again.
    unique = {job.job_id: job for submission in allowed for job in await _new_of(connection, submission, of_jobs)}
    new = list(unique.values())
    results_of_new = await insert_within_limit(connection, new, limit=queue_limit) if new else []
    recorded = list(zip(new, results_of_new, strict=True))
    of_jobs |= {job.job_id: result for job, result in recorded}
    results: list[list[Accepted] | Exception] = []
    for submission, is_held in zip(submissions, fenced, strict=True):
        if not is_held:
            cancelled = (submission.parent_id, submission.token) in held
            results.append((CancelRequested if cancelled else LeaseLost).of(submission.parent_id))
            continue
        results.append(_all_accepted(of_jobs[job.job_id] for job in submission.jobs))
        if submission.batch is not None:
            await _settle_batch(connection, submission, submission.batch, results[-1], recorded)
    return _Recorded(results, recorded)


async def _found(connection: Connection, jobs: Sequence[NewJob]) -> dict[UUID, InsertResult]:
    """Returns the jobs that an earlier attempt recorded."""
    existing = await find_recorded(connection, [(job.tenant_id, job.job_id) for job in jobs]) if jobs else {}
    return {
        job.job_id: Accepted(job.job_id, before.created_at, replayed=True)
        if job.flow is not None and before.digest == job.flow.digest
        else JobExists("An earlier attempt submitted a different job at this point.")
        for job in jobs
        if (before := existing.get((job.tenant_id, job.job_id)))
    }


async def _new_of(
    connection: Connection, submission: ChildSubmission, results: dict[UUID, InsertResult]
) -> list[NewJob]:
    """Returns the jobs to record. A batch keeps the jobs that it was recorded with: a job that was deduplicated then,
    and would not be now, is recorded outside of the batch.
    """
    new = [job for job in submission.jobs if job.job_id not in results]
    if submission.batch is None or not new:
        return new
    exists = await view_batch(connection, submission.tenant_id, submission.batch.batch_id) is not None
    return [job._replace(batch_id=None) for job in new] if exists else new


async def _settle_batch(
    connection: Connection,
    submission: ChildSubmission,
    batch: NewBatch,
    result: list[Accepted] | Exception,
    recorded: Sequence[tuple[NewJob, InsertResult]],
) -> None:
    """Records the batch, if it is new.

    Raises:
        _BatchRefused: one of its jobs is refused.
    """
    if isinstance(result, Exception):
        raise _BatchRefused(result)
    members = [given for job, given in recorded if job.batch_id == batch.batch_id]
    if members:
        fresh = [given for given in members if isinstance(given, Accepted) and not given.deduplicated]
        await record_batch(connection, batch, submission.jobs, total=len(fresh))


def _all_accepted(results: Iterable[InsertResult]) -> list[Accepted] | Exception:
    """Returns all results, or the first error."""
    accepted: list[Accepted] = []
    for result in results:
        if isinstance(result, Exception):
            return result
        accepted.append(result)
    return accepted


def _replayed(result: list[Accepted] | Exception) -> list[UUID]:
    """Returns the ids of the jobs that an earlier attempt recorded."""
    return [] if isinstance(result, Exception) else [accepted.job_id for accepted in result if accepted.replayed]
