"""Records how attempts ended, fenced by their lease tokens, many in one statement.

Outcomes that the database refuses are set aside, so that the others are recorded: see
`duly.lifecycle.writes.set_aside`.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from uuid import UUID

import structlog

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished
from duly.domain.outcome import cancelled_error, error_json
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.two_statements import record_in_two
from duly.lifecycle.writes.bisection import Bisected, record_bisecting
from duly.lifecycle.writes.set_aside import OutcomesSetAside
from duly.store.postgres.database import (
    Connection,
    Database,
    DatabaseTimeout,
    HotConnection,
    RecordBusy,
    RecordRefused,
)
from duly.store.queue.park import park_if_held
from duly.store.queue.running import finish_compensating_if_held, finish_if_held
from duly.store.ties.waiting_parents import park_for_children_if_held
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.finish")

BATCH = 500
_DELIVERS, _FOLLOWED = attrgetter("delivers"), attrgetter("followed")
# When many attempts end together, more are about to: waiting this long for them saves commits.
BUSY = 8
GATHER_SECONDS = 0.004
# Longest wait for a row that another transaction has locked, so that other outcomes are not delayed by it.
LOCK_SECONDS = 2.0

FinishBatch = Sequence[Finish]


class Finisher:
    """Keeps ended attempts until they are recorded; while the database is away, they wait.

    Args:
        source: source of the events that it records.
        node_id: returns the node that keeps outcomes set aside.
        on_recorded: called with the ends of one statement, and those that were recorded.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        source: str,
        node_id: Callable[[], UUID | None] = lambda: None,
        on_recorded: Callable[[FinishBatch, Sequence[Finished]], None] = lambda _ends, _finished: None,
    ) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._metrics = metrics
        self._source = source
        self._ends: list[Finish] = []
        self._arrived = asyncio.Event()
        self._recorded = asyncio.Event()
        self._busy = False
        self._slow_before = False
        self.set_aside = OutcomesSetAside(database, metrics, record=self._record_again, node_id=node_id)
        self._on_recorded = on_recorded

    def put(self, end: Finish) -> None:
        """Adds an end, to be recorded with others."""
        self._ends.append(end)
        self._arrived.set()

    def __contains__(self, job_id: object) -> bool:
        """Returns True if an end of this job waits to be recorded."""
        return job_id in self.set_aside or any(end.job_id == job_id for end in self._ends)

    @property
    def waiting(self) -> int:
        """Number of ends that wait to be recorded, including those set aside."""
        return len(self._ends) + len(self.set_aside)

    async def step(self) -> float:
        """Runs one round of its loop: waits for ends and records them."""
        await self._arrived.wait()
        if self._busy:
            await asyncio.sleep(GATHER_SECONDS)
        batch = self._ends[:BATCH]
        self._busy = len(batch) >= BUSY
        bisected = await self._record_bisecting(batch, self._connection)
        # They are removed only now: after an error before this line, the next round records them.
        self._ends[: len(batch)] = bisected.left
        if not self._ends:
            self._arrived.clear()
        self._recorded.set()
        self._recorded.clear()
        self._wake_all(bisected)
        if bisected.away is not None:
            raise bisected.away
        return 0

    async def wait_below(self, limit: int) -> None:
        """Returns once fewer than `limit` ends wait to be recorded, including those set aside."""
        while self.waiting >= limit:
            await self._recorded.wait()

    async def drain(self) -> None:
        """Returns once no end waits except those set aside, after a last try to record these."""
        while self._ends:
            await self._recorded.wait()
        await self.set_aside.record_now()

    async def record(self, ends: FinishBatch, *, connection: HotConnection | None = None) -> list[Finished]:
        """Records these ends now. Returns those recorded: not those that lost their lease, nor those set aside.

        Args:
            connection: the sweeper's connection: if another end came before its verdict, no lease was lost.

        Raises:
            DatabaseOutage: they are not known to be recorded; it is safe to try again.
        """
        bisected = await self._record_bisecting(ends, connection or self._connection)
        finished = self._wake_all(bisected, verdicts=connection is not None)
        if bisected.away is not None:
            raise bisected.away
        return finished

    async def _record_bisecting(self, ends: FinishBatch, connection: HotConnection) -> Bisected[Finish, list[Finished]]:
        """Records these ends. Sets aside what is refused; for data that Postgres rejects, records a failure instead."""
        # The first time, a statement that timed out says nothing about the ends in it.
        bisected = await self._record_all(ends, connection, splits_slow=self._slow_before)
        self._slow_before = isinstance(bisected.away, DatabaseTimeout)
        refused, bisected.refused = bisected.refused, []
        refused_as_failures: set[UUID] = set()
        # Where a failure was refused as well, the reason is not the data: once it is gone, the outcome is recorded.
        if values := {
            end: error for end, error in refused if _is_of_data(error) and not self.set_aside.refused_as_failure(end)
        }:
            replaced = await self._record_all(_failures(values), connection)
            bisected.parts += replaced.parts
            refused_as_failures = {failure.job_id for failure, _ in replaced.refused}
            kept = refused_as_failures | {end.job_id for end in replaced.left}
            refused = [(end, error) for end, error in refused if end not in values or end.job_id in kept]
            self._log_replaced({end: error for end, error in values.items() if end.job_id not in kept})
        for end, error in refused:
            self.set_aside.put(end, error, as_failure=end.job_id in refused_as_failures)
        return bisected

    async def _record_all(
        self, ends: FinishBatch, connection: HotConnection, *, splits_slow: bool = False
    ) -> Bisected[Finish, list[Finished]]:
        """Records these ends by the statements for most jobs, and for those with steps to compensate."""

        async def short(part: FinishBatch) -> list[Finished]:
            async with connection.use() as held:
                return await self._record_part(held, part)

        async def long(part: FinishBatch) -> list[Finished]:
            async with connection.use() as held:
                return await finish_compensating_if_held(
                    held, list(map(_cancelled_if_parked, part)), source=self._source, cancelled_error=cancelled_error()
                )

        record = partial(record_bisecting, statement="finish", metrics=self._metrics, splits_slow=splits_slow)
        return await record_in_two(ends, lambda part: record(part, short), lambda part: record(part, long))

    async def _record_part(self, connection: Connection, ends: FinishBatch) -> list[Finished]:
        """Records ends. An attempt that parks, but has a cancel request, ends as cancelled."""
        if not any(end.waits or end.children for end in ends):
            return await finish_if_held(connection, ends, source=self._source, cancelled_error=cancelled_error())
        async with connection.transaction():
            parked = await _park(connection, ends, source=self._source)
            done = {one.job_id for one in parked}
            if rest := [_cancelled_if_parked(end) for end in ends if end.job_id not in done]:
                parked += await finish_if_held(connection, rest, source=self._source, cancelled_error=cancelled_error())
        return parked

    async def _record_again(self, ends: FinishBatch) -> None:
        """Records outcomes that were set aside; those refused again stay there.

        Raises:
            DatabaseOutage: as `record`.
        """
        bisected = await self._record_bisecting(ends, self.set_aside.connection)
        self._wake_all(bisected)
        if bisected.away is not None:
            raise bisected.away

    def _log_replaced(self, replaced: dict[Finish, Exception]) -> None:
        """Logs and counts outcomes that were recorded as failures."""
        for end, error in replaced.items():
            self._metrics.items_refused.labels("finish").inc()
            log.warning(
                f"outcome of job {end.job_id} rejected by the database; recorded as a failure",
                action="outcome_refused",
                job_id=str(end.job_id),
                error=str(error),
            )

    def _wake_all(self, bisected: Bisected[Finish, list[Finished]], *, verdicts: bool = False) -> list[Finished]:
        """Wakes what depends on these ends, for each part that was recorded together. Call it after the commit."""
        recorded = []
        for ends, finished in bisected.parts:
            self.set_aside.recorded(ends)
            self.note_recorded(ends, finished)
            if len(finished) < len(ends) and not verdicts:
                self._report_lost(ends, finished)
            recorded += finished
        return recorded

    def note_recorded(self, ends: FinishBatch, finished: Sequence[Finished]) -> None:
        """Wakes what depends on ends that were recorded elsewhere. Call it after the commit."""
        self._wake(finished)
        self._on_recorded(ends, finished)

    def _wake(self, finished: Sequence[Finished]) -> None:
        """Wakes the followers of the jobs, the dispatcher, and nodes that may run them again."""
        for done in finished:
            if done.due_in_seconds is None:
                continue
            if done.due_in_seconds <= 0:
                self._wakeups.ready(done.lane, done.job_id)
            else:
                self._wakeups.local.scheduled(done.due_in_seconds)
        if any(map(_DELIVERS, finished)):
            self._wakeups.deliveries()
        if any(map(_FOLLOWED, finished)):
            self._wakeups.follow_ups()
        self._wakeups.changed([done.job_id for done in finished])
        self._metrics.finished(finished)

    def _report_lost(self, ends: FinishBatch, finished: Sequence[Finished]) -> None:
        """Logs and counts the ends that were not recorded because another attempt has the lease."""
        recorded = {done.job_id for done in finished}
        newest = dict(sorted((end.job_id, end.token) for end in ends))
        for end in ends:
            if end.job_id not in recorded or end.token < newest[end.job_id]:
                self._metrics.leases_lost.inc()
                log.warning(
                    f"outcome of job {end.job_id} dropped: the attempt had lost its lease",
                    action="lease_lost",
                    job_id=str(end.job_id),
                    token=end.token,
                )


