"""Load shedding: a submission that would have to wait is refused at once, before its body is read.

A queue that only grows makes all clients wait until they time out. So it is bounded by time: submissions in progress
may take some milliseconds at the rate at which submissions complete. A burst is accepted completely; longer than a
burst is an overload, and until it is over a shorter time applies: waiting longer would not record more.
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
# In an overload, a submission may take this time, or twice the shortest one, if commits are slow: while one statement
# is being recorded, as many submissions must gather for the next.
OVERLOAD_PATIENCE_SECONDS = 0.01
TIMES_SHORTEST = 2
# In an overload, a request that was unread for this time is late before it starts.
UNREAD_SECONDS = 0.02
# With as few in progress, the process would be idle otherwise.
IDLE = 2
# Always accepted: at a low rate, their time cannot be estimated.
ALWAYS = 64
WINDOW_SECONDS = 0.1
# Share of the previous rate that is kept: one slow window does not measure the capacity of the service.
_LEAST_OF_BEFORE = 0.8
# Most that the shortest time may be of the one before: a burst makes all wait, before it is an overload.
_MOST_OF_BEFORE = 1.1
_KEY = "duly.load_shedder"


class LoadShedder:
    """Counts the submissions in progress in this process, and the `rate` per second at which they complete."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_progress = self._done = 0
        self._window_began = clock()
        self.rate = 0.0
        self._shortest = self._shortest_of_window = float("inf")
        self._late_since: float | None = None
        self._overload_until = float("-inf")

    def enter(self, scope: MutableMapping[str, Any]) -> None:
        """Counts a request as in progress until `leave`."""
        scope[_KEY] = self, self._clock()
        self._in_progress += 1

    def refuses(self, *, unread: Callable[[], float]) -> bool:
        """Returns whether to refuse one more submission.

        Args:
            unread: returns for how many seconds the request was unread; called in an overload only.
        """
        now = self._clock()
        self._measure(now)
        overload = now < self._overload_until
        if self._in_progress > self._bound(overload=overload):
            self._late_since = self._late_since or now
            overload = overload or now - self._late_since > BURST_SECONDS
        else:
            self._late_since = None
            # Fresh ones first; late ones if there are no others.
            overload = overload and self._in_progress >= IDLE and unread() > UNREAD_SECONDS
        if overload:
            self._overload_until = now + OVERLOAD_SECONDS
        return overload

    def _bound(self, *, overload: bool) -> float:
        seconds = PATIENCE_SECONDS
        if overload:
            seconds = min(seconds, max(OVERLOAD_PATIENCE_SECONDS, TIMES_SHORTEST * self._shortest))
        return max(ALWAYS, self.rate * seconds)

    def _measure(self, now: float) -> None:
        seconds = now - self._window_began
        if seconds >= WINDOW_SECONDS:
            self.rate = max(self._done / seconds, self.rate * _LEAST_OF_BEFORE)
            self._note_shortest(now)
            self._done, self._window_began = 0, now

    def _note_shortest(self, now: float) -> None:
        """Takes the shortest time of a window. It rises slowly, and not at all in an overload, in which all wait."""
        if self._done:
            most = self._shortest * (1.0 if now < self._overload_until else _MOST_OF_BEFORE)
            self._shortest, self._shortest_of_window = min(self._shortest_of_window, most), float("inf")

    def left(self, entered_at: float) -> None:
        """Counts a submission as completed."""
        self._in_progress -= 1
        self._done += 1
        self._shortest_of_window = min(self._shortest_of_window, self._clock() - entered_at)


def leave(scope: MutableMapping[str, Any]) -> None:
    """Counts the submission of a request as completed or refused. Repeated calls have no effect."""
    entered: tuple[LoadShedder, float] | None = scope.pop(_KEY, None)
    if entered is not None:
        load_shedder, entered_at = entered
        load_shedder.left(entered_at)
