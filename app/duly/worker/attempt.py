"""One attempt: call the handler where it belongs, and turn whatever happens into an outcome."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from duly.domain.job import ClaimedJob
from duly.domain.outcome import Cancelled, Completed, Failed, Interrupted, Outcome, TimedOut
from duly.handlers.calling import ParametersInvalid, ResultInvalid, read_parameters, write_result
from duly.handlers.context import JobContext
from duly.handlers.registry import RegisteredHandler
from duly.handlers.signals import Fail, Retry

log = structlog.stdlib.get_logger("duly.attempt")

Tell = Callable[["Attempt", float, str | None], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Attempt:
    """An attempt under way on this node. It is its own context's reporter.

    Attributes:
        deadline: on the event loop's clock, in seconds.
        stopped: why it was told to stop, once it was.
    """

    claimed: ClaimedJob
    handler: RegisteredHandler
    deadline: float
    tell: Tell
    task: asyncio.Task[Any] | None = None
    begun: bool = False
    stopped: Outcome | None = None
    cancelled: bool = field(default=False)

    def stop(self, why: Outcome) -> None:
        """Interrupts the handler; the first reason stands."""
        if self.stopped is None and self.task is not None:
            self.stopped = why
            self.cancelled = True
            if self.begun:  # a task cancelled before its first step would never run, and its end never be recorded
                self.task.cancel()

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        return self.tell(self, percent, message)

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        log_line(self.claimed, level, message, fields)

    def context(self) -> JobContext:
        return context_of(self.claimed, self)


def context_of(claimed: ClaimedJob, reporter: Any) -> JobContext:
    return JobContext(
        job_id=claimed.job_id,
        type=claimed.type,
        attempt=claimed.attempt,
        max_attempts=claimed.max_attempts,
        reporter=reporter,
        labels=json.loads(claimed.labels) if claimed.labels else {},
        correlation_id=claimed.correlation_id or str(claimed.job_id),
        traceparent=claimed.traceparent,
    )


def log_line(claimed: ClaimedJob, level: str, message: str, fields: Mapping[str, object]) -> None:
    """A line of the handler's own, with the ids that find it."""
    write = getattr(log, level if level in {"debug", "info", "warning", "error"} else "info")
    write(
        message,
        action="job_log",
        job_id=str(claimed.job_id),
        job_type=claimed.type,
        attempt=claimed.attempt,
        correlation_id=claimed.correlation_id or str(claimed.job_id),
        **({"fields": dict(fields)} if fields else {}),
    )


Call = Callable[[Attempt, Any], Awaitable[Any]]


async def outcome_of(attempt: Attempt, call: Call, *, result_limit: int) -> Outcome:
    """Runs the attempt to its end. Nothing that a handler does escapes, be it `sys.exit`."""
    attempt.begun = True
    if attempt.stopped is not None:
        return attempt.stopped
    try:
        parameters = read_parameters(attempt.handler, attempt.claimed.parameters)
        result = await call(attempt, parameters)
        completed = Completed(write_result(attempt.handler, result, limit=result_limit))
    except asyncio.CancelledError:
        return attempt.stopped or _failed(attempt, RuntimeError("the handler cancelled itself"))
    except BaseException as error:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler are its failures
        return _late(attempt) or outcome_of_error(attempt, error)
    return _late(attempt) or completed


def _late(attempt: Attempt) -> Outcome | None:
    """What counts where a handler that was told to stop went on to an end of its own."""
    return attempt.stopped if isinstance(attempt.stopped, TimedOut | Cancelled) else None


def outcome_of_error(attempt: Attempt, error: BaseException) -> Outcome:
    match error:
        case Retry():
            return Failed("TASK_FAILED", error.reason, "The handler asked for a retry.", delay_seconds=error.after)
        case Fail():
            return Failed(error.code, error.reason, error.reason, retryable=error.retryable)
        case ParametersInvalid():
            return Failed("TASK_FAILED", f"The parameters do not fit: {error}", str(error), retryable=False)
        case ResultInvalid():
            return Failed("RESULT_INVALID", str(error), "The handler's return value.", retryable=False)
        case Interruption():
            return Interrupted(str(error))
        case _:
            return _failed(attempt, error)


class Interruption(Exception):
    """Raised by an executor whose process goes away with the node."""


def _failed(attempt: Attempt, error: BaseException) -> Failed:
    log.warning(
        f"an attempt at {attempt.claimed.type} failed: {type(error).__name__}",
        action="attempt_failed",
        job_id=str(attempt.claimed.job_id),
        job_type=attempt.claimed.type,
        attempt=attempt.claimed.attempt,
        exc_info=error,
    )
    return Failed("TASK_FAILED", describe(error), type(error).__name__)


def describe(error: BaseException) -> str:
    """An error in one sentence for the job's history: its kind and its words."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # an exception of the user's may fail to print itself
        words = "(its text cannot be shown)"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
