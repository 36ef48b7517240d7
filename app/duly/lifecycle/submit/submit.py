"""Makes submissions durable, many in one transaction."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import Accepted, IdempotencyKey, NewBatch, NewJob
from duly.domain.job_template import read_template
from duly.errors import IdempotencyInFlight, IdempotencyKeyReused, Overloaded, PathError
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.submit.eager_start import EagerStart, Starter
from duly.lifecycle.submit.idempotent_responses import (
    replayed_response,
    store_batch_response,
    store_response,
    stored_substitutes,
)
from duly.lifecycle.submit.insert import insert_jobs, wake_for_submitted
from duly.lifecycle.submit.insert_tied import unknown_dependencies
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import (
    Connection,
    Database,
    DatabaseOutage,
    HotConnection,
    RecordBusy,
    RecordRefused,
)
from duly.store.submit.batches import record_batch
from duly.store.submit.idempotency import EarlierSubmission, delete_key, reserve_key, reserve_keys
from duly.store.submit.jobs import read_creation_times, record_jobs, record_jobs_again
from duly.telemetry.metrics import Metrics

BATCH = 500
# Each may hold 10,000 jobs: this bounds memory, it does not affect speed.
WAITING_BATCHES = 16
# A single large statement at a time would leave the server idle while it is flushed to disk. Single submissions have
# one flusher: a second one makes smaller batches and gains nothing.
LARGE_FLUSHERS = 2


Insert = Callable[[Connection, Sequence[NewJob]], Awaitable[list[Accepted | Exception]]]


class Submitter:
    """Records the submissions of all requests of this process.

    Args:
        buffer: number of single submissions that may wait.
        starter: the worker of this process, for eager starts.
    """

    def __init__(
        self, database: Database, wakeups: Wakeups, metrics: Metrics, *, buffer: int, starter: Starter
    ) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._starter = starter
        self._batch_connections = [database.hot() for _ in range(LARGE_FLUSHERS)]
        self.batcher: Batcher[NewJob, Accepted] = Batcher(self._record, capacity=buffer, batch=BATCH)
        self.batches: Batcher[tuple[NewBatch, Sequence[NewJob]], AcceptedBatch] = Batcher(
            self._record_many, capacity=WAITING_BATCHES, batch=1, what="batches"
        )

    @property
    def connection(self) -> HotConnection:
        """Connection that records single submissions."""
        return self._connection

    def submit(self, job: NewJob) -> Awaitable[Accepted]:
        """Records one job. Returns an awaitable of the result, once the job is durable.

        Raises:
            IdempotencyKeyReused, IdempotencyInFlight, Overloaded: see `duly.errors`.
            DatabaseOutage: it is not known to be recorded; it is not if no connection could be opened (`unsent`).
        """
        return self.batcher.put(job)

    async def submit_all(self, batch: NewBatch, jobs: Sequence[NewJob]) -> "AcceptedBatch":
        """Records a batch and all its jobs, or nothing, in a transaction of its own.

        Raises:
            BatchRefused: some of the jobs were refused.
            IdempotencyKeyReused, IdempotencyInFlight, Overloaded: see `duly.errors`.
            DatabaseOutage: it is not known to be recorded.
        """
        return await self.batches.put((batch, jobs))

    async def _record_many(
        self, batches: Sequence[tuple[NewBatch, Sequence[NewJob]]]
    ) -> list["AcceptedBatch | Exception"]:
        """Records batches on connections of their own, so that they do not delay single submissions."""
        return [await self._record_all(batch, jobs) for batch, jobs in batches]

    async def _record_all(self, batch: NewBatch, jobs: Sequence[NewJob]) -> "AcceptedBatch | Exception":
        """Records one batch. Returns errors that concern this batch alone."""
        free = next(
            (connection for connection in self._batch_connections if not connection.in_use), self._batch_connections[0]
        )
        then = read_template(batch.then) if batch.then is not None else None
        simple = batch.idempotency is None and all(job.flow is None for job in (*jobs, then) if job is not None)
        try:
            try:
                async with free.use() as connection:
                    if simple:
                        at = (await record_jobs(connection, jobs, batch=batch)).at
                        result = AcceptedBatch(batch.batch_id, at, [Accepted(job.job_id, at) for job in jobs])
                    else:
                        result = await _record_together(connection, batch, jobs, insert_jobs)
            except DatabaseOutage:
                async with free.use() as connection:
                    result = await _record_together(connection, batch, jobs, insert_again)
        except RecordBusy:
            return busy_error(batch)
        except (BatchRefused, IdempotencyKeyReused, RecordRefused) as error:
            return error  # returned, not raised: the other batches are recorded already
        if not result.replayed:
            self._wake(jobs, result.jobs, started=())
        return result

    async def _record(self, jobs: Sequence[NewJob]) -> Sequence[Accepted | Exception]:
        """Records single jobs, some of them started here at once."""
        with EagerStart(self._starter) as eager:
            try:
                accepted = await self._record_once(jobs, partial(insert_jobs, eager=eager))
            except DatabaseOutage as outage:
                # The connection may have broken after the commit. Ids are made here and existing jobs are left
                # unchanged, so sending the batch again is safe.
                eager.release_slots()
                self._starter.response_lost()
                accepted = await self._record_again(jobs, outage)
            except RecordBusy:
                if len(jobs) > 1:
                    raise
                return [busy_error(jobs[0])]
            self._wake(jobs, accepted, started=eager.job_ids)
            self._metrics.started_at_once(eager.go())
            if eager.delivers:
                self._wakeups.deliveries()
            return accepted

    async def _record_again(self, jobs: Sequence[NewJob], outage: DatabaseOutage) -> Sequence[Accepted | Exception]:
        """Records jobs after an outage.

        Raises:
            DatabaseOutage: again. It says `unsent` if no connection was opened either time.
        """
        try:
            return await self._record_once(jobs, insert_again)
        except DatabaseOutage as error:
            error.unsent = error.unsent and outage.unsent
            raise

    async def _record_once(self, jobs: Sequence[NewJob], insert: Insert) -> Sequence[Accepted | Exception]:
        alone = all(job.idempotency is None and job.flow is None for job in jobs)
        async with self._connection.use() as connection:
            if alone:
                return await insert(connection, jobs)
            async with connection.transaction():
                return await record_keyed(connection, jobs, insert)

    def _wake(
        self, jobs: Sequence[NewJob], accepted: Sequence[Accepted | Exception], *, started: Collection[UUID]
    ) -> None:
        self._metrics.recorded(wake_for_submitted(self._wakeups, jobs, accepted, started=started), statement="submit")


class AcceptedBatch(NamedTuple):
    """Result of submitting a batch.

    Attributes:
        jobs: results in order; empty if an earlier request recorded the batch.
        others: then, by index, the jobs that were returned in place of deduplicated ones.
    """

    batch_id: UUID
    created_at: datetime
    jobs: Sequence[Accepted]
    replayed: bool = False
    others: Mapping[int, UUID] = MappingProxyType({})


class BatchRefused(Exception):
    """Refusal of a batch of which nothing is recorded.

    Attributes:
        errors: by index, the errors of the jobs.
        then: errors of the job that follows the batch.
    """

    def __init__(self, errors: Mapping[int, Exception], then: Sequence[PathError] = ()) -> None:
        super().__init__(f"{len(errors)} jobs were refused")
        self.errors = errors
        self.then = then


async def _record_together(
    connection: Connection, batch: NewBatch, jobs: Sequence[NewJob], insert: Insert
) -> AcceptedBatch:
    """Records a batch with idempotency key, ties or dependencies of its follow-up job, in one transaction."""
    async with connection.transaction():
        if batch.idempotency is not None:
            earlier = await reserve_key(connection, batch.tenant_id, batch.idempotency, batch.batch_id)
            if earlier is not None:
                check_same_request(earlier, batch.idempotency)
                others = stored_substitutes(earlier)
                return AcceptedBatch(earlier.job_id, earlier.created_at, (), replayed=True, others=others)
        [then_errors] = await unknown_dependencies(connection, [read_template(batch.then)]) if batch.then else [[]]
        results = await insert(connection, jobs)
        accepted = [result for result in results if isinstance(result, Accepted)]
        if then_errors or len(accepted) < len(results):
            refused = {index: result for index, result in enumerate(results) if isinstance(result, Exception)}
            raise BatchRefused(refused, then=then_errors)
        if batch.idempotency is not None:
            others = {index: result.job_id for index, result in enumerate(accepted) if not result.fresh}
            await store_batch_response(connection, batch.tenant_id, batch.idempotency, others)
        fresh = [result for result in accepted if result.fresh]
        at = await record_batch(connection, batch, jobs, total=len(fresh))
        return AcceptedBatch(batch.batch_id, at, accepted)


def busy_error(what: NewJob | NewBatch) -> Exception:
    """Returns the error for a submission whose locks could not be had in time."""
    if what.idempotency is not None:
        return IdempotencyInFlight("The first request with this Idempotency-Key is still in progress. Retry.")
    return Overloaded("Could not lock the job's keys or dependencies. Retry.")


async def insert_again(connection: Connection, jobs: Sequence[NewJob]) -> list[Accepted | Exception]:
    """Inserts jobs after a lost response. Inserting tied jobs twice is safe as it is."""
    plain = [job for job in jobs if job.flow is None]
    times: dict[tuple[int, UUID], datetime] = {}
    if plain:
        recorded = await record_jobs_again(connection, plain)
        times = {(job.tenant_id, job.job_id): recorded.at for job in plain}
        if recorded.jobs < len(plain):
            times = await read_creation_times(connection, list(times))
    tied = iter(await insert_jobs(connection, [job for job in jobs if job.flow is not None]))
    return [
        next(tied) if job.flow is not None else Accepted(job.job_id, times[job.tenant_id, job.job_id]) for job in jobs
    ]


async def record_keyed(
    connection: Connection, jobs: Sequence[NewJob], insert: Insert
) -> Sequence[Accepted | Exception]:
    """Records jobs of which some have an idempotency key: the first job of each key is inserted, the others get its
    result.
    """
    first = _first_of_each_key(jobs)
    if not first:
        return await insert(connection, jobs)
    earlier: dict[tuple[int, str], EarlierSubmission | Exception] = {
        **await reserve_keys(connection, [jobs[index] for index in first.values()])
    }
    chosen = {index for key, index in first.items() if key not in earlier}
    new = [index for index, job in enumerate(jobs) if job.idempotency is None or index in chosen]
    # By index, because concurrent requests may use one id.
    recorded = dict(zip(new, await insert(connection, [jobs[index] for index in new]), strict=True)) if new else {}
    for key, index in first.items():
        job = jobs[index]
        if job.idempotency is None or key in earlier:
            continue
        result = recorded[index]
        if isinstance(result, Exception):  # a refused submission does not use up its key
            await delete_key(connection, *key)
            earlier[key] = result
        else:
            recorded[index], earlier[key] = await store_response(connection, job.tenant_id, job.idempotency, result)
    return [recorded.get(index) or _replay(job, earlier) for index, job in enumerate(jobs)]


def _first_of_each_key(jobs: Sequence[NewJob]) -> dict[tuple[int, str], int]:
    """Returns the index of the first job with each idempotency key."""
    first: dict[tuple[int, str], int] = {}
    for index, job in enumerate(jobs):
        if job.idempotency:
            first.setdefault((job.tenant_id, job.idempotency.key), index)
    return first


def _replay(job: NewJob, earlier: Mapping[tuple[int, str], EarlierSubmission | Exception]) -> Accepted | Exception:
    """Returns the result of the first job with the key."""
    assert job.idempotency is not None  # noqa: S101  # only jobs with a key are not recorded
    before = earlier[job.tenant_id, job.idempotency.key]
    if isinstance(before, Exception):
        return before
    try:
        check_same_request(before, job.idempotency)
    except IdempotencyKeyReused as error:
        return error
    return replayed_response(before)


def check_same_request(before: EarlierSubmission, key: IdempotencyKey) -> None:
    """Compares a request with the earlier one that used its key.

    Raises:
        IdempotencyKeyReused: they differ.
    """
    if before.digest != key.digest:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for another submission within the last 24 hours.",
            reason="Send the same body again, or use a new key.",
        )
