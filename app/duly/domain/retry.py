"""When to try again, and when to give up: attempts of a job and attempts of a webhook.

An attempt is counted from 1, a delay is in seconds. Chance comes in as `random`, a function that returns a number from
0 up to 1, so that every decision here can be repeated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

DAY_SECONDS = 86_400.0
# The ledger adds delays to its clock: a bound keeps any of them a time that it can hold.
LONGEST_DELAY_SECONDS = 365 * DAY_SECONDS
CRASHES_TO_QUARANTINE = 3
LONGEST_RETRY_AFTER_SECONDS = DAY_SECONDS
WEBHOOK_SCHEDULE_SECONDS: tuple[float, ...] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
WEBHOOK_JITTER = 0.2

Random = Callable[[], float]


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 -- a condition and its sentence
    if not holds:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long a job waits after attempt n: min(cap, shape(n)) x (1 ± jitter).

    `fixed` waits first_seconds each time, `linear` n x first_seconds, `exponential` first_seconds x factor^(n - 1).

    Raises:
        ValueError: a figure makes no sense; the message names it.
    """

    shape: Literal["fixed", "linear", "exponential"]
    first_seconds: float
    cap_seconds: float
    factor: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        _require(0 <= self.first_seconds < math.inf, f"the first delay is {self.first_seconds}, not 0 s or more")
        _require(
            self.cap_seconds >= self.first_seconds, f"the cap {self.cap_seconds} s is below {self.first_seconds} s"
        )
        _require(
            self.cap_seconds <= LONGEST_DELAY_SECONDS,
            f"the cap {self.cap_seconds} s is above {LONGEST_DELAY_SECONDS:.0f} s, a year",
        )
        _require(1 <= self.factor < math.inf, f"the factor is {self.factor}, not a number from 1 up")
        _require(0 <= self.jitter <= 1, f"the jitter is {self.jitter}, not a share from 0 to 1")

    def delay_after(self, attempt: int, *, random: Random) -> float:
        """Seconds until the attempt that follows this one."""
        return min(self.cap_seconds, self._unbounded(attempt)) * _spread(self.jitter, random)

    def _unbounded(self, attempt: int) -> float:
        steps = max(attempt, 1)
        try:
            match self.shape:
                case "fixed":
                    return self.first_seconds
                case "linear":
                    return self.first_seconds * steps
                case "exponential":
                    return self.first_seconds * float(self.factor) ** (steps - 1)
                case _:
                    assert_never(self.shape)
        except OverflowError:
            return math.inf if self.first_seconds else 0.0


def fixed(seconds: float, *, jitter: float = 0.0) -> RetryPolicy:
    """The same delay each time."""
    return RetryPolicy("fixed", seconds, seconds, jitter=jitter)


def linear(seconds: float, *, cap: float = 300.0, jitter: float = 0.2) -> RetryPolicy:
    """`seconds`, twice that, three times that, up to `cap` seconds."""
    return RetryPolicy("linear", seconds, cap, jitter=jitter)


def exponential(first: float = 1.0, *, factor: float = 2.0, cap: float = 300.0, jitter: float = 0.2) -> RetryPolicy:
    """`first` seconds, then each delay `factor` times the one before, up to `cap` seconds.

    The defaults begin as Temporal and AWS Step Functions do (1 s, doubled), where a short hiccup costs little time; the
    cap keeps a job with many attempts trying at least every five minutes, and a fifth of jitter keeps jobs that failed
    together from coming back together.
    """
    return RetryPolicy("exponential", first, cap, factor=factor, jitter=jitter)


DEFAULT_RETRY = exponential()


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The job is tried again after this many seconds."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The job has failed. `code`, where set, takes the place of the error's own."""

    code: str | None = None


Decision = RetryAfter | GiveUp


def decide_after_failure(
    *,
    attempt: int,
    max_attempts: int,
    retryable: bool,
    requested_delay_seconds: float | None,
    policy: RetryPolicy,
    random: Random,
) -> Decision:
    """What follows an attempt that raised or timed out. A delay that the handler asked for goes before the policy's."""
    if not retryable or attempt >= max_attempts:
        return GiveUp()
    if requested_delay_seconds is None or math.isnan(requested_delay_seconds):
        return RetryAfter(policy.delay_after(attempt, random=random))
    return RetryAfter(min(max(requested_delay_seconds, 0.0), LONGEST_DELAY_SECONDS))


def decide_after_lost_worker(*, attempt: int, max_attempts: int, crashes: int) -> Decision:
    """What follows an attempt whose process died. `crashes` counts this one too.

    A job under which processes keep dying is quarantined, whatever attempts it has left: the next to die would be
    another's jobs as well.
    """
    if crashes >= CRASHES_TO_QUARANTINE:
        return GiveUp("CRASH_LOOP")
    if attempt >= max_attempts:
        return GiveUp("WORKER_LOST")
    return RetryAfter(0.0)


def webhook_delay(
    attempt: int,
    *,
    schedule: Sequence[float],
    retry_after_seconds: float | None,
    random: Random,
) -> float | None:
    """Seconds until a delivery is tried again after this attempt; None where the schedule is used up.

    The receiver's `Retry-After` counts where it is longer than the schedule's, up to 24 h.
    """
    if attempt > len(schedule):
        return None
    scheduled = schedule[max(attempt, 1) - 1] * _spread(WEBHOOK_JITTER, random)
    if retry_after_seconds is None or math.isnan(retry_after_seconds):
        return scheduled
    return max(scheduled, min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS))


def _spread(jitter: float, random: Random) -> float:
    return 1 + jitter * (2 * random() - 1)
