"""Submit: a batch of any size, from a temporary file into the ledger, in one transaction and chunk by chunk."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.domain.ids import IdBlock
from duly.domain.job import Accepted, Lane, NewBatch, NewJob
from duly.errors import Invalid, PathError
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.idempotent_responses import store_batch_response, stored_substitutes
from duly.lifecycle.submit.insert import insert_jobs, wake_for_submitted
from duly.lifecycle.submit.insert_tied import InsertResult
from duly.lifecycle.submit.spool import JobSpool
from duly.lifecycle.submit.submit import BatchRefused, busy_error, check_same_request, insert_again
from duly.store.postgres.database import Connection, Database, DatabaseAway, RecordBusy
from duly.store.submit.batches import record_batch, view_batch
from duly.store.submit.idempotency import reserve_key
from duly.telemetry.metrics import Metrics

TRIES = 3
# Until the end of the transaction, whoever wants the key or the parent of one of these waits for it.
MOST_TIED = 10_000
# Of so many lanes it is told at once that they have work; the others are found by the next look.
MOST_LANES = 1_000

Record = Callable[[Connection, Sequence[NewJob]], Awaitable[list[InsertResult]]]


class SpooledJobs:
    """The jobs of one batch, in the order of their submission. Those that lock what others may want stand apart: they
    are recorded last, so that they hold it for a short time.
    """

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._simple, self._tied = JobSpool(), JobSpool()

    async def put(self, job: NewJob) -> None:
        """Takes the next one in.

        Raises:
            Invalid: there are too many of its kind.
            Unavailable: the disk is full.
        """
        spool = self._tied if _locks(job) else self._simple
        if self._tied.count >= MOST_TIED and spool is self._tied:
            words = f"too many jobs with dependsOn, uniqueKey or concurrencyKey (at most {MOST_TIED:,} in one batch)"
            raise Invalid.at([PathError("", words)])
        await spool.put(self.count, job)

    @property
    def count(self) -> int:
        return self._simple.count + self._tied.count

    @property
    def spools(self) -> tuple[JobSpool, JobSpool]:
        return self._simple, self._tied

    async def __aenter__(self) -> Self:
        for spool in self.spools:
            await self._stack.enter_async_context(spool)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()


def _locks(job: NewJob) -> bool:
    flow = job.flow
    return flow is not None and bool(flow.unique_key or flow.concurrency_key or flow.depends_on)


class AcceptedSpooledBatch(NamedTuple):
    """What the ledger says of a batch. Its jobs have the ids of the block, but for `others`, which are deduplicated.
    Without a block an earlier request recorded it, and the ids of the block are those that the ledger has of it.
    """

    batch_id: UUID
    created_at: datetime
    total: int
    block: IdBlock | None
    others: dict[int, UUID]

    def job_ids(self) -> Iterator[UUID]:
        """In the order of the submissions; none where an earlier request recorded them."""
        if block := self.block:
            return (self.others.get(index) or block[index] for index in range(self.total))
        return iter(())


class SpooledSubmitter:
    """One batch at a time in each process, on a connection of its own: it holds up no other submission."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics, *, clock: DatabaseClock) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._ids = clock.ids
        self._turn = asyncio.Lock()

    async def submit(self, batch: NewBatch, jobs: SpooledJobs) -> AcceptedSpooledBatch:
        """Records a batch and all its jobs, or nothing.

        Raises:
            BatchRefused: which of the jobs were refused, and why; the first that were found.
            IdempotencyKeyReused, IdempotencyInFlight, Overloaded: see `duly.errors`.
            DatabaseAway: nothing is known to be recorded.
        """
        async with self._turn:
            # Made only now: an id's time is to be that of the record, however slowly the jobs came in.
            work = _SpoolInsert(batch._replace(batch_id=self._ids.new()), jobs, self._ids.block())
            accepted = await self._record(work)
        if accepted.block is not None:
            work.pending.tell(self._wakeups, self._metrics)
        return accepted

    async def _record(self, work: "_SpoolInsert") -> AcceptedSpooledBatch:
        tries = 1 if work.batch.idempotency else TRIES  # one with a key is told at once that the first is under way
        for _ in range(tries):
            try:
                return await self._record_or_again(work)
            except RecordBusy:
                continue
        raise busy_error(work.batch)

    async def _record_or_again(self, work: "_SpoolInsert") -> AcceptedSpooledBatch:
        try:
            async with self._connection.use() as connection, connection.transaction():
                return await work.record(connection, insert_jobs)
        except DatabaseAway:
            # The answer to the commit may be all that was lost; ids are made here, so doing it again is safe.
            async with self._connection.use() as connection, connection.transaction():
                return await work.find(connection) or await work.record(connection, insert_again)


