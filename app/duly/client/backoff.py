"""Pauses between tries that fail in a row."""

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_LONGEST_REQUESTED_SECONDS = 60.0


class Backoff:
    """Failures in a row, and the pause before the next try.

    Attributes:
        tries: number of failures in a row after which to give up.
    """

    def __init__(self, *, tries: int) -> None:
        self.tries = tries
        self._failures = 0
        self._requested_seconds = 0.0

    @property
    def exhausted(self) -> bool:
        """True once as many tries as are allowed have failed."""
        return self._failures >= self.tries

    def note_failure(self) -> None:
        """Counts a failure."""
        self._failures += 1

    def note_success(self) -> None:
        """Forgets the failures."""
        self._failures = 0

    def request_pause(self, seconds: float) -> None:
        """Sets the shortest pause, as the service requested it; at most one minute."""
        self._requested_seconds = min(seconds, _LONGEST_REQUESTED_SECONDS)

    def pause_seconds(self) -> float:
        """Returns the pause: longer after each failure, at least as long as the service requested."""
        backoff: float = min(_FIRST_PAUSE_SECONDS * 2**self._failures, _LONGEST_PAUSE_SECONDS)
        return max(backoff, self._requested_seconds)
