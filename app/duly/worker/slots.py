"""Slots of a worker: how many are busy, free and reserved."""

from collections.abc import Sized

from duly.worker.executors import Executors
from duly.worker.parked_attempts import ParkedAttempts


class Slots:
    """Counts the slots of one worker. An attempt takes one, unless it is parked; so does a thread that outlived its
    attempt.

    Attributes:
        reserved: number of slots reserved for eager starts that may still come.
    """

    def __init__(self, total: int, *, attempts: Sized, parked: ParkedAttempts, executors: Executors) -> None:
        self._total = total
        self._attempts = attempts
        self._parked = parked
        self._executors = executors
        self.reserved = 0

    @property
    def busy(self) -> int:
        """Slots with a running attempt."""
        return len(self._attempts) - len(self._parked.waiting_parts)

    @property
    def free(self) -> int:
        """Slots with neither an attempt nor an abandoned thread."""
        # As `busy`, without the call: it is read three times for each job.
        busy = len(self._attempts) - len(self._parked.waiting_parts)
        return self._total - busy - self._executors.abandoned_threads

    @property
    def spare(self) -> int:
        """Slots that are free and not promised to eager starts or returning attempts."""
        return self.free - self.reserved - self._parked.returning
