"""Runs one attempt: calls the handler, and turns each way it may end into an outcome."""

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import structlog

from duly.domain.job import ClaimedJob
from duly.domain.log_lines import LEVELS
from duly.domain.outcome import Cancelled, Completed, Failed, Interrupted, Outcome, Parked, TimedOut
from duly.domain.steps import Wait
from duly.handlers.child_jobs import ChildBackend, ChildFailed, ChildJobs, Run, in_loop
from duly.handlers.context import JobContext
from duly.handlers.exceptions import Fail, HandlerError, Retry, SignalTimedOut
from duly.handlers.registry import RegisteredHandler
from duly.handlers.serialization import ParametersInvalid, ResultInvalid, read_parameters, write_result
from duly.handlers.step_backend import StepBackend, Suspended
from duly.handlers.steps import Steps
from duly.telemetry.current_trace import current_trace, trace_of
from duly.telemetry.tracing import AttemptSpan
from duly.worker.handler_context import context_of, describe, package_of
from duly.worker.tracebacks import ErrorLocation, locate_error

log = structlog.stdlib.get_logger("duly.attempt")

SETTLE_SECONDS = 2.0
_numbering = threading.Lock()


class Reports(Protocol):
    """Receiver of what attempts report: recorded by a node, kept in memory by `duly.testing`."""

    def progress(self, attempt: "Attempt", percent: float, message: str | None) -> Awaitable[None]:
        """Takes the progress of an attempt."""

    def log(self, attempt: "Attempt", level: str, message: str, fields: Mapping[str, object]) -> None:
        """Takes a log line."""

    def error(self, attempt: "Attempt", error: BaseException, location: ErrorLocation) -> None:
        """Takes the exception that ends the attempt."""

    def checkpoint(self, attempt: "Attempt", value: object) -> Awaitable[None]:
        """Takes a checkpoint."""

    def child_backend(self, attempt: "Attempt") -> ChildBackend:
        """Returns the backend for child jobs of an attempt."""

    def step_backend(self, attempt: "Attempt") -> StepBackend:
        """Returns the backend for steps of an attempt."""


@dataclass(slots=True, eq=False)
class Attempt:
    """A running attempt. It is the reporter of its own context.

    Attributes:
        deadline: by the event loop's clock, in seconds; counted from the start of the handler's call.
        awaits_call: True while something else, which may be late, is to call its handler; `deadline` does not end it.
        recorded_deadline: the deadline in the database, after which others may end the attempt.
        stopped: the outcome with which it was stopped.
        lines: number of lines that it has logged.
        span: its span, if the trace of its job is sampled.
        recording: its newest checkpoint, being recorded or recorded.
        stop_callbacks: called when it is stopped, for what waits for it outside of its task.
    """

    claimed: ClaimedJob
    handler: RegisteredHandler
    reports: Reports
    deadline: float = math.inf
    awaits_call: bool = False
    recorded_deadline: float = math.inf
    task: asyncio.Task[Any] | None = None
    begun: bool = False
    stopped: Outcome | None = None
    cancelled: bool = field(default=False)
    lines: int = 0
    span: AttemptSpan | None = None
    recording: asyncio.Future[bool] | None = None
    stop_callbacks: set[Callable[[], None]] | None = None
    child_jobs: ChildJobs | None = None
    own_steps: Steps | None = None

    def start_clock(self, seconds: float = 0.0) -> None:
        """Sets the deadline: the handler is called now, or within this number of seconds."""
        self.deadline = asyncio.get_running_loop().time() + seconds + self.claimed.timeout_seconds
        self.awaits_call = seconds > 0

    def stop(self, why: Outcome) -> None:
        """Interrupts the handler; the first outcome counts."""
        if self.stopped is None and self.task is not None:
            self.stopped = why
            self.cancelled = True
            if self.begun:  # a task cancelled before its first step never runs, and its end would never be recorded
                self.task.cancel()
            for wake in list(self.stop_callbacks or ()):
                wake()

    def park(self, waits: tuple[Wait, ...], children: tuple[UUID, ...] = ()) -> None:
        """Ends the attempt, whose handler can only wait. A plain function is unwound in its thread."""
        if self.handler.isolation == "task":
            self.stop(Parked(waits, children))
        elif self.stopped is None:
            self.stopped = Parked(waits, children)

    def resume(self) -> None:
        """Continues an attempt whose handler was unwound as if to park."""
        self.stopped, self.cancelled = None, False
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()

    @contextmanager
    def on_stop(self, wake: Callable[[], None]) -> Iterator[None]:
        """Calls `wake` if the attempt is stopped while the block runs."""
        wakes = self.stop_callbacks = self.stop_callbacks or set()
        wakes.add(wake)
        try:
            yield
        finally:
            wakes.discard(wake)

    async def wait_for_checkpoint(self, outcome: Outcome) -> None:
        """Returns once no checkpoint is being recorded, or after two seconds. The attempt cannot be stopped then."""
        self.stopped = self.stopped or outcome
        for _ in range(2):  # a handler that cancelled its own task and returned ends the first wait
            with suppress(asyncio.CancelledError):
                if self.recording is not None:
                    await asyncio.wait({self.recording}, timeout=SETTLE_SECONDS)
                return

    def next_line(self) -> int:
        """Returns the number of its next log line, from 1. Threads of one handler may log concurrently."""
        with _numbering:
            self.lines += 1
            return self.lines

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        """Reports progress."""
        return self.reports.progress(self, percent, message)

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        """Reports a log line."""
        self.reports.log(self, level, message, fields)

    def checkpoint(self, value: object) -> Awaitable[None]:
        """Reports a checkpoint."""
        return self.reports.checkpoint(self, value)

    @property
    def children(self) -> ChildJobs:
        """Its child jobs, created on first use."""
        if self.child_jobs is None:
            self.child_jobs = ChildJobs(self.reports.child_backend(self))
        return self.child_jobs

    @property
    def steps(self) -> Steps:
        """Its steps and waits, created on first use."""
        return self.own_steps or self.make_steps()

    def make_steps(self, run: Run = in_loop) -> Steps:
        """Returns its steps and waits, for a handler that runs coroutines by `run`.

        Raises:
            HandlerError: its handler takes many jobs.
        """
        if self.handler.batch is not None:
            raise HandlerError("steps, sleeps and signals are not available in a batch handler")
        self.own_steps = Steps(self.reports.step_backend(self), run)
        return self.own_steps

    def context(self) -> JobContext:
        """Returns the context for its handler."""
        return context_of(self.claimed, self)


