"""Submit: from a validated submission to a durable job, many at once in one transaction."""

from collections.abc import Awaitable, Callable, Container, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from duly.domain.job import Accepted, NewJob
from duly.errors import IdempotencyInFlight, IdempotencyKeyReused
from duly.lifecycle.eager import EagerStart, NoStarter, Starter
from duly.lifecycle.gather import Gatherer
from duly.lifecycle.recording import tell
from duly.lifecycle.signals import Signals
from duly.store.database import Connection, Database, DatabaseAway, RecordBusy
from duly.store.idempotency import Earlier, reserve_keys
from duly.store.jobs import creation_times, record_jobs, record_jobs_again
from duly.telemetry.metrics import Metrics

BATCH = 500
# Each may hold 10,000 jobs: these bound memory, not speed.
WAITING_BATCHES = 16
# One large statement at a time would leave the server idle while it is flushed to disk. Single submissions have one
# flusher: there, two make smaller batches and gain nothing.
LARGE_FLUSHERS = 2


_Record = Callable[[Connection, Sequence[NewJob]], Awaitable[list[Accepted]]]


class Submitter:
    """Takes submissions from all requests of this process and records what has gathered, again and again."""

    def __init__(self, database: Database, signals: Signals, metrics: Metrics, *, buffer: int) -> None:
        self._connection = database.hot()
        self._signals = signals
        self._metrics = metrics
        self.starter: Starter = NoStarter()
        self._many = [database.hot() for _ in range(LARGE_FLUSHERS)]
        self.gatherer: Gatherer[NewJob, Accepted] = Gatherer(self._record, capacity=buffer, batch=BATCH)
        self.many: Gatherer[Sequence[NewJob], datetime] = Gatherer(self._record_many, capacity=WAITING_BATCHES, batch=1)

    async def submit(self, job: NewJob) -> Accepted:
        """Records one job; returns once it is durable.

        Raises:
            IdempotencyKeyReused, IdempotencyInFlight, Overloaded: see `duly.errors`.
            DatabaseAway: nothing is known to be recorded.
        """
        return await self.gatherer.put(job)

    async def submit_all(self, jobs: Sequence[NewJob]) -> datetime:
        """Records all of these or none, in one transaction of their own; returns when.

        Raises:
            Overloaded: see `duly.errors`.
            DatabaseAway: nothing is known to be recorded.
        """
        return await self.many.put(jobs)

    async def _record_many(self, batches: Sequence[Sequence[NewJob]]) -> list[datetime]:
        """Beside the single ones, on connections of their own: a large batch holds none of them up."""
        return [await self._record_all(jobs) for jobs in batches]

    async def _record_all(self, jobs: Sequence[NewJob]) -> datetime:
        free = next((connection for connection in self._many if not connection.in_use), self._many[0])
        try:
            async with free.use() as connection:
                at = await record_jobs(connection, jobs)
        except DatabaseAway:
            async with free.use() as connection:
                at = (await _record_again(connection, jobs))[0].created_at
        self._tell(jobs, [Accepted(job.job_id, at) for job in jobs], started=())
        return at

    async def _record(self, jobs: Sequence[NewJob]) -> Sequence[Accepted | Exception]:
        with EagerStart(self.starter) as eager:
            try:
                accepted = await self._record_once(jobs, partial(_record_new, eager=eager))
            except DatabaseAway:
                # The connection may have broken after the commit. Ids are made here and a job that stands is left as
                # it is, so sending the batch again is safe.
                eager.give_back()
                self.starter.answer_lost()
                accepted = await self._record_once(jobs, _record_again)
            except RecordBusy:
                if len(jobs) > 1:
                    raise
                return [IdempotencyInFlight("The first request with this Idempotency-Key is still under way.")]
            self._tell(jobs, accepted, started=eager.job_ids)
            self._metrics.claimed.inc(eager.go())
            return accepted

    async def _record_once(self, jobs: Sequence[NewJob], record: _Record) -> Sequence[Accepted | Exception]:
        keyed = any(job.idempotency for job in jobs)
        async with self._connection.use() as connection:
            if not keyed:
                return await record(connection, jobs)
            async with connection.transaction():
                return await _record_keyed(connection, jobs, record)

    def _tell(
        self, jobs: Sequence[NewJob], accepted: Sequence[Accepted | Exception], *, started: Container[UUID]
    ) -> None:
        self._metrics.recorded(tell(self._signals, jobs, accepted, started=started), statement="submit")


async def _record_new(connection: Connection, jobs: Sequence[NewJob], *, eager: EagerStart) -> list[Accepted]:
    at = await record_jobs(connection, jobs, starting=eager.choose(jobs))
    return [Accepted(job.job_id, at) for job in jobs]


async def _record_again(connection: Connection, jobs: Sequence[NewJob]) -> list[Accepted]:
    recorded = await record_jobs_again(connection, jobs)
    if recorded.jobs == len(jobs):
        return [Accepted(job.job_id, recorded.at) for job in jobs]
    times = await creation_times(connection, [(job.tenant_id, job.job_id) for job in jobs])
    return [Accepted(job.job_id, times[job.tenant_id, job.job_id]) for job in jobs]


async def _record_keyed(
    connection: Connection, jobs: Sequence[NewJob], record: _Record
) -> Sequence[Accepted | Exception]:
    """Jobs of which some carry an idempotency key: the first with a key is recorded, the others get its answer."""
    first: dict[tuple[int, str], NewJob] = {}
    for job in jobs:
        if job.idempotency:
            first.setdefault((job.tenant_id, job.idempotency.key), job)
    earlier = await reserve_keys(connection, list(first.values()))
    new = [job for job in jobs if _is_new(job, first, earlier)]
    recorded = {answer.job_id: answer for answer in await record(connection, new)} if new else {}
    for key, job in first.items():
        if job.idempotency and key not in earlier:
            earlier[key] = Earlier(job.job_id, job.idempotency.digest, recorded[job.job_id].created_at)
    return [recorded.get(job.job_id) or _replay(job, earlier) for job in jobs]


def _is_new(job: NewJob, first: dict[tuple[int, str], NewJob], earlier: dict[tuple[int, str], Earlier]) -> bool:
    if job.idempotency is None:
        return True
    key = (job.tenant_id, job.idempotency.key)
    return key not in earlier and first[key] is job


def _replay(job: NewJob, earlier: dict[tuple[int, str], Earlier]) -> Accepted | Exception:
    assert job.idempotency is not None  # noqa: S101  # only keyed jobs are not recorded
    before = earlier[job.tenant_id, job.idempotency.key]
    if before.digest != job.idempotency.digest:
        return IdempotencyKeyReused(
            "This Idempotency-Key was used for another submission within the last 24 hours.",
            reason="Send the same body again, or use a new key.",
        )
    return Accepted(before.job_id, before.created_at, replayed=True)
