"""Children: the jobs that running attempts submit. Recorded together, fenced by the parent's lease, and found again by
every later attempt of the parent: their ids follow from the parent's.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import Accepted, NewBatch, NewJob
from duly.errors import JobExists
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.retry import redrive
from duly.lifecycle.submit.batcher import Batcher
from duly.lifecycle.submit.insert import insert_jobs, wake_for_submitted
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.store.postgres.database import Connection, Database
from duly.store.submit.batches import record_batch, view_batch
from duly.store.ties.child_jobs import find_cancelled, find_left_failed, holders
from duly.store.ties.unique_keys_and_dependencies import find_standing
from duly.telemetry.metrics import Metrics

BATCH = 100


class ChildSubmission(NamedTuple):
    """What one attempt wants recorded: a single job, or all the jobs of a batch. Each has the parent in its flow, and a
    digest of what was asked.
    """

    tenant_id: int
    parent_id: UUID
    token: int
    jobs: Sequence[NewJob]
    batch: NewBatch | None = None


class LeaseLost(Exception):
    """The attempt has lost its job to another; nothing was recorded."""


class ParentCancelled(Exception):
    """The parent is being cancelled; nothing was recorded."""


class ChildSubmitter:
    """Gathers what the attempts of this node submit."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics, *, canceller: Canceller) -> None:
        self._database = database
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._canceller = canceller
        self.batcher: Batcher[ChildSubmission, list[Accepted]] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="child jobs"
        )

    async def submit(self, submission: ChildSubmission) -> list[Accepted]:
        """Records the jobs, or finds them as an earlier attempt recorded them; in their order. Those that failed before
        somebody set the parent going again are set going, too.

        Raises:
            LeaseLost, ParentCancelled: see there.
            JobExists: an earlier attempt submitted something else under one of these ids.
            DulyError: one of them is refused; nothing was recorded.
            Overloaded, DatabaseAway, RecordBusy: it is not known to be recorded; doing it again is safe.
        """
        return await self.batcher.put(submission)

    async def _record(self, submissions: Sequence[ChildSubmission]) -> list[list[Accepted] | Exception]:
        """Single jobs in one transaction, each batch in one of its own."""
        answers: dict[int, list[Accepted] | Exception] = {}
        async with self._connection.use() as connection:
            singles = [number for number, submission in enumerate(submissions) if submission.batch is None]
            batches = [[number] for number, submission in enumerate(submissions) if submission.batch is not None]
            for numbers in filter(None, (singles, *batches)):
                together = [submissions[number] for number in numbers]
                answers |= zip(numbers, await self._record_together(connection, together), strict=True)
            standing = {id_ for number in answers for id_ in _replayed(answers[number])}
            await self._after(connection, submissions, standing)
        return [answers[number] for number in range(len(submissions))]

    async def _record_together(
        self, connection: Connection, submissions: Sequence[ChildSubmission]
    ) -> Sequence[list[Accepted] | Exception]:
        try:
            async with connection.transaction():
                recorded = await _record_fenced(connection, submissions)
        except _BatchRefused as error:
            return [error.reason]
        told = [answer for job, answer in recorded.new]
        self._metrics.recorded(
            wake_for_submitted(self._wakeups, [job for job, _ in recorded.new], told), statement="submit"
        )
        return recorded.answers

    async def _after(self, connection: Connection, submissions: Sequence[ChildSubmission], standing: set[UUID]) -> None:
        """What may have happened to the parents before: they were set going again, or are being cancelled by somebody
        who saw no children yet.
        """
        parents = {
            (submission.tenant_id, job.job_id): submission.parent_id
            for submission in submissions
            for job in submission.jobs
        }
        found = [(tenant, parent, child) for (tenant, child), parent in parents.items() if child in standing]
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
    """An answer for each wish, and what was recorded anew, to be told of."""

    answers: list[list[Accepted] | Exception]
    new: list[tuple[NewJob, InsertResult]]


class _BatchRefused(Exception):
    """Rolls a batch back."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


async def _record_fenced(connection: Connection, submissions: Sequence[ChildSubmission]) -> _Recorded:
    held = await holders(
        connection, [(submission.tenant_id, submission.parent_id, submission.token) for submission in submissions]
    )
    may = [held.get((submission.parent_id, submission.token)) is False for submission in submissions]
    allowed = list(compress(submissions, may))
    answers = await _found(connection, [job for submission in allowed for job in submission.jobs])
    # By id: a caller that was stopped may have left its wish behind, and come again.
    unique = {job.job_id: job for submission in allowed for job in await _new_of(connection, submission, answers)}
    new = list(unique.values())
    recorded = list(zip(new, await insert_jobs(connection, new), strict=True)) if new else []
    answers |= {job.job_id: answer for job, answer in recorded}
    told: list[list[Accepted] | Exception] = []
    for submission, it_may in zip(submissions, may, strict=True):
        if not it_may:
            told.append(ParentCancelled() if (submission.parent_id, submission.token) in held else LeaseLost())
            continue
        told.append(_all_accepted(answers[job.job_id] for job in submission.jobs))
        if submission.batch is not None:
            await _settle_batch(connection, submission, submission.batch, told[-1], recorded)
    return _Recorded(told, recorded)


async def _found(connection: Connection, jobs: Sequence[NewJob]) -> dict[UUID, InsertResult]:
    """Those that an earlier attempt recorded."""
    standing = await find_standing(connection, [(job.tenant_id, job.job_id) for job in jobs]) if jobs else {}
    return {
        job.job_id: Accepted(job.job_id, before.created_at, replayed=True)
        if job.flow is not None and before.digest == job.flow.digest
        else JobExists("An earlier attempt submitted another job in this place.")
        for job in jobs
        if (before := standing.get(job.job_id))
    }


async def _new_of(
    connection: Connection, submission: ChildSubmission, answers: dict[UUID, InsertResult]
) -> list[NewJob]:
    """What is to be recorded. A batch has the jobs that it was recorded with: what another job with its unique key made
    needless then, and would not now, stands beside it.
    """
    new = [job for job in submission.jobs if job.job_id not in answers]
    if submission.batch is None or not new:
        return new
    stands = await view_batch(connection, submission.tenant_id, submission.batch.batch_id) is not None
    return [job._replace(batch_id=None) for job in new] if stands else new


async def _settle_batch(
    connection: Connection,
    submission: ChildSubmission,
    batch: NewBatch,
    answer: list[Accepted] | Exception,
    recorded: Sequence[tuple[NewJob, InsertResult]],
) -> None:
    """Records the batch, where it is new.

    Raises:
        _BatchRefused: one of its jobs is refused.
    """
    if isinstance(answer, Exception):
        raise _BatchRefused(answer)
    members = [given for job, given in recorded if job.batch_id == batch.batch_id]
    if members:
        fresh = [given for given in members if isinstance(given, Accepted) and not given.deduplicated]
        await record_batch(connection, batch, submission.jobs, total=len(fresh))


def _all_accepted(answers: Iterable[InsertResult]) -> list[Accepted] | Exception:
    """All of them, or the first that is refused."""
    accepted: list[Accepted] = []
    for answer in answers:
        if isinstance(answer, Exception):
            return answer
        accepted.append(answer)
    return accepted


def _replayed(answer: list[Accepted] | Exception) -> list[UUID]:
    return [] if isinstance(answer, Exception) else [accepted.job_id for accepted in answer if accepted.replayed]
