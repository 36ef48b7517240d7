"""Follow-ups: effects of a job's end on other jobs.

Its concurrency key passes to the next job, dependent jobs start or fail, a parked parent resumes, its batch is counted,
and the job that follows the batch is submitted. An end leaves its follow-ups in the ledger, in its own transaction; any
node carries them out, in one transaction that also removes them. If that node dies, another one does it.
"""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.ids import IdMaker
from duly.domain.job import NewJob
from duly.domain.job_template import refusal_text, then_job
from duly.domain.outcome import dependency_error
from duly.domain.webhook_events import BatchCounts, batch_completed_body
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.insert import wake_for_submitted
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.lifecycle.submit.queue_limit import QueueLimit, insert_within_limit
from duly.lifecycle.writes.round_size import RoundSize
from duly.lifecycle.writes.set_aside import forget_refusals, note_refusal
from duly.store.ledger.end_jobs import EndedWaitingJob, WaitingJobEnd, end_waiting_jobs
from duly.store.ledger.pending_follow_ups import PendingFollowUp, take_pending_follow_ups
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.store.queue.ready import LaneStart
from duly.store.queue.set_aside import Stage
from duly.store.submit.batches import CountedBatch, add_tallies, record_then, record_then_error, take_tallies
from duly.store.ties.placement import count_down, find_doomed, transfer_keys
from duly.store.ties.waiting_parents import resume_waiting_parents
from duly.store.webhooks.messages_without_event import insert_batch_message
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.follow_ups")

BATCH = 200
LOOK_SECONDS = 1.0
# Longest wait for a row that another transaction has locked, so that other follow-ups are not delayed by it.
LOCK_SECONDS = 2.0


class FollowUps:
    """Carries out follow-ups; `step` is run by a loop, on any number of nodes."""

    def __init__(
        self, database: Database, wakeups: Wakeups, metrics: Metrics, *, queue_limit: QueueLimit, clock: DatabaseClock
    ) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._metrics = metrics
        self._queue_limit = queue_limit
        self._ids = clock.ids
        self._ends: RoundSize[UUID] = RoundSize(metrics, most=BATCH, statement="follow-up")
        self._batches: RoundSize[UUID] = RoundSize(metrics, most=BATCH, statement="batch-count")

    async def step(self) -> float:
        """Runs one round. Returns the seconds until the next."""
        more = await self._round(self._follow_ends, self._ends)
        return 0 if await self._round(self._count_batches, self._batches) or more else LOOK_SECONDS

    async def _round(
        self, work: Callable[[Connection, list[UUID]], Awaitable[bool]], round_size: RoundSize[UUID]
    ) -> bool:
        """Runs one transaction; `work` adds what it takes to the list. Returns True to look again at once."""
        taken: list[UUID] = []
        try:
            async with self._connection.use() as connection:
                more = await work(connection, taken)
        except DatabaseOutage:
            raise
        except Exception as error:  # any error: the follow-ups of other jobs must be carried out
            if not taken and round_size.limit == 1:
                raise
            blamed = round_size.refused(taken, error)
            if blamed is not None and round_size is self._ends:
                await note_refusal(self._connection, blamed, error, stage=Stage.FOLLOW_UP)
            return True
        if (known := round_size.recorded(taken)) and round_size is self._ends:
            await forget_refusals(self._connection, known, stage=Stage.FOLLOW_UP)
        return more

    async def _follow_ends(self, connection: Connection, taken: list[UUID]) -> bool:
        """Carries out the follow-ups of some ended jobs. Returns True if there may be more."""
        limit = self._ends.limit
        async with connection.transaction():
            endings = await take_pending_follow_ups(connection, limit=limit, exclude=self._ends.aside())
            if not endings:
                return False
            taken += [end.job_id for end in endings]
            lanes = await transfer_keys(connection, [end.job_id for end in endings if end.keyed])
            ended = await _fail_dependents(connection, endings)
            depended = [end.job_id for end in endings if end.depended]
            resumed = await resume_waiting_parents(connection, depended, source="sweeper") if depended else []
            lanes += resumed + await count_down(connection, depended)
        self._wake(lanes, ended)
        self._wakeups.changed([start.floor for start in resumed])
        return len(endings) == limit or any(end.followed for end in ended)

    async def _count_batches(self, connection: Connection, taken: list[UUID]) -> bool:
        """Adds ends to the counts of some batches, and completes batches. Returns True if there may be more."""
        async with connection.transaction():
            tallies = await take_tallies(connection, limit=self._batches.limit, exclude=self._batches.aside())
            taken += [tally.batch_id for tally in tallies]
            added = await add_tallies(connection, tallies)
            jobs = [await self._submit_then(connection, batch) for batch in added if batch.then is not None]
            announced = [
                await _record_batch_webhook(connection, batch, self._ids)
                for batch in added
                if batch.completed_at is not None
            ]
        refused = sum(isinstance(result, Exception) for _, result in jobs)
        self._metrics.kept_refused.labels("then").inc(refused)
        if jobs:
            wake_for_submitted(self._wakeups, [job for job, _ in jobs], [result for _, result in jobs])
        if any(announced):
            self._wakeups.deliveries()
        return bool(added)

    async def _submit_then(self, connection: Connection, batch: CountedBatch) -> tuple[NewJob, InsertResult]:
        """Submits the job that follows a batch, with the batch's counts in its parameters."""
        counts = {"completed": batch.completed, "failed": batch.failed, "cancelled": batch.cancelled}
        job = then_job(batch.then or "", job_id=self._ids.new(), batch={"batchId": str(batch.batch_id), **counts})
        [result] = await insert_within_limit(connection, [job], limit=self._queue_limit)
        if isinstance(result, Exception):
            message = f"follow-up job of batch {batch.batch_id} refused: {result}"
            log.error(message, action="then_refused", batch_id=str(batch.batch_id))
            await record_then_error(connection, batch.tenant_id, batch.batch_id, refusal_text(result))
        else:
            await record_then(connection, batch.tenant_id, batch.batch_id, result.job_id)
        return job, result

    def _wake(self, lanes: Sequence[LaneStart], ended: Sequence[EndedWaitingJob]) -> None:
        for start in lanes:
            self._wakeups.ready(start.lane, start.floor)
        self._wakeups.local.scheduled(0)
        wake_for_ended(self._wakeups, self._metrics, ended)


