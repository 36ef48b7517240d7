"""Records a batch of any size from a temporary file, in one transaction, chunk by chunk."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.domain.ids import IdBlock
from duly.domain.job import Accepted, NewBatch, NewJob
from duly.errors import Invalid, PathError
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.batch_spool import JobSpool
from duly.lifecycle.submit.idempotent_responses import store_batch_response, stored_substitutes
from duly.lifecycle.submit.insert import insert_jobs, wake_for_submitted
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.lifecycle.submit.submit import BatchRefused, busy_error, check_same_request, insert_again
from duly.store.postgres.database import Connection, Database, DatabaseOutage, RecordBusy
from duly.store.submit.batches import record_batch, view_batch
from duly.store.submit.idempotency import reserve_key
from duly.telemetry.metrics import Metrics

TRIES = 3
# Jobs with ties in one batch: until the transaction ends, others wait for their keys and dependencies.
MOST_TIED = 10_000
# Lanes that are woken at once; jobs in the others are found by the next regular look.
MOST_LANES = 1_000

Record = Callable[[Connection, Sequence[NewJob]], Awaitable[list[InsertResult]]]


class SpooledJobs:
    """The jobs of one batch, in order of submission. Jobs that lock shared rows are kept apart and recorded last, so
    that their locks are held for a short time.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._simple, self._tied = JobSpool(), JobSpool()

    async def put(self, job: NewJob) -> None:
        """Adds the next job.

        Raises:
            Invalid: there are too many jobs with ties.
            Unavailable: the disk is full.
        """
        spool = self._tied if _locks(job) else self._simple
        if self._tied.count >= MOST_TIED and spool is self._tied:
            message = f"too many jobs with dependsOn, uniqueKey or concurrencyKey (at most {MOST_TIED:,} in one batch)"
            raise Invalid.at([PathError("", message)])
        if spool.full:
            await spool.write()
        spool.add(self.count, job)

    @property
    def count(self) -> int:
        """Number of jobs."""
        return self._simple.count + self._tied.count

    @property
    def spools(self) -> tuple[JobSpool, JobSpool]:
        """The spools in the order in which they are recorded."""
        return self._simple, self._tied

    async def __aenter__(self) -> Self:
        for spool in self.spools:
            await self._stack.enter_async_context(spool)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _locks(job: NewJob) -> bool:
    """Returns True if recording the job locks rows that other jobs use."""
    flow = job.flow
    return flow is not None and bool(flow.unique_key or flow.concurrency_key or flow.depends_on)


class AcceptedSpooledBatch(NamedTuple):
    """Result of submitting a spooled batch. Its jobs have the ids of `block`, except `others`, the jobs that were
    returned in place of deduplicated ones. Without a block, an earlier request recorded the batch.
    """

    batch_id: UUID
    created_at: datetime
    total: int
    block: IdBlock | None
    others: dict[int, UUID]

    def job_ids(self) -> Iterator[UUID]:
        """Returns the ids in order of submission; none if an earlier request recorded the batch."""
        if block := self.block:
            return (self.others.get(index) or block[index] for index in range(self.total))
        return iter(())


