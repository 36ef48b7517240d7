"""Circuit breaker of a job type: stops claims of the type while its attempts keep failing."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MOST_FAILURES = 10_000
LONGEST_SECONDS = 7 * 86_400.0
# A lost process says nothing about the services that its jobs call.
NOT_THE_HANDLERS = frozenset({"WORKER_LOST", "CRASH_LOOP"})


def _require(holds: bool, message: str) -> None:  # noqa: FBT001  # a condition and its sentence
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Thresholds of a job type's circuit breaker.

    The breaker opens after `failures` consecutive failed attempts with the same error code. After `seconds` one job is
    started as a probe: its success closes the breaker, its failure opens it again.

    Attributes:
        codes: error codes that count; None counts every failure except the loss of the process.

    Raises:
        ValueError: a value is out of range; the message names it.
    """

    failures: int = 5
    seconds: float = 60.0
    codes: Collection[str] | None = None

    def __post_init__(self) -> None:
        _require(
            isinstance(self.failures, int) and 1 <= self.failures <= MOST_FAILURES,
            f"failures must be between 1 and {MOST_FAILURES:,}, not {self.failures!r}",
        )
        _require(
            isinstance(self.seconds, int | float) and 0 < self.seconds <= LONGEST_SECONDS,
            f"seconds must be above 0 and at most {LONGEST_SECONDS:,.0f} (a week), not {self.seconds!r}",
        )
        if self.codes is not None:
            _require(
                not isinstance(self.codes, str) and bool(self.codes) and all(isinstance(c, str) for c in self.codes),
                f"codes must be a collection of error codes such as ('TIMED_OUT',), not {self.codes!r}",
            )

    def counts(self, code: str) -> bool:
        """Returns whether a failure with this error code counts."""
        return code in self.codes if self.codes is not None else code not in NOT_THE_HANDLERS


class CircuitState(IntEnum):
    """State of a circuit, as a stored number. Half-open: a probe was started and has not ended."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Streak(NamedTuple):
    """Ends of consecutive attempts of a type, reduced to what its breaker needs.

    Attributes:
        code, failures: error code and number of the failures at the end of the sequence.
        succeeded: an attempt of the sequence completed.
        whole: the sequence consists of these failures alone.
        silent: an attempt ended without evidence about the type, for example cancelled.
    """

    code: str = ""
    failures: int = 0
    succeeded: bool = False
    whole: bool = True
    silent: bool = False

    def success(self) -> "Streak":
        """Returns the sequence with one more completed attempt."""
        return self.followed_by(Streak(succeeded=True, whole=False))

    def failure(self, code: str) -> "Streak":
        """Returns the sequence with one more failed attempt."""
        return self.followed_by(Streak(code, 1))

    def silence(self) -> "Streak":
        """Returns the sequence with one more attempt that gives no evidence."""
        return self._replace(silent=True)

    def followed_by(self, later: "Streak") -> "Streak":
        """Returns this sequence and a later one as one."""
        succeeded, silent = self.succeeded or later.succeeded, self.silent or later.silent
        if not later.whole or (self.failures and later.failures and self.code != later.code):
            return Streak(later.code, later.failures, succeeded, whole=False, silent=silent)
        return Streak(later.code or self.code, self.failures + later.failures, succeeded, self.whole, silent)


class JobTypeBreaker(NamedTuple):
    """State of a type's breaker. `due`: it is open, and its pause is over."""

    circuit: CircuitState = CircuitState.CLOSED
    failures: int = 0
    code: str = ""
    due: bool = False


def breaker_after(state: JobTypeBreaker, streak: Streak, breaker: CircuitBreaker) -> JobTypeBreaker:
    """Returns the state after these ends. While it is open and not due, ends of earlier attempts change nothing."""
    if state.circuit is not CircuitState.CLOSED and not streak.succeeded:
        return _still_open(state, streak)
    if (state.circuit is not CircuitState.CLOSED and not state.due) or (streak.whole and not streak.failures):
        return state
    earlier = state.failures if streak.whole and streak.code == state.code else 0
    failures = earlier + streak.failures
    circuit = CircuitState.OPEN if failures >= breaker.failures else CircuitState.CLOSED
    return JobTypeBreaker(circuit, failures, streak.code)


def _still_open(state: JobTypeBreaker, streak: Streak) -> JobTypeBreaker:
    if not state.due:
        return state
    if streak.failures:
        return JobTypeBreaker(CircuitState.OPEN, state.failures + streak.failures, streak.code)
    return state._replace(circuit=CircuitState.OPEN) if streak.silent else state
