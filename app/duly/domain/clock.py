"""The database's clock as a process knows it: corrected by each heartbeat, and kept in between by a clock that nobody
sets. What is ordered or aged is so by this one; the clock of the machine decides nothing.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from duly.domain.ids import IdMaker


def elapsed_seconds() -> float:
    """Seconds since some moment, by a clock that is never set, and goes on in a suspended machine where one does."""
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class DatabaseClock:
    """Before the first correction it shows the machine's time.

    Args:
        wall: the machine's clock, in seconds since 1970.
        elapsed: a clock that is never set.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,  # noqa: TID251  # the one place that compares it with the database's
        elapsed: Callable[[], float] = elapsed_seconds,
    ) -> None:
        self._wall = wall
        self.elapsed = elapsed
        self._began_at = wall() - elapsed()
        self.ids = IdMaker(self.seconds)

    def seconds(self) -> float:
        """Seconds since 1970."""
        return self._began_at + self.elapsed()

    def now(self) -> datetime:
        """The time now, in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    @property
    def offset_seconds(self) -> float:
        """Time by which the machine's clock is ahead of the database's; below 0 where it is behind."""
        return self._wall() - self.seconds()

    def correct(self, told: datetime, *, asked: float, answered: float) -> None:
        """Takes in a time that the database told between these two moments of `elapsed`.

        Nothing changes unless the answer proves this clock wrong: a slow answer proves little, and spoils nothing.
        """
        earliest, latest = told.timestamp() - answered, told.timestamp() - asked
        if not earliest <= self._began_at <= latest:
            self._began_at = (earliest + latest) / 2