class SpooledSubmitter:
    """Records one spooled batch at a time in each process, on a connection of its own."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics, *, clock: DatabaseClock) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._ids = clock.ids
        self._turn = asyncio.Lock()

    async def submit(self, batch: NewBatch, jobs: SpooledJobs) -> AcceptedSpooledBatch:
        """Records a batch and all its jobs, or nothing.

        Raises:
            BatchRefused: some of the jobs were refused; it names those of the first such chunk.
            IdempotencyKeyReused, IdempotencyInFlight, Overloaded: see `duly.errors`.
            DatabaseOutage: it is not known to be recorded.
        """
        async with self._turn:
            # Ids are made now, so that their time is that of the record, however slowly the jobs arrived.
            work = _SpoolInsert(batch._replace(batch_id=self._ids.new()), jobs, self._ids.block())
            accepted = await self._record(work)
        if accepted.block is not None:
            work.pending.wake(self._wakeups, self._metrics)
        return accepted

    async def _record(self, work: "_SpoolInsert") -> AcceptedSpooledBatch:
        """Records a batch, again while rows that it needs are locked."""
        tries = (
            1 if work.batch.idempotency else TRIES
        )  # a request with a key fails at once while the first one is in progress
        for _ in range(tries):
            try:
                return await self._record_or_again(work)
            except RecordBusy:
                continue
        raise busy_error(work.batch)

    async def _record_or_again(self, work: "_SpoolInsert") -> AcceptedSpooledBatch:
        """Records a batch; after a lost connection, finds or records it again."""
        try:
            async with self._connection.use() as connection, connection.transaction():
                return await work.record(connection, insert_jobs)
        except DatabaseOutage:
            # The commit may have succeeded and only its response been lost; ids are made here, so another try is safe.
            async with self._connection.use() as connection, connection.transaction():
                return await work.find(connection) or await work.record(connection, insert_again)


class _SpoolInsert:
    """The recording of one spooled batch, and its state so far."""

    def __init__(self, batch: NewBatch, jobs: SpooledJobs, block: IdBlock) -> None:
        self.batch = batch
        self.jobs = jobs
        self.block = block
        self.pending = _PendingWakeups()
        self.others: dict[int, UUID] = {}

    async def record(self, connection: Connection, insert: Record) -> AcceptedSpooledBatch:
        """Inserts all chunks with `insert`, and the batch."""
        self.pending, self.others = _PendingWakeups(), {}
        batch = self.batch
        if batch.idempotency is not None:
            earlier = await reserve_key(connection, batch.tenant_id, batch.idempotency, batch.batch_id)
            if earlier is not None:
                check_same_request(earlier, batch.idempotency)
                return AcceptedSpooledBatch(earlier.job_id, earlier.created_at, 0, None, stored_substitutes(earlier))
        ends: list[NewJob] = []
        for spool in self.jobs.spools:
            async for chunk in spool.chunks():
                indexes = [index for index, _ in chunk]
                jobs = [job.in_batch(batch.batch_id, self.block[index]) for index, job in chunk]
                self._note(indexes, jobs, await insert(connection, jobs))
                ends = [min((*ends, *jobs), key=_job_id), max((*ends, *jobs), key=_job_id)]
        if batch.idempotency is not None:
            await store_batch_response(connection, batch.tenant_id, batch.idempotency, self.others)
        at = await record_batch(connection, batch, ends, total=self.pending.fresh)
        return self._accepted(at)

    async def find(self, connection: Connection) -> AcceptedSpooledBatch | None:
        """Returns the result of a transaction whose commit response was lost, if it was committed."""
        view = await view_batch(connection, self.batch.tenant_id, self.batch.batch_id)
        return self._accepted(view.created_at) if view is not None else None

    def _accepted(self, at: datetime) -> AcceptedSpooledBatch:
        return AcceptedSpooledBatch(self.batch.batch_id, at, self.jobs.count, self.block, self.others)

    def _note(self, indexes: Sequence[int], jobs: Sequence[NewJob], results: Sequence[InsertResult]) -> None:
        """Notes the results of a chunk.

        Raises:
            BatchRefused: one of its jobs is refused.
        """
        if refused := {
            index: each for index, each in zip(indexes, results, strict=True) if isinstance(each, Exception)
        }:
            raise BatchRefused(refused)
        accepted = [result for result in results if isinstance(result, Accepted)]
        for index, job, result in zip(indexes, jobs, accepted, strict=True):
            if result.job_id != job.job_id:
                self.others[index] = result.job_id
        self.pending.add(jobs, accepted)


def _job_id(job: NewJob) -> UUID:
    return job.job_id


class _PendingWakeups:
    """Wake-ups to send after the commit: one for each lane, by its oldest new job."""

    def __init__(self) -> None:
        self.fresh = 0
        self._queues: Counter[tuple[int, str]] = Counter()
        self._oldest: dict[tuple[object, ...], tuple[NewJob, Accepted]] = {}

    def add(self, jobs: Sequence[NewJob], accepted: Sequence[Accepted]) -> None:
        """Notes the new jobs of a chunk."""
        for job, result in zip(jobs, accepted, strict=True):
            if not result.fresh:
                continue
            self.fresh += 1
            queue = (job.tenant_id, job.queue)
            if queue in self._queues or len(self._queues) < MOST_LANES:
                self._queues[queue] += 1
            kind = (queue, job.type, job.priority, job.flow is None, bool(job.run_at or job.delay_seconds))
            if len(self._oldest) < MOST_LANES:
                self._oldest.setdefault(kind, (job, result))

    def wake(self, wakeups: Wakeups, metrics: Metrics) -> None:
        """Wakes the parts that run the new jobs."""
        jobs, accepted = [job for job, _ in self._oldest.values()], [result for _, result in self._oldest.values()]
        wake_for_submitted(wakeups, jobs, accepted)
        self._queues.subtract((job.tenant_id, job.queue) for job in jobs)
        wakeups.submitted(self._queues.elements())
        metrics.recorded(self.fresh, statement="submit")
