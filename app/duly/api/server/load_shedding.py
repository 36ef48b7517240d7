"""Load shedding: a submission that would have to wait is refused at once, before its body is read.

A queue that only grows makes all clients wait until they time out. So it is bounded by time: submissions in progress
may take some milliseconds at the rate at which submissions complete. A burst is accepted completely; longer than a
burst is an overload, and the bound then holds until it is over.
"""

import time
from collections.abc import Callable, MutableMapping
from typing import Any

# A submission expected to wait longer than this is late.
PATIENCE_SECONDS = 0.03
# Time for which all may be late: a burst of some thousand is over by then.
BURST_SECONDS = 0.1
# Time for which the bound holds after the last late submission.
OVERLOAD_SECONDS = 2.0
# In an overload, a request that was unread for this time is late before it starts.
UNREAD_SECONDS = 0.02
# With as few in progress, the process would be idle otherwise.
IDLE = 2
# Always accepted: at a low rate, their time cannot be estimated.
ALWAYS = 64
WINDOW_SECONDS = 0.1
# Share of the previous rate that is kept: one slow window does not measure the capacity of the service.
_LEAST_OF_BEFORE = 0.8
_KEY = "duly.load_shedder"


class LoadShedder:
    """Counts the submissions in progress in this process, and the rate at which they complete."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_progress = self._done = 0
        self._window_began = clock()
        self._rate = 0.0
        self._late_since: float | None = None
        self._overload_until = float("-inf")

    def enter(self, scope: MutableMapping[str, Any]) -> None:
        """Counts a request as in progress until `leave`."""
        scope[_KEY] = self
        self._in_progress += 1

    def refuses(self, *, unread: Callable[[], float]) -> bool:
        """Returns whether to refuse one more submission.

        Args:
            unread: returns for how many seconds the request was unread; called in an overload only.
        """
        now = self._clock()
        self._measure(now)
        overload = now < self._overload_until
        if self._in_progress > max(ALWAYS, self._rate * PATIENCE_SECONDS):
            self._late_since = self._late_since or now
            overload = overload or now - self._late_since > BURST_SECONDS
        else:
            self._late_since = None
            # Fresh ones first; late ones if there are no others.
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
        """Counts a submission as completed."""
        self._in_progress -= 1
        self._done += 1


def leave(scope: MutableMapping[str, Any]) -> None:
    """Counts the submission of a request as completed or refused. Repeated calls have no effect."""
    load_shedder: LoadShedder | None = scope.pop(_KEY, None)
    if load_shedder is not None:
        load_shedder.left()
