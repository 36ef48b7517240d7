"""Counts of the current minutes in this process, by tenant and queue, until they are written to the database.

A batch of a hot statement costs a look-up and some additions for each group of its jobs. Counts that are not written
when a process is killed are lost: they are figures, not records.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeAlias

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import EventKind
from duly.domain.job import DEFAULT_QUEUE
from duly.domain.minute_figures import ALL_QUEUES, MOST_QUEUES, MinuteFigures
from duly.domain.rate_keys import Queue
from duly.domain.time_histogram import TimeHistogram
from duly.telemetry.job_groups import JobGroup

# Minutes that are kept while the database is away; older ones are dropped.
MOST_MINUTES = 60
_COUNTED = {
    EventKind.COMPLETED: "completed",
    EventKind.FAILED: "failed",
    EventKind.CANCELLED: "cancelled",
    EventKind.RETRY_SCHEDULED: "retried",
    EventKind.LEASE_EXPIRED: "retried",
}
_COUNTS = ("submitted", "started", "completed", "failed", "cancelled", "retried", "delivered", "undelivered")


class Cell:
    """Counts of one queue in one minute."""

    __slots__ = (*_COUNTS, "runs", "waits")

    def __init__(self) -> None:
        self.submitted = self.started = self.completed = self.failed = self.cancelled = self.retried = 0
        self.delivered = self.undelivered = 0
        self.waits, self.runs = TimeHistogram(), TimeHistogram()

    def merge(self, other: "Cell") -> None:
        """Adds the counts of another cell."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.waits.merge(other.waits.count, other.waits.seconds, other.waits.buckets)
        self.runs.merge(other.runs.count, other.runs.seconds, other.runs.buckets)

    def row(self, tenant_id: int, queue: str, minute: datetime) -> MinuteFigures:
        """Returns these counts as a row."""
        counts = [getattr(self, name) for name in _COUNTS]
        times = (part for times in (self.waits, self.runs) for part in (times.count, times.seconds, times.buckets))
        return MinuteFigures(tenant_id, queue, minute, *counts, *times)


class Minute:
    """Counts of one minute. Those of queues beyond the limit are in the cell of `ALL_QUEUES`."""

    def __init__(self) -> None:
        self.cells: dict[Queue, Cell] = {}
        self._queues: Counter[int] = Counter()

    def cell(self, tenant_id: int, queue: str) -> Cell:
        """Returns the cell that counts a queue."""
        if found := self.cells.get((tenant_id, queue)):
            return found
        if queue not in {ALL_QUEUES, DEFAULT_QUEUE}:
            if self._queues[tenant_id] >= MOST_QUEUES - 1:
                return self.cell(tenant_id, ALL_QUEUES)
            self._queues[tenant_id] += 1
        made = self.cells[tenant_id, queue] = Cell()
        return made

    def merge(self, other: "Minute") -> None:
        """Adds the counts of another minute."""
        for queue, cell in other.cells.items():
            self.cell(*queue).merge(cell)


class MinuteCounts:
    """Counts of one process."""

    def __init__(self, clock: DatabaseClock) -> None:
        self._clock = clock
        self._minutes: dict[int, Minute] = {}

    def submitted(self, jobs: Counter[Queue]) -> None:
        """Counts submitted jobs by queue."""
        minute = self._now()
        for queue, count in jobs.items():
            minute.cell(*queue).submitted += count

    def started(self, groups: Iterable[JobGroup]) -> None:
        """Counts started attempts, and the waits of those whose wait is known."""
        minute = self._now()
        for group in groups:
            cell = minute.cell(group.tenant_id, group.queue)
            cell.started += group.jobs
            cell.waits.add(group.times)

    def ended(self, groups: Iterable[JobGroup]) -> None:
        """Counts ended attempts, and how long they ran. One that was interrupted or parks is not counted."""
        minute = self._now()
        for group in groups:
            if (name := _COUNTED.get(group.kind)) is not None:
                cell = minute.cell(group.tenant_id, group.queue)
                setattr(cell, name, getattr(cell, name) + group.jobs)
                cell.runs.add(group.times)

    def ended_waiting(self, tenant_id: int, queue: str, kind: EventKind) -> None:
        """Counts a job that ended without a running attempt."""
        cell, name = self._now().cell(tenant_id, queue), _COUNTED[kind]
        setattr(cell, name, getattr(cell, name) + 1)

    def delivered(self, tenant_id: int, queue: str | None, *, succeeded: bool, count: int = 1) -> None:
        """Counts delivery attempts. Those about a batch have no queue."""
        cell = self._now().cell(tenant_id, queue or ALL_QUEUES)
        if succeeded:
            cell.delivered += count
        else:
            cell.undelivered += count

    def take(self) -> "TakenMinutes":
        """Returns all counts, and begins at zero."""
        minutes, self._minutes = self._minutes, {}
        return minutes

    def put_back(self, taken: "TakenMinutes") -> None:
        """Counts what was taken and could not be written."""
        for number, minute in taken.items():
            self._minute(number).merge(minute)

    def _now(self) -> "Minute":
        return self._minute(int(self._clock.seconds()) // 60)

    def _minute(self, number: int) -> "Minute":
        minute = self._minutes.get(number)
        if minute is None:
            while len(self._minutes) >= MOST_MINUTES:
                del self._minutes[min(self._minutes)]
            minute = self._minutes[number] = Minute()
        return minute


# By number: minutes since 1970.
TakenMinutes: TypeAlias = dict[int, Minute]


def rows_of(taken: TakenMinutes) -> list[MinuteFigures]:
    """Returns the rows to write, with those of all queues of each tenant, in the order of their keys."""
    rows = []
    for number, minute in taken.items():
        at = datetime.fromtimestamp(number * 60, UTC)
        totals: dict[int, Cell] = {}
        for (tenant_id, queue), cell in minute.cells.items():
            totals.setdefault(tenant_id, Cell()).merge(cell)
            if queue != ALL_QUEUES:
                rows.append(cell.row(tenant_id, queue, at))
        rows += [total.row(tenant_id, ALL_QUEUES, at) for tenant_id, total in totals.items()]
    return sorted(rows, key=lambda row: row[:3])
