"""How an attempt can end, as values, and what is then recorded of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, assert_never
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.job import Finish
from duly.domain.json_cleaning import clean_text, truncate_text
from duly.domain.retry import GiveUp, RetryAfter, RetryPolicy, decide_after_failure, decide_after_lost_worker
from duly.domain.safe_text import shown

MESSAGE_LIMIT = 8_000
NAME_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Completed:
    """The handler returned; `result` is JSON text."""

    result: str


class StackFrame(NamedTuple):
    """A line of a handler's code that an error came through."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, or what it was given or returned does not fit.

    Attributes:
        delay_seconds: until the next attempt, where the handler said so.
        exception: the name of the type of an error that was not meant as an outcome.
        frames: where that arose in the handler's code, the innermost last.
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
    seconds: float


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody wanted it cancelled, and it stopped."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Its node goes away in good order, lost touch with the database, or has no room: no fault of the job."""

    reason: str
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """Its node fell silent."""


Outcome: TypeAlias = Completed | Failed | TimedOut | Cancelled | Interrupted | WorkerLost


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """What a decision needs to know of the attempt that ended."""

    job_id: UUID
    token: int
    attempt: int
    max_attempts: int
    crashes: int = 0


def decide(outcome: Outcome, attempt: AttemptFacts, *, policy: RetryPolicy, random: Callable[[], float]) -> Finish:
    """What to record: the end of the job, or its way back. `random` gives numbers from 0 up to 1, for jitter."""
    job_id, token = attempt.job_id, attempt.token
    match outcome:
        case Completed(result):
            return Finish(job_id, token, EventKind.COMPLETED, result)
        case Cancelled():
            return Finish(job_id, token, EventKind.CANCELLED, cancelled_error(attempt.attempt))
        case Interrupted(reason, delay_seconds):
            data = json.dumps({"reason": reason})
            return Finish(job_id, token, EventKind.REQUEUED, data, delay_seconds, charged=False)
        case WorkerLost():
            return _after_lost_worker(attempt)
        case TimedOut(seconds):
            message = f"The attempt took longer than its {seconds:g} seconds."
            return _after_failure(Failed("TIMED_OUT", message, message), attempt, policy, random)
        case Failed():
            return _after_failure(outcome, attempt, policy, random)
        case _:
            assert_never(outcome)


def _after_failure(failed: Failed, attempt: AttemptFacts, policy: RetryPolicy, random: Callable[[], float]) -> Finish:
    decision = decide_after_failure(
        attempt=attempt.attempt,
        max_attempts=attempt.max_attempts,
        retryable=failed.retryable,
        requested_delay_seconds=failed.delay_seconds,
        policy=policy,
        random=random,
    )
    match decision:
        case RetryAfter(delay_seconds):
            kind = EventKind.RETRY_SCHEDULED
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


def _after_lost_worker(attempt: AttemptFacts) -> Finish:
    decision = decide_after_lost_worker(
        attempt=attempt.attempt, max_attempts=attempt.max_attempts, crashes=attempt.crashes + 1
    )
    match decision:
        case RetryAfter():
            kind, code = EventKind.LEASE_EXPIRED, "WORKER_LOST"
        case GiveUp(given):
            kind, code = EventKind.FAILED, given or "WORKER_LOST"
        case _:
            assert_never(decision)
    error = error_json(
        code,
        _LOST[code],
        reason="Its node sent no heartbeat.",
        retryable=isinstance(decision, RetryAfter),
        attempt=attempt.attempt,
    )
    return Finish(attempt.job_id, attempt.token, kind, error, crashed=True)


_LOST = {
    "WORKER_LOST": "The process that ran this attempt went away.",
    "CRASH_LOOP": "The process that ran this job died under it three times; it is not run again by itself.",
}


def cancelled_error(attempt: int | None = None) -> str:
    return error_json(
        "CANCELLED", "The job was cancelled.", reason="A client asked for it.", retryable=False, attempt=attempt
    )


def expired_error() -> str:
    return error_json(
        "EXPIRED",
        "The job did not start before it expired.",
        reason="Its expiresInSeconds had passed.",
        retryable=False,
        attempt=None,
    )


def dependency_error(parent: UUID) -> str:
    return error_json(
        "DEPENDENCY_FAILED",
        f"The job waited for {parent}, which failed or was cancelled.",
        reason="A job that it depends on did not complete.",
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
    """Shows as text what a handler gave in place of one: an error must not fail to be recorded."""
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
    """A job's `error` as the contract shows it; text that Postgres cannot hold is replaced, long text cut.

    Args:
        retryable: a retry follows.
        place: more of its details, where they are known: the exception and its frames.
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