async def _park(connection: Connection, ends: FinishBatch, *, source: str) -> list[Finished]:
    """Parks those of these attempts that wait, in the caller's transaction."""
    parked = []
    if waiting := [end for end in ends if end.waits]:
        parked += await park_if_held(connection, waiting, source=source)
    if parents := [end for end in ends if end.children and not end.waits]:
        parked += await park_for_children_if_held(connection, parents, source=source)
    return parked


def _cancelled_if_parked(end: Finish) -> Finish:
    """Returns the end to record where an attempt cannot park."""
    if not end.parks:
        return end
    return end._replace(kind=EventKind.CANCELLED, data=cancelled_error(), charged=True, waits=(), children=())


def _is_of_data(error: Exception) -> bool:
    """Returns True if Postgres rejected the data of an outcome, so that a failure can be recorded instead."""
    return isinstance(error, RecordRefused) and error.of_data and not isinstance(error, RecordBusy)


def _failures(refused: dict[Finish, Exception]) -> list[Finish]:
    """Returns the failures to record in place of outcomes with data that Postgres rejects."""
    message = "The outcome cannot be recorded."
    return [
        end._replace(
            kind=EventKind.FAILED,
            waits=(),
            children=(),
            data=error_json("RESULT_INVALID", message, reason=str(error), retryable=False, attempt=None),
        )
        for end, error in refused.items()
    ]
