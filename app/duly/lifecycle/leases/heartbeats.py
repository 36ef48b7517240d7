"""Heartbeats of workers over HTTP: extend leases, many in one statement, and record what the workers report."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from duly.domain.lease_id import Lease
from duly.domain.log_lines import Level, LogLine, limit_note, message_text
from duly.errors import LeaseLost
from duly.lifecycle.run.checkpoint import CheckpointRecorder
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.run.progress import ProgressRecorder
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import Database
from duly.store.queue.leases import Extended, Extension, LeaseKey, extend_leases_if_held

BATCH = 500
# Longest wait for a row that another transaction has locked, so that other leases are not delayed by it.
LOCK_SECONDS = 2.0


class LeaseExtender:
    """Extends the leases of all heartbeats on this node."""

    def __init__(self, database: Database) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self.batcher: Batcher[Extension, Extended | None] = Batcher(
            self._record, capacity=20_000, batch=BATCH, what="heartbeats"
        )

    async def extend(self, lease: Lease, *, lines: int = 0) -> Extended:
        """Extends a lease by its length, and reserves numbers for log lines.

        Raises:
            LeaseLost: it has expired, or the attempt has ended.
            Overloaded, DatabaseOutage: it is not known to be extended; it is safe to try again.
        """
        extended = await self.batcher.put(Extension(lease.tenant_id, lease.job_id, lease.token, lines))
        if extended is None:
            raise LeaseLost.of(lease.job_id)
        return extended

    async def _record(self, extensions: Sequence[Extension]) -> list[Extended | None]:
        """Extends each lease once. Of several heartbeats of one lease, each gets numbers for its own lines."""
        together: dict[LeaseKey, Extension] = {}
        for one in extensions:
            lines = one.lines + together[one.key].lines if one.key in together else one.lines
            together[one.key] = one._replace(lines=lines)
        async with self._connection.use() as connection:
            extended = await extend_leases_if_held(connection, list(together.values()))
        results: list[Extended | None] = []
        for one in reversed(extensions):
            result = extended.get(one.key)
            results.append(result)
            if result is not None:
                extended[one.key] = result._replace(lines=result.lines - one.lines)
        return results[::-1]


class ReportedLine(NamedTuple):
    """Log line of a worker."""

    level: Level
    message: str


class Report(NamedTuple):
    """Report of a heartbeat. `checkpoint` is JSON text."""

    progress: float | None = None
    message: str | None = None
    checkpoint: str | None = None
    lines: Sequence[ReportedLine] = ()


class HeartbeatRecorder:
    """Records heartbeats with their reports, as those of handlers on nodes are recorded.

    Args:
        most_lines: number of log lines of an attempt that are kept.
        now: returns the time by the database's clock.
    """

    def __init__(
        self,
        extender: LeaseExtender,
        *,
        progress: ProgressRecorder,
        checkpoints: CheckpointRecorder,
        logs: LogRecorder,
        most_lines: int,
        now: Callable[[], datetime],
    ) -> None:
        self._extender = extender
        self._progress = progress
        self._checkpoints = checkpoints
        self._logs = logs
        self._most_lines = most_lines
        self._now = now

    async def record(self, lease: Lease, report: Report) -> Extended:
        """Extends the lease, and records what is reported.

        Raises:
            LeaseLost: as `LeaseExtender.extend`; nothing was recorded, or not everything.
            Overloaded, DatabaseError: it is not known to be recorded; it is safe to try again.
        """
        extended = await self._extender.extend(lease, lines=len(report.lines))
        held = await asyncio.gather(*self._records(lease, report))
        if not all(held):
            raise LeaseLost.of(lease.job_id)
        self._log(lease, report.lines, first=extended.lines - len(report.lines) + 1)
        return extended

    def _records(self, lease: Lease, report: Report) -> list[Awaitable[bool]]:
        """Returns the records of the report; each returns whether the lease was held."""
        records: list[Awaitable[bool]] = []
        if report.progress is not None:
            records.append(
                self._progress.record(lease.job_id, lease.token, percent=report.progress, message=report.message)
            )
        if report.checkpoint is not None:
            records.append(self._checkpoints.keep(lease.job_id, lease.token, report.checkpoint))
        return records

    def _log(self, lease: Lease, lines: Sequence[ReportedLine], *, first: int) -> None:
        """Adds lines to the log of the job, as far as its limit allows."""
        for number, line in enumerate(lines, first):
            if number <= self._most_lines:
                self._put(lease, number, line.level, message_text(line.message))
            elif number == self._most_lines + 1 and self._most_lines:
                self._put(lease, number, Level.WARNING, limit_note(self._most_lines))

    def _put(self, lease: Lease, number: int, level: Level, message: str) -> None:
        self._logs.put(
            LogLine(
                lease.tenant_id, lease.job_id, lease.token, number, lease.attempt, level, message, None, self._now()
            )
        )
