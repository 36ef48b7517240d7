"""Clock of the database, as a process knows it: corrected with each heartbeat, and kept in between by a monotonic
clock. Orders and ages follow this clock, never the machine's.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from duly.domain.cells import ONLY, CellNumber
from duly.domain.ids import IdMaker

_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only


def elapsed_seconds() -> float:
    """Returns seconds since an arbitrary moment, by a clock that is never set and, on Linux, also counts suspension."""
    return time.monotonic() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


class DatabaseClock:
    """Clock and source of ids of one process. Before the first correction it shows the machine's time.

    Args:
        wall: the machine's clock, in seconds since 1970.
        elapsed: a clock that is never set, in seconds.
        id_of_bytes: makes an id of 16 bytes; None makes those of Python's own type.
        cell: the cell of all ids.
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,  # noqa: TID251  # the one place that compares it with the database's
        elapsed: Callable[[], float] = elapsed_seconds,
        id_of_bytes: Callable[[bytes], UUID] | None = None,
        cell: CellNumber = ONLY,
    ) -> None:
        self._wall = wall
        self.elapsed = elapsed
        self._began_at = wall() - elapsed()
        self.cell = cell
        self.ids = IdMaker(self.seconds, id_of_bytes, cell)

    def seconds(self) -> float:
        """Returns seconds since 1970."""
        return self._began_at + self.elapsed()

    def now(self) -> datetime:
        """Returns the time, in UTC."""
        return datetime.fromtimestamp(self.seconds(), UTC)

    @property
    def offset_seconds(self) -> float:
        """Returns the time by which the machine's clock is ahead of the database's; negative if it is behind."""
        return self._wall() - self.seconds()

    def correct(self, database_time: datetime, *, sent_at: float, received_at: float) -> None:
        """Corrects the clock by a time that the database read between these two moments of `elapsed`.

        A reading that agrees within its own uncertainty changes nothing, so a slow response cannot spoil the clock.
        """
        earliest, latest = database_time.timestamp() - received_at, database_time.timestamp() - sent_at
        if not earliest <= self._began_at <= latest:
            self._began_at = (earliest + latest) / 2