async def _fail_dependents(connection: Connection, endings: Sequence[PendingFollowUp]) -> list[EndedWaitingJob]:
    """Fails jobs that depend on jobs that did not complete."""
    unsuccessful = [end.job_id for end in endings if end.depended and end.kind in UNSUCCESSFUL]
    dependents = await find_doomed(connection, unsuccessful) if unsuccessful else []
    ends = [
        WaitingJobEnd(tenant, child, EventKind.FAILED, dependency_error(parent)) for tenant, child, parent in dependents
    ]
    return await end_waiting_jobs(connection, ends, source="sweeper") if ends else []


async def _record_batch_webhook(connection: Connection, batch: CountedBatch, ids: IdMaker) -> bool:
    """Records the webhook of a completed batch. Returns True if an endpoint receives it."""
    if batch.completed_at is None:
        return False
    counts = BatchCounts(batch.total, batch.completed, batch.failed, batch.cancelled)
    body = batch_completed_body(batch.batch_id, batch.name, counts, at=batch.completed_at)
    return await insert_batch_message(connection, batch.tenant_id, message_id=ids.new(), body=body)


def wake_for_ended(wakeups: Wakeups, metrics: Metrics, ended: Sequence[EndedWaitingJob]) -> None:
    """Wakes the followers of jobs that ended while they waited, the dispatcher, and follow-ups. Call it after the
    commit.
    """
    if not ended:
        return
    wakeups.changed([end.job_id for end in ended])
    for end in ended:
        if not end.kind.terminal:
            wakeups.ready(end.lane, end.job_id)
    if any(end.delivers for end in ended):
        wakeups.deliveries()
    if any(end.followed for end in ended):
        wakeups.follow_ups()
    for end in ended:
        if end.kind.terminal:
            metrics.ended_waiting(end.tenant_id, end.queue, end.kind)