class _SpoolInsert:
    """One batch on its way, and what is known of it so far."""

    def __init__(self, batch: NewBatch, jobs: SpooledJobs, block: IdBlock) -> None:
        self.batch = batch
        self.jobs = jobs
        self.block = block
        self.pending = _PendingWakeups()
        self.others: dict[int, UUID] = {}

    async def record(self, connection: Connection, how: Record) -> AcceptedSpooledBatch:
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
                jobs = [job._replace(job_id=self.block[index], batch_id=batch.batch_id) for index, job in chunk]
                self._note(indexes, jobs, await how(connection, jobs))
                ends = [min((*ends, *jobs), key=_job_id), max((*ends, *jobs), key=_job_id)]
        if batch.idempotency is not None:
            await store_batch_response(connection, batch.tenant_id, batch.idempotency, self.others)
        at = await record_batch(connection, batch, ends, total=self.pending.fresh)
        return self._accepted(at)

    async def find(self, connection: Connection) -> AcceptedSpooledBatch | None:
        """What was recorded by a transaction whose end nobody heard of."""
        view = await view_batch(connection, self.batch.tenant_id, self.batch.batch_id)
        return self._accepted(view.created_at) if view is not None else None

    def _accepted(self, at: datetime) -> AcceptedSpooledBatch:
        return AcceptedSpooledBatch(self.batch.batch_id, at, self.jobs.count, self.block, self.others)

    def _note(self, indexes: Sequence[int], jobs: Sequence[NewJob], answers: Sequence[InsertResult]) -> None:
        if refused := {
            index: each for index, each in zip(indexes, answers, strict=True) if isinstance(each, Exception)
        }:
            raise BatchRefused(refused)
        accepted = [answer for answer in answers if isinstance(answer, Accepted)]
        for index, job, answer in zip(indexes, jobs, accepted, strict=True):
            if answer.job_id != job.job_id:
                self.others[index] = answer.job_id
        self.pending.add(jobs, accepted)


def _job_id(job: NewJob) -> UUID:
    return job.job_id


class _PendingWakeups:
    """Who is to be woken once all is durable: the oldest new job of each lane says so for the others."""

    def __init__(self) -> None:
        self.fresh = 0
        self._queues: Counter[str] = Counter()
        self._oldest: dict[tuple[Lane, bool, bool], tuple[NewJob, Accepted]] = {}

    def add(self, jobs: Sequence[NewJob], accepted: Sequence[Accepted]) -> None:
        for job, answer in zip(jobs, accepted, strict=True):
            if not answer.fresh:
                continue
            self.fresh += 1
            if job.queue in self._queues or len(self._queues) < MOST_LANES:
                self._queues[job.queue] += 1
            kind = (Lane(job.queue, job.type, job.priority), job.flow is None, bool(job.run_at or job.delay_seconds))
            if len(self._oldest) < MOST_LANES:
                self._oldest.setdefault(kind, (job, answer))

    def tell(self, wakeups: Wakeups, metrics: Metrics) -> None:
        jobs, accepted = [job for job, _ in self._oldest.values()], [answer for _, answer in self._oldest.values()]
        wake_for_submitted(wakeups, jobs, accepted)
        self._queues.subtract(job.queue for job in jobs)
        wakeups.submitted(self._queues.elements())
        metrics.recorded(self.fresh, statement="submit")