def log_line(claimed: ClaimedJob, level: str, message: str, fields: Mapping[str, object]) -> None:
    """Writes a handler's log line to the service's log, with the ids of the job, and of its trace."""
    trace = current_trace() or trace_of(claimed.traceparent)
    write = getattr(log, level if level in LEVELS else "info")
    write(
        message,
        action="job_log",
        job_id=str(claimed.job_id),
        job_type=claimed.type,
        attempt=claimed.attempt,
        correlation_id=claimed.correlation_id or str(claimed.job_id),
        **(trace._asdict() if trace is not None else {}),
        **({"fields": dict(fields)} if fields else {}),
    )


def log_error(claimed: ClaimedJob, error: BaseException, location: ErrorLocation) -> None:
    """Writes an exception of a handler to the service's log, with its traceback and the IDs of the job."""
    message = f"attempt of {claimed.type} failed: {location.exception}"
    facts: dict[str, object] = {"job_id": str(claimed.job_id), "job_type": claimed.type}
    facts |= {"action": "attempt_failed", "attempt": claimed.attempt}
    if (trace := trace_of(claimed.traceparent)) is not None:
        facts |= trace._asdict()
    try:
        log.warning(message, exc_info=error, **facts)
    except BaseException:  # noqa: BLE001  # a formatter may format the error, and raise another one
        log.warning(message, exception=location.traceback, **facts)


Call = Callable[[Attempt, Any], Awaitable[Any]]


async def run_attempt(attempt: Attempt, call: Call, *, result_limit: int) -> Outcome:
    """Runs the attempt to its end. No exception of a handler escapes, not even SystemExit."""
    attempt.begun = True
    attempt.start_clock()
    if attempt.stopped is not None:
        return attempt.stopped
    try:
        parameters = read_parameters(attempt.handler, attempt.claimed.parameters)
        result = await call(attempt, parameters)
        completed = Completed(write_result(attempt.handler, result, limit=result_limit))
    except asyncio.CancelledError as error:
        itself = RuntimeError("the handler cancelled itself").with_traceback(error.__traceback__)
        return attempt.stopped or _failed(attempt, itself)
    except BaseException as error:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler are its failures
        return _late(attempt) or outcome_of_error(attempt, error)
    return completed if attempt.stopped is None else _late(attempt) or completed


_COUNTS_LATE = (TimedOut, Cancelled, Parked)


def _late(attempt: Attempt) -> Outcome | None:
    """Returns the outcome of a handler that was stopped and ended by itself afterwards."""
    return attempt.stopped if isinstance(attempt.stopped, _COUNTS_LATE) else None


def outcome_of_error(attempt: Attempt, error: BaseException) -> Outcome:  # noqa: PLR0911  # a table, one return a row
    """Returns the outcome for an exception of the handler."""
    match error:
        case Retry():
            return Failed("TASK_FAILED", error.reason, "The handler requested a retry.", delay_seconds=error.after)
        case Fail():
            return Failed(error.code, error.reason, error.reason, retryable=error.retryable)
        case ParametersInvalid():
            return Failed("TASK_FAILED", f"Invalid parameters: {error}", str(error), retryable=False)
        case ResultInvalid():
            return Failed("RESULT_INVALID", str(error), "The handler's return value.", retryable=False)
        case ChildFailed():
            return Failed("TASK_FAILED", str(error), error.reason, retryable=False)
        case SignalTimedOut():
            return Failed("TASK_FAILED", str(error), "A signal timed out.", retryable=False)
        case Suspended(waits=waits):
            return Parked(waits)
        case Interruption():
            return Interrupted(str(error))
        case _:
            return _failed(attempt, error)


class Interruption(Exception):
    """Error of an executor: the attempt cannot continue, through no fault of the job."""


class ProcessFailure(Exception):
    """Error of a handler in its process, or the end of that process: its text and location."""

    def __init__(self, message: str, location: ErrorLocation | None = None) -> None:
        super().__init__(message)
        self.location = location


def _failed(attempt: Attempt, error: BaseException) -> Failed:
    """Reports an exception of the handler, and returns the outcome."""
    location = error.location if isinstance(error, ProcessFailure) else None
    location = location or locate_error(error, package=package_of(attempt.handler))
    attempt.reports.error(attempt, error, location)
    reason = type(error).__name__
    return Failed("TASK_FAILED", describe(error), reason, exception=location.exception, frames=location.frames)
