"""Clock watch: corrects what this process knows of the database's clock, and tells how far the machine's is from it."""

from collections.abc import Callable
from datetime import datetime

import structlog

from duly.domain.clock import DatabaseClock

log = structlog.stdlib.get_logger("duly.clock")

# Classes of an offset, each with its lower bound in seconds.
BOUNDS_SECONDS = (2.0, 60.0, 3600.0)
# An offset that lies just at a bound does not go to and fro over it.
STICKY = 0.8


class ClockWatch:
    """Warns when the offset reaches another class, and says when it is small again.

    Args:
        show: sets the gauge.
    """

    def __init__(self, clock: DatabaseClock, show: Callable[[float], None]) -> None:
        self._clock = clock
        self._show = show
        self._class = 0

    def asking(self) -> float:
        """Returns the moment at which the database is asked for its time."""
        return self._clock.elapsed()

    def answered(self, told: datetime, *, asked: float) -> None:
        """Takes in the database's time, which was asked for at that moment."""
        self._clock.correct(told, asked=asked, answered=self._clock.elapsed())
        self.look(self._clock.offset_seconds)

    def look(self, offset_seconds: float) -> None:
        """Takes in an offset: above 0 where this machine's clock is ahead."""
        self._show(offset_seconds)
        before, self._class = self._class, self._class_of(offset_seconds)
        if self._class == before:
            return
        if self._class == 0:
            log.info(
                "this machine's clock agrees with the database's again",
                action="clock_agrees",
                offset_seconds=round(offset_seconds, 3),
            )
            return
        log.warning(
            f"this machine's clock is {abs(offset_seconds):,.1f} s {'ahead of' if offset_seconds > 0 else 'behind'} "
            "the database's, which is the one that counts; synchronise both by NTP",
            action="clock_differs",
            offset_seconds=round(offset_seconds, 3),
        )

    def _class_of(self, offset_seconds: float) -> int:
        """0 where it is small; else the place of its bound, below 0 for a clock that is behind."""
        sign = 1 if offset_seconds > 0 else -1
        held = self._class * sign  # the class to keep where the clock is off to the same side
        size = abs(offset_seconds)
        return sign * sum(
            size > (bound * STICKY if place <= held else bound) for place, bound in enumerate(BOUNDS_SECONDS, 1)
        )
