"""Circuit breakers: when a job type that keeps failing is held back, and when it may go on."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

MOST_FAILURES = 10_000
LONGEST_SECONDS = 7 * 86_400.0
# A process that died says nothing about what its jobs call.
NOT_THE_HANDLERS = frozenset({"WORKER_LOST", "CRASH_LOOP"})


def _require(holds: bool, message: str) -> None:  # noqa: FBT001  # a condition and its sentence
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """After `failures` failed attempts in a row, all with the same error code, the jobs of this type are held back for
    `seconds`. Then one is let through: its success ends the pause for all, its failure begins another.

    Attributes:
        codes: only failures with one of these error codes count; None: every failure of an attempt does, but for the
            loss of its process.

    Raises:
        ValueError: a figure makes no sense; the message names it.
    """

    failures: int = 5
    seconds: float = 60.0
    codes: Collection[str] | None = None

    def __post_init__(self) -> None:
        _require(
            isinstance(self.failures, int) and 1 <= self.failures <= MOST_FAILURES,
            f"a breaker opens after 1 to {MOST_FAILURES} failures, not {self.failures!r}",
        )
        _require(
            isinstance(self.seconds, int | float) and 0 < self.seconds <= LONGEST_SECONDS,
            f"a breaker stays open for more than 0 s and at most a week, not {self.seconds!r}",
        )
        if self.codes is not None:
            _require(
                not isinstance(self.codes, str) and bool(self.codes) and all(isinstance(c, str) for c in self.codes),
                f"the codes of a breaker are several texts such as ('TIMED_OUT',), not {self.codes!r}",
            )

    def counts(self, code: str) -> bool:
        """Whether a failure with this error code says that the type is in trouble."""
        return code in self.codes if self.codes is not None else code not in NOT_THE_HANDLERS


class Circuit(IntEnum):
    """Stored numbers. Half-open: a job was let through, and its end is waited for."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class Streak(NamedTuple):
    """How attempts of a type ended, one after the other, as far as a breaker wants to know.

    Attributes:
        code, failures: the failures of one kind that came last.
        succeeded: one of all completed.
        whole: no success and no failure of another kind came before those failures.
        silent: one of all ended so that it says nothing of the type: it was cancelled, say.
    """

    code: str = ""
    failures: int = 0
    succeeded: bool = False
    whole: bool = True
    silent: bool = False

    def success(self) -> "Streak":
        """One more has completed."""
        return self.followed_by(Streak(succeeded=True, whole=False))

    def failure(self, code: str) -> "Streak":
        """One more has failed."""
        return self.followed_by(Streak(code, 1))

    def silence(self) -> "Streak":
        """One more has ended, and says nothing of the type."""
        return self._replace(silent=True)

    def followed_by(self, later: "Streak") -> "Streak":
        """This one and a later one as one."""
        succeeded, silent = self.succeeded or later.succeeded, self.silent or later.silent
        if not later.whole or (self.failures and later.failures and self.code != later.code):
            return Streak(later.code, later.failures, succeeded, whole=False, silent=silent)
        return Streak(later.code or self.code, self.failures + later.failures, succeeded, self.whole, silent)


class BreakerState(NamedTuple):
    """How the breaker of a type stands. `due`: where it is open, the time has come to let one job through."""

    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    code: str = ""
    due: bool = False


def after(state: BreakerState, streak: Streak, breaker: CircuitBreaker) -> BreakerState:
    """How it stands after these ends. What ends while it is open, and not due, began before, and changes nothing."""
    if state.circuit is not Circuit.CLOSED and not streak.succeeded:
        return _still_open(state, streak)
    if (state.circuit is not Circuit.CLOSED and not state.due) or (streak.whole and not streak.failures):
        return state
    earlier = state.failures if streak.whole and streak.code == state.code else 0
    failures = earlier + streak.failures
    circuit = Circuit.OPEN if failures >= breaker.failures else Circuit.CLOSED
    return BreakerState(circuit, failures, streak.code)


def _still_open(state: BreakerState, streak: Streak) -> BreakerState:
    if not state.due:
        return state
    if streak.failures:
        return BreakerState(Circuit.OPEN, state.failures + streak.failures, streak.code)
    return state._replace(circuit=Circuit.OPEN) if streak.silent else state
