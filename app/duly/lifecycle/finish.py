"""Finish: record how attempts ended, fenced by their lease tokens, many at once, and for as long as it takes."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished
from duly.domain.outcome import cancelled_error, error_json
from duly.lifecycle.signals import Signals
from duly.store.database import Database, RecordRefused
from duly.store.running import finish_if_held
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.finish")

BATCH = 500
# Where many end at once, more are about to: a commit that waits this long for them saves others.
BUSY = 8
GATHER_SECONDS = 0.004


class Finisher:
    """Holds ended attempts until they are recorded. It never gives one up: while the database is away they wait."""

    def __init__(self, database: Database, signals: Signals, metrics: Metrics, *, source: str) -> None:
        self._connection = database.hot()
        self._signals = signals
        self._metrics = metrics
        self._source = source
        self._ends: list[Finish] = []
        self._arrived = asyncio.Event()
        self._recorded = asyncio.Event()
        self._busy = False
        self.heard: Callable[[Sequence[Finish], Sequence[Finished]], None] = lambda _ends, _finished: None

    def put(self, end: Finish) -> None:
        """Hands in an end; it is recorded with the others that gather."""
        self._ends.append(end)
        self._arrived.set()

    def __contains__(self, job_id: object) -> bool:
        """Whether an end of this job waits to be recorded."""
        return any(end.job_id == job_id for end in self._ends)

    @property
    def waiting(self) -> int:
        return len(self._ends)

    async def step(self) -> float:
        """One round of its loop: waits for ends and records them."""
        await self._arrived.wait()
        if self._busy:
            await asyncio.sleep(GATHER_SECONDS)
        batch = self._ends[:BATCH]
        self._busy = len(batch) >= BUSY
        await self.record(batch)
        # Only now are they taken out: an error before this line leaves them for the next round.
        del self._ends[: len(batch)]
        if not self._ends:
            self._arrived.clear()
        self._recorded.set()
        self._recorded.clear()
        return 0

    async def below(self, limit: int) -> None:
        """Returns once fewer than `limit` ends wait to be recorded."""
        while len(self._ends) >= limit:
            await self._recorded.wait()

    async def drained(self) -> None:
        """Returns once nothing waits to be recorded."""
        await self.below(1)

    async def record(self, ends: Sequence[Finish]) -> list[Finished]:
        """Records these ends now; those that lost their lease are not among the returned.

        Raises:
            DatabaseAway: nothing is known to be recorded; doing it again is safe.
        """
        try:
            finished = await self._record(ends)
        except RecordRefused as error:
            finished = [done for end in ends for done in await self._record_or_explain(end, error)]
        self._tell(finished)
        self.heard(ends, finished)
        if len(finished) < len(ends):
            self._report_lost(ends, finished)
        return finished

    async def _record(self, ends: Sequence[Finish]) -> list[Finished]:
        async with self._connection.use() as connection:
            return await finish_if_held(connection, ends, source=self._source, cancelled_error=cancelled_error())

    async def _record_or_explain(self, end: Finish, refused: RecordRefused) -> list[Finished]:
        """By itself; and if Postgres will not have what it holds, then as a failure that says so."""
        try:
            return await self._record([end])
        except RecordRefused as error:
            log.warning("an outcome was refused", action="outcome_refused", job_id=str(end.job_id), error=str(refused))
            message = "The outcome cannot be recorded."
            data = error_json("RESULT_INVALID", message, reason=str(error), retryable=False, attempt=None)
            return await self._record([end._replace(kind=EventKind.FAILED, data=data)])

    def _tell(self, finished: Sequence[Finished]) -> None:
        """After the commit: wakes followers of the jobs, the dispatcher, and whoever runs them again."""
        for done in finished:
            if done.due_in_seconds is None:
                continue
            if done.due_in_seconds <= 0:
                self._signals.ready(done.lane, done.job_id)
            else:
                self._signals.local.scheduled(done.due_in_seconds)
        if any(done.delivers for done in finished):
            self._signals.deliveries()
        if any(done.followed for done in finished):
            self._signals.consequences()
        self._signals.changed([done.job_id for done in finished])
        self._metrics.finished(finished)

    def _report_lost(self, ends: Sequence[Finish], finished: Sequence[Finished]) -> None:
        recorded = {done.job_id for done in finished}
        newest = dict(sorted((end.job_id, end.token) for end in ends))
        for end in ends:
            if end.job_id not in recorded or end.token < newest[end.job_id]:
                self._metrics.leases_lost.inc()
                log.warning(
                    "an attempt had lost its lease; its outcome was dropped",
                    action="lease_lost",
                    job_id=str(end.job_id),
                    token=end.token,
                )
