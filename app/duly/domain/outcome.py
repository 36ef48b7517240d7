"""Outcomes of an attempt, and the decision what to record for each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Finish, Mark
from duly.domain.json_cleaning import clean_text, truncate_text
from duly.domain.retry import (
    LONGEST_DELAY_SECONDS,
    GiveUp,
    RetryAfter,
    RetryPolicy,
    decide_after_failure,
    decide_after_lost_worker,
)
from duly.domain.safe_str import shown
from duly.domain.steps import Wait

MESSAGE_LIMIT = 8_000
NAME_LIMIT = 500
# Number of an attempt whose number is not known, and not counted.
NOT_CHARGED = 0
COMPENSATION_FAILED = "COMPENSATION_FAILED"
LEAST_COMPENSATION_ATTEMPTS = 5
# Delay of a held job: it is scheduled for no time at all.
HELD_SECONDS = LONGEST_DELAY_SECONDS


@dataclass(frozen=True, slots=True)
class Completed:
    """Handler returned; `result` is JSON text."""

    result: str


class StackFrame(NamedTuple):
    """Line of a handler's code in the traceback of an error."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Handler raised, or its parameters or its result are invalid.

    Attributes:
        delay_seconds: delay until the next attempt, if the handler set one.
        exception: name of the type of an unexpected exception.
        frames: its location in the handler's code, the innermost last.
    """

    code: str
    message: str
    reason: str
    retryable: bool = True
    delay_seconds: float | None = None
    exception: str | None = None
    frames: tuple[StackFrame, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Attempt exceeded its timeout."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Attempt stopped after a cancel request."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Attempt stopped for a reason outside of the job: its node shut down, lost the database, or had no capacity."""

    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """Node of the attempt stopped sending heartbeats, or its worker over HTTP did not extend its lease."""

    reason: str = "The node stopped sending heartbeats."


@dataclass(frozen=True, slots=True)
class Parked:
    """Handler waits for a time or a signal, or for child jobs, without a slot: it is called again then."""

    waits: tuple[Wait, ...]
    children: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Compensated:
    """Attempt compensated all steps: the job ends as it would have ended before."""


Outcome: TypeAlias = Compensated | Completed | Failed | TimedOut | Cancelled | Interrupted | WorkerLost | Parked


class AttemptFacts(NamedTuple):
    """Facts about an attempt that decide its end. `marks`: those of its job."""

    job_id: UUID
    token: int
    attempt: int
    max_attempts: int
    crashes: int = 0
    marks: int = 0

    @property
    def compensates(self) -> bool:
        """Returns whether the attempt compensates steps."""
        return bool(self.marks & Mark.COMPENSATING)

    @property
    def holds(self) -> bool:
        """Returns whether the job is held once its attempts are exhausted."""
        return bool(self.marks & Mark.HOLDS) and not self.compensates

    @property
    def most(self) -> int:
        """Maximum number of attempts. A compensation has some even if the job has only one."""
        return max(self.max_attempts, LEAST_COMPENSATION_ATTEMPTS) if self.compensates else self.max_attempts


def completed(job_id: UUID, token: int, outcome: Completed) -> Finish:
    """Returns the event to record for a handler that returned: the one outcome that depends on nothing else."""
    return Finish(job_id, token, EventKind.COMPLETED, outcome.result)


def decide(  # noqa: PLR0911  # a table that the type checker completes
    outcome: Outcome, attempt: AttemptFacts, *, policy: RetryPolicy, random: Callable[[], float]
) -> Finish:
    """Returns the event to record: the end of the job, or its return to a queue. `random` returns numbers from 0 to 1,
    for jitter.
    """
    job_id, token = attempt.job_id, attempt.token
    match outcome:
        case Completed():
            return completed(job_id, token, outcome)
        case Compensated():  # the statement records the end that began the compensation
            return Finish(job_id, token, EventKind.FAILED)
        case Cancelled():
            return Finish(job_id, token, EventKind.CANCELLED, cancelled_error(attempt.attempt))
        case Interrupted(reason, delay_seconds):
            data = json.dumps({"reason": reason})
            return Finish(job_id, token, EventKind.REQUEUED, data, delay_seconds, charged=False)
        case WorkerLost(reason):
            return _after_lost_worker(attempt, reason)
        case Parked(waits, children):
            return Finish(job_id, token, EventKind.PARKED, charged=False, waits=waits, children=children)
        case TimedOut(seconds):
            message = f"The attempt exceeded its timeout of {seconds:g} seconds."
            return _after_failure(Failed("TIMED_OUT", message, message), attempt, policy, random)
        case Failed():
            return _after_failure(outcome, attempt, policy, random)
        case _:
            assert_never(outcome)


