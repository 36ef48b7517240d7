"""Retry decisions: delays of jobs and of webhooks, and when to give up.

Attempts count from 1, delays are in seconds. `random` is a function that returns a number from 0 to 1, so that every
decision can be repeated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

DAY_SECONDS = 86_400.0
# The database adds delays to its clock: the bound keeps the result in the range of its timestamps.
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
    """Delay of a job after attempt n: min(cap, shape(n)) x (1 ± jitter).

    `fixed` waits first_seconds each time, `linear` n x first_seconds, `exponential` first_seconds x factor^(n - 1).

    Raises:
        ValueError: a value is out of range; the message names it.
    """

    shape: Literal["fixed", "linear", "exponential"]
    first_seconds: float
    cap_seconds: float
    factor: float = 2.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        _require(0 <= self.first_seconds < math.inf, f"first_seconds must be 0 or more, not {self.first_seconds}")
        _require(
            self.cap_seconds >= self.first_seconds,
            f"cap_seconds ({self.cap_seconds}) must not be below first_seconds ({self.first_seconds})",
        )
        _require(
            self.cap_seconds <= LONGEST_DELAY_SECONDS,
            f"cap_seconds must be at most {LONGEST_DELAY_SECONDS:.0f} (a year), not {self.cap_seconds}",
        )
        _require(1 <= self.factor < math.inf, f"factor must be 1 or more, not {self.factor}")
        _require(0 <= self.jitter <= 1, f"jitter must be between 0 and 1, not {self.jitter}")

    def delay_after(self, attempt: int, *, random: Random) -> float:
        """Returns the seconds until the attempt after this one."""
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
    """Returns a policy with the same delay each time."""
    return RetryPolicy("fixed", seconds, seconds, jitter=jitter)


def linear(seconds: float, *, cap: float = 300.0, jitter: float = 0.2) -> RetryPolicy:
    """Returns a policy with `seconds`, twice that, three times that, up to `cap` seconds."""
    return RetryPolicy("linear", seconds, cap, jitter=jitter)


def exponential(first: float = 1.0, *, factor: float = 2.0, cap: float = 300.0, jitter: float = 0.2) -> RetryPolicy:
    """Returns a policy with `first` seconds, then `factor` times the delay before, up to `cap` seconds.

    The defaults begin like those of Temporal and AWS Step Functions (1 s, doubled), where a short failure costs little
    time. With the cap, a job with many attempts is tried at least every five minutes; the jitter spreads jobs that
    failed together.
    """
    return RetryPolicy("exponential", first, cap, factor=factor, jitter=jitter)


DEFAULT_RETRY = exponential()


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Retry of the job after this many seconds."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Failure of the job. `code`, if set, replaces the error's own."""

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
    """Returns the decision after an attempt that raised or timed out. A delay from the handler precedes
    the policy's.
    """
    if not retryable or attempt >= max_attempts:
        return GiveUp()
    if requested_delay_seconds is None or math.isnan(requested_delay_seconds):
        return RetryAfter(policy.delay_after(attempt, random=random))
    return RetryAfter(min(max(requested_delay_seconds, 0.0), LONGEST_DELAY_SECONDS))


def decide_after_lost_worker(*, attempt: int, max_attempts: int, crashes: int) -> Decision:
    """Returns the decision after an attempt whose process died. `crashes` includes this one.

    A job whose processes keep dying is quarantined, even with attempts left: the next crash would affect other jobs as
    well.
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
    """Returns the seconds until a delivery is tried again after this attempt; None at the end of the
    schedule.

    The receiver's `Retry-After` applies where it is longer than the schedule's delay, up to 24 h.
    """
    if attempt > len(schedule):
        return None
    scheduled = schedule[max(attempt, 1) - 1] * _spread(WEBHOOK_JITTER, random)
    if retry_after_seconds is None or math.isnan(retry_after_seconds):
        return scheduled
    return max(scheduled, min(retry_after_seconds, LONGEST_RETRY_AFTER_SECONDS))


def _spread(jitter: float, random: Random) -> float:
    return 1 + jitter * (2 * random() - 1)
