"""Records the log lines of handlers, a few hundred in a statement.

A line never makes its handler wait. While the database is slow or away, lines stay in a bounded buffer; lines beyond it
are dropped and counted, and leave a gap in the numbers of their attempt's lines.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice

import structlog

from duly.domain.log_lines import LogLine
from duly.lifecycle.writes.bisection import record_bisecting
from duly.store.ledger.job_logs import record_logs
from duly.store.postgres.database import Database
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.logs")

BATCH = 500
# When many lines come together, more are about to: waiting this long for them saves commits.
BUSY = 8
GATHER_SECONDS = 0.01
# Size of the buffer in characters, including the cost of a line itself.
CAPACITY = 16 << 20
LINE_COST = 300


class LogRecorder:
    """Keeps log lines until they are recorded. Lines may come from any thread."""

    def __init__(self, database: Database, metrics: Metrics, *, capacity: int = CAPACITY) -> None:
        self._connection = database.hot()
        self._metrics = metrics
        self._capacity = capacity
        self._loop: asyncio.AbstractEventLoop | None = (
            None  # set by the first `step`: a node is composed before it runs
        )
        self._lock = threading.Lock()
        self._lines: deque[LogLine] = deque()
        self._size = self._taken_in = self._settled = 0
        self._arrived = asyncio.Event()
        self._recorded = asyncio.Event()
        self._busy = self._full = False

    def put(self, line: LogLine) -> None:
        """Adds a line, to be recorded with others; drops it if the buffer is full."""
        with self._lock:
            full = self._size + _cost(line) > self._capacity
            first = not self._lines
            if not full:
                self._lines.append(line)
                self._size += _cost(line)
                self._taken_in += 1
        if full:
            self._drop()
        elif first and self._loop is not None:
            with suppress(RuntimeError):  # a thread that outlived the event loop
                self._loop.call_soon_threadsafe(self._arrived.set)

    def _drop(self) -> None:
        self._metrics.log_lines_dropped.inc()
        if not self._full:
            self._full = True
            log.warning("dropping handler log lines: the buffer is full", action="log_lines_dropped")

    async def step(self) -> float:
        """Runs one round of its loop: waits for lines and records them."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            if self._lines:
                self._arrived.set()
        await self._arrived.wait()
        if self._busy:
            await asyncio.sleep(GATHER_SECONDS)
        with self._lock:
            batch = list(islice(self._lines, BATCH))
        self._busy = len(batch) >= BUSY
        await self._record(batch)
        # They are removed only now: after an error before this line, the next round records them.
        self._take_out(batch)
        return 0

    async def _record(self, batch: list[LogLine]) -> None:
        """Records these lines; one that Postgres rejects is dropped alone.

        Raises:
            DatabaseOutage: the lines that were recorded before are removed.
        """
        bisected = await record_bisecting(batch, self._insert, statement="logs", metrics=self._metrics)
        for line, error in bisected.refused:
            self._metrics.items_refused.labels("logs").inc()
            self._metrics.log_lines_dropped.inc()
            log.warning(
                f"log line of job {line.job_id} rejected: {error}",
                action="log_line_refused",
                job_id=str(line.job_id),
                error=str(error),
            )
        if bisected.away is not None:
            self._take_out(batch[: len(batch) - len(bisected.left)])
            raise bisected.away

    async def _insert(self, lines: Sequence[LogLine]) -> None:
        async with self._connection.use() as connection:
            await record_logs(connection, lines)

    def _take_out(self, batch: list[LogLine]) -> None:
        """Removes recorded lines from the buffer."""
        with self._lock:
            for line in batch:
                self._lines.popleft()
                self._size -= _cost(line)
            self._settled += len(batch)
            self._full = False
            if not self._lines:
                self._arrived.clear()
        self._recorded.set()
        self._recorded.clear()

    async def flushed(self, *, seconds: float) -> None:
        """Returns once all lines that were added before are recorded, or the time is over."""
        new_keys = self._taken_in
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._settled < new_keys:
                    await self._recorded.wait()


def _cost(line: LogLine) -> int:
    return LINE_COST + len(line.message) + len(line.fields or "")
