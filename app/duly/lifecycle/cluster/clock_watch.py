"""Corrects this process's copy of the database clock, and reports the offset of the machine's clock."""

from collections.abc import Callable
from datetime import datetime

import structlog

from duly.domain.database_clock import DatabaseClock

log = structlog.stdlib.get_logger("duly.clock")

# Lower bounds of the classes of an offset.
BOUNDS_SECONDS = (2.0, 60.0, 3600.0)
# An offset leaves its class below this share of the bound, so one that moves about a bound is reported once.
HYSTERESIS = 0.8


class ClockWatch:
    """Sets the gauge at each reading; warns when the offset changes its class, and reports its end.

    Args:
        set_gauge: sets the gauge of the offset.
    """

    def __init__(self, clock: DatabaseClock, set_gauge: Callable[[float], None]) -> None:
        self._clock = clock
        self._set_gauge = set_gauge
        self._class = 0

    def elapsed(self) -> float:
        """Returns the moment to pass to `learn`, taken before the query for the database's time."""
        return self._clock.elapsed()

    def learn(self, database_time: datetime, *, sent_at: float) -> None:
        """Corrects the clock by a time that the database read after `sent_at`, and reports the offset."""
        self._clock.correct(database_time, sent_at=sent_at, received_at=self._clock.elapsed())
        self.report(self._clock.offset_seconds)

    def report(self, offset_seconds: float) -> None:
        """Reports an offset; positive where the machine's clock is ahead."""
        self._set_gauge(offset_seconds)
        before, self._class = self._class, self._class_of(offset_seconds)
        if self._class == before:
            return
        if self._class == 0:
            log.info(
                "machine clock agrees with the database clock again",
                action="clock_agrees",
                offset_seconds=round(offset_seconds, 3),
            )
            return
        log.warning(
            f"machine clock is {abs(offset_seconds):,.1f} s {'ahead of' if offset_seconds > 0 else 'behind'} "
            "the database clock, which is used; synchronize both by NTP",
            action="clock_differs",
            offset_seconds=round(offset_seconds, 3),
        )

    def _class_of(self, offset_seconds: float) -> int:
        """Returns 0 for a small offset; else the number of its bound, negative for a clock that is behind."""
        sign = 1 if offset_seconds > 0 else -1
        held = self._class * sign  # the class to keep while the clock is off to the same side
        size = abs(offset_seconds)
        return sign * sum(
            size > (bound * HYSTERESIS if number <= held else bound) for number, bound in enumerate(BOUNDS_SECONDS, 1)
        )
