"""Admission: a submission that would have to wait is told so at once, before its body is read.

A queue that only grows makes everybody wait until all give up. So it is bounded by time: what is in progress may take
some milliseconds at the rate at which submissions are getting done. A burst is taken in whole; only what goes on for
longer than a burst is an overload, and then the bound is kept until it is over.
"""

import time
from collections.abc import Callable, MutableMapping
from typing import Any

# Expected to wait longer than this, a submission is late.
PATIENCE_SECONDS = 0.03
# So long all may be late: a burst of some thousand is over by then.
BURST_SECONDS = 0.1
# So long after the last that was late the bound is kept.
OVERLOAD_SECONDS = 2.0
# In an overload, a request that has lain unread for so long is late before it is begun.
UNREAD_SECONDS = 0.02
# With so few in progress, nothing else would be left to do.
IDLE = 2
# So many are always taken in: at a low rate, nothing can be said of the time that they take.
ALWAYS = 64
WINDOW_SECONDS = 0.1
# One slow moment is no measure of what the service can do.
_LEAST_OF_BEFORE = 0.8
_KEY = "duly.admission"


class Admission:
    """Counts the submissions in progress in this process, and how fast they get done."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_progress = self._done = 0
        self._window_began = clock()
        self._rate = 0.0
        self._late_since: float | None = None
        self._overload_until = float("-inf")

    def enter(self, scope: MutableMapping[str, Any]) -> None:
        """One more is in progress: this request, until `leave`."""
        scope[_KEY] = self
        self._in_progress += 1

    def refuses(self, *, unread: Callable[[], float]) -> bool:
        """Whether one more is to be told to come back.

        Args:
            unread: tells, in seconds, how long the request has lain there; asked only where there is an overload.
        """
        now = self._clock()
        self._measure(now)
        overload = now < self._overload_until
        if self._in_progress > max(ALWAYS, self._rate * PATIENCE_SECONDS):
            self._late_since = self._late_since or now
            overload = overload or now - self._late_since > BURST_SECONDS
        else:
            self._late_since = None
            # Fresh ones first; but late ones rather than none.
            overload = overload and self._in_progress >= IDLE and unread() > UNREAD_SECONDS
        if overload:
            self._overload_until = now + OVERLOAD_SECONDS
        return overload

    def _measure(self, now: float) -> None:
        seconds = now - self._window_began
        if seconds >= WINDOW_SECONDS:
            self._rate = max(self._done / seconds, self._rate * _LEAST_OF_BEFORE)
            self._done, self._window_began = 0, now

    def left(self) -> None:
        self._in_progress -= 1
        self._done += 1


def leave(scope: MutableMapping[str, Any]) -> None:
    """This request's submission is done or refused; called once more, it does nothing."""
    admission: Admission | None = scope.pop(_KEY, None)
    if admission is not None:
        admission.left()