def _after_failure(failed: Failed, attempt: AttemptFacts, policy: RetryPolicy, random: Callable[[], float]) -> Finish:
    decision = decide_after_failure(
        attempt=attempt.attempt,
        max_attempts=attempt.most,
        retryable=failed.retryable,
        requested_delay_seconds=failed.delay_seconds,
        policy=policy,
        random=random,
    )
    match decision:
        case RetryAfter(delay_seconds):
            kind = EventKind.RETRY_SCHEDULED
        case GiveUp() if attempt.holds and failed.retryable:
            kind, delay_seconds = EventKind.HELD, HELD_SECONDS
        case GiveUp():
            kind, delay_seconds = EventKind.FAILED, 0.0
        case _:
            assert_never(decision)
    error = error_json(
        failed.code,
        failed.message,
        reason=failed.reason,
        retryable=isinstance(decision, RetryAfter),
        attempt=attempt.attempt,
        place=None if failed.exception is None else _place(failed.exception, failed.frames),
    )
    return Finish(attempt.job_id, attempt.token, kind, error, delay_seconds)


def _after_lost_worker(attempt: AttemptFacts, reason: str) -> Finish:
    decision = decide_after_lost_worker(attempt=attempt.attempt, max_attempts=attempt.most, crashes=attempt.crashes + 1)
    match decision:
        case RetryAfter():
            kind, code = EventKind.LEASE_EXPIRED, "WORKER_LOST"
        case GiveUp(given):
            kind, code = EventKind.HELD if attempt.holds else EventKind.FAILED, given or "WORKER_LOST"
        case _:
            assert_never(decision)
    error = error_json(
        code,
        _LOST[code],
        reason=reason,
        retryable=isinstance(decision, RetryAfter),
        attempt=attempt.attempt,
    )
    delay_seconds = HELD_SECONDS if kind is EventKind.HELD else 0.0
    # Crashes are those that another attempt follows: a held job is retried by hand, with none.
    crashed = kind is EventKind.LEASE_EXPIRED
    return Finish(attempt.job_id, attempt.token, kind, error, delay_seconds, crashed=crashed)


_LOST = {
    "WORKER_LOST": "The process that ran this attempt was lost.",
    "CRASH_LOOP": "The process that ran this job died three times during it. Retry the job by hand.",
}


def cancelled_error(attempt: int | None = None) -> str:
    """Returns the error of a cancelled job."""
    return error_json(
        "CANCELLED", "The job was cancelled.", reason="A client requested it.", retryable=False, attempt=attempt
    )


def expired_error() -> str:
    """Returns the error of a job that did not start in time."""
    return error_json(
        "EXPIRED",
        "The job did not start before it expired.",
        reason="expiresInSeconds elapsed.",
        retryable=False,
        attempt=None,
    )


def dependency_error(parent: UUID) -> str:
    """Returns the error of a job whose dependency failed or was cancelled."""
    return error_json(
        "DEPENDENCY_FAILED",
        f"Its dependency {parent} failed or was cancelled.",
        reason="A dependency did not complete.",
        retryable=False,
        attempt=None,
    )


def _place(exception: str, frames: Sequence[StackFrame]) -> dict[str, object]:
    return {
        "exception": _fit(exception, NAME_LIMIT),
        "frames": [
            {"file": _fit(file, NAME_LIMIT), "line": line, "function": _fit(function, NAME_LIMIT)}
            for file, line, function in frames
        ],
    }


def _fit(text: object, limit: int) -> str:
    """Returns a value of a handler as storable text, so that recording an error cannot fail."""
    return truncate_text(clean_text(shown(text)), limit)


def error_json(
    code: str,
    message: str,
    *,
    reason: str,
    retryable: bool,
    attempt: int | None,
    place: Mapping[str, object] | None = None,
) -> str:
    """Returns a job's `error` as JSON text; characters that cannot be stored are replaced, long texts
    truncated.

    Args:
        retryable: a retry follows.
        place: location of the error, if known: the exception and its frames.
    """
    return json.dumps(
        {
            "code": _fit(code, 100),
            "message": _fit(message, MESSAGE_LIMIT),
            "details": {
                "reason": _fit(reason, MESSAGE_LIMIT),
                "retryable": retryable,
                "attempt": attempt,
                **(place or {}),
            },
        },
        ensure_ascii=False,
    )
