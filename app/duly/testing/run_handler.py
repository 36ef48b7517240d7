"""Runs of a handler in a test: one attempt, with its outcome and everything that it reported."""

import asyncio
import inspect
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_QUEUE, DEFAULT_TENANT, ClaimedJob, Finish
from duly.domain.outcome import AttemptFacts, TimedOut, decide
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.context import DONE
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Handlers, RegisteredHandler, Registry
from duly.testing.child_jobs import GivenChildren, SubmittedJob
from duly.worker.attempt import Attempt, run_attempt
from duly.worker.executors import Executors
from duly.worker.process.pool import ProcessExecutor
from duly.worker.tracebacks import ErrorLocation

__all__ = ["HandlerRun", "LogLine", "SubmittedJob", "run_batch_handler", "run_handler", "run_handler_sync"]

# The defaults of the settings DULY_RESULT_LIMIT and DULY_JSON_DEPTH.
RESULT_LIMIT = 1 << 20
JSON_DEPTH = 64
# Random value that leaves the delay of a retry policy without jitter.
MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class LogLine:
    """Call of `job.log`."""

    level: str
    message: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HandlerRun:
    """Outcome of one attempt, as the history of the job would show it.

    Attributes:
        result: the result as a client reads it (JSON: a date is a string), or None.
        error: `{"code", "message", "details"}` as in the HTTP API; None if the attempt completed.
        retried: True if the attempt failed and the job would be retried.
        retry_after_seconds: delay of that retry without jitter; None if there is no retry.
        progress: percent and message of each `job.progress`.
        logs: each `job.log`.
        checkpoints: value of each `job.checkpoint`, as the next attempt would read it.
        children: each submitted child job, in order.
        exception: exception that the handler raised, with its traceback, or None. `Retry` and `Fail` are not kept.
    """

    result: Any
    error: dict[str, Any] | None
    retried: bool
    retry_after_seconds: float | None
    progress: list[tuple[float, str | None]]
    logs: list[LogLine]
    checkpoints: list[Any]
    children: list[SubmittedJob]
    exception: BaseException | None = None

    @property
    def completed(self) -> bool:
        """True if the attempt completed."""
        return self.error is None


async def run_handler(  # noqa: PLR0913  # each is visible to the handler
    handlers: Handlers | Registry,
    type: str,  # noqa: A002  # the contract's word
    parameters: Any = None,
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    labels: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109  # the handler's own option, not this function's
    restored: Any = None,
    children: Mapping[str, Any] | None = None,
    batch: Sequence[Any] | None = None,
    raise_errors: bool = False,
) -> HandlerRun:
    """Runs one attempt of a job, without a service and without a database.

        run = await run_handler(handlers, "report-generation", {"startDate": "2024-01-01", "endDate": "2024-01-31"})
        assert run.result["rows"] == 31
        assert run.progress[-1] == (100.0, "done")

    Parameters and result are validated, and the outcome is decided, as by a worker. An async function runs in the
    current loop, a plain one in a thread. A handler with `isolation="process"` runs in this process, so that a debugger
    reaches it; it cannot be killed here.

    Args:
        handlers: the object on which the handler is registered.
        type: job type.
        parameters: JSON values, or an instance of the model of the parameters.
        attempt: number of this attempt, from 1.
        max_attempts: maximum number of attempts; defaults to that of the registration.
        labels: labels of the job.
        timeout: timeout of the attempt in seconds; defaults to that of the registration.
        restored: checkpoint of an earlier attempt.
        children: results of child jobs by type: a result, or a function that returns one for their parameters; an
            exception, given or raised, is a failure. Child jobs are not run, and `depends_on` does not wait.
        batch: items of `job.batch_results` for a batch that the handler did not submit: results or exceptions.
        raise_errors: True raises an exception of the handler again, so that a test shows its traceback.

    Raises:
        HandlerError: the type has no handler.
    """
    handler = _handler(handlers, type)
    claimed = _claimed(handler, parameters, attempt=attempt, labels=labels)
    claimed = claimed._replace(
        max_attempts=max_attempts or handler.max_attempts,
        timeout_seconds=timeout or handler.timeout_seconds,
        checkpoint=_checkpoint(restored),
    )
    recorded = _recorded(claimed, _here(handler), children=children, batch=batch)
    run = _as_run(await _end_of(recorded, _executors(slots=1)), recorded)
    if raise_errors and run.exception is not None:
        raise run.exception
    return run


async def run_batch_handler(  # noqa: PLR0913  # each is visible to the handler
    handlers: Handlers | Registry,
    type: str,  # noqa: A002  # the contract's word
    parameters: Sequence[Any],
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    labels: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109  # the handler's own option, not this function's
    children: Mapping[str, Any] | None = None,
) -> list[HandlerRun]:
    """Runs one attempt of each of several jobs in calls of their batch handler.

        runs = await run_batch_handler(handlers, "index-page", [{"url": "https://a.example"}, {"url": "gone"}])
        assert [run.completed for run in runs] == [True, False]

    A call receives as many jobs as the registration allows, without waiting for `linger`. The options apply to each job
    as in `run_handler`, which calls a batch handler with one job.

    Returns:
        The outcome of each job, in the order of `parameters`.

    Raises:
        HandlerError: the type has no handler, or its handler takes one job per call.
    """
    handler = _handler(handlers, type)
    if handler.batch is None:
        raise HandlerError(f'the handler of "{type}" is not a batch handler; use run_handler')
    handler = replace(
        handler,
        batch=replace(handler.batch, linger_seconds=0),
        max_attempts=max_attempts or handler.max_attempts,
        timeout_seconds=timeout or handler.timeout_seconds,
    )
    claimed = [_claimed(handler, one, attempt=attempt, labels=labels) for one in parameters]
    attempts = [_recorded(one, handler, children=children) for one in claimed]
    executors = _executors(slots=max(1, len(parameters)))
    ends = await asyncio.gather(*(_end_of(one, executors) for one in attempts))
    return [_as_run(end, one) for end, one in zip(ends, attempts, strict=True)]


def run_handler_sync(
    handlers: Handlers | Registry,
    type: str,  # noqa: A002  # the contract's word
    parameters: Any = None,
    **options: Any,
) -> HandlerRun:
    """Runs `run_handler` with the same options, for tests that are plain functions."""
    return asyncio.run(run_handler(handlers, type, parameters, **options))


@dataclass(slots=True, eq=False)
class _RecordedAttempt(Attempt):
    """Attempt with everything that its handler reports."""

    reported_progress: list[tuple[float, str | None]] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    given: GivenChildren = field(kw_only=True)
    exception: BaseException | None = None


def _recorded(
    claimed: ClaimedJob,
    handler: RegisteredHandler,
    *,
    children: Mapping[str, Any] | None = None,
    batch: Sequence[Any] | None = None,
) -> _RecordedAttempt:
    given = GivenChildren(claimed.job_id, given=children or {}, batch=batch)
    return _RecordedAttempt(claimed, handler, reports=_Recorder(), given=given)


class _Recorder:
    """Reports that are kept in the attempt instead of a database."""

    def child_backend(self, attempt: Attempt) -> GivenChildren:
        return _recorded_attempt(attempt).given

    def progress(self, attempt: Attempt, percent: float, message: str | None) -> Awaitable[None]:
        _recorded_attempt(attempt).reported_progress.append((percent, message))
        return DONE

    def log(self, attempt: Attempt, level: str, message: str, fields: Mapping[str, object]) -> None:
        _recorded_attempt(attempt).logs.append(LogLine(level, message, dict(fields)))

    def error(self, attempt: Attempt, error: BaseException, location: ErrorLocation) -> None:  # noqa: ARG002
        """Keeps the exception for the test instead of logging it."""
        _recorded_attempt(attempt).exception = error

    def checkpoint(self, attempt: Attempt, value: object) -> Awaitable[None]:
        text = write_checkpoint(value, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)
        _recorded_attempt(attempt).checkpoints.append(json.loads(text))
        return DONE


def _recorded_attempt(attempt: Attempt) -> _RecordedAttempt:
    assert isinstance(attempt, _RecordedAttempt)  # noqa: S101  # created by `_recorded` only
    return attempt


def _handler(handlers: Handlers | Registry, name: str) -> RegisteredHandler:
    registry = handlers if isinstance(handlers, Registry) else Registry(handlers)
    found = registry.get(name)
    if found is None:
        near = ", ".join(registry.near(name) or sorted(registry))
        raise HandlerError(f'job type "{name}" has no handler; known types: {near or "none"}')
    return found


def _here(handler: RegisteredHandler) -> RegisteredHandler:
    """Returns the handler with an isolation that runs in this process."""
    if handler.isolation != "process":
        return handler
    return replace(handler, isolation="task" if inspect.iscoroutinefunction(handler.function) else "thread")


def _claimed(
    handler: RegisteredHandler, parameters: Any, *, attempt: int, labels: Mapping[str, str] | None
) -> ClaimedJob:
    return ClaimedJob(
        tenant_id=DEFAULT_TENANT,
        job_id=new_job_id(),
        token=attempt,
        attempt=attempt,
        sequence=1,
        crashes=0,
        type=handler.type,
        queue=DEFAULT_QUEUE,
        priority=0,
        timeout_seconds=handler.timeout_seconds,
        max_attempts=handler.max_attempts,
        parameters=to_json({} if parameters is None else parameters, inf_nan_mode="constants").decode(),
        labels=json.dumps(dict(labels)) if labels else None,
        correlation_id=None,
        traceparent=None,
    )


def _executors(*, slots: int) -> Executors:
    processes = ProcessExecutor((), result_limit=RESULT_LIMIT)
    return Executors(slots=slots, processes=processes, slot_freed=lambda: None)


def _checkpoint(restored: Any) -> str | None:
    return None if restored is None else write_checkpoint(restored, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)


async def _end_of(attempt: _RecordedAttempt, executors: Executors) -> Finish:
    claimed = attempt.claimed
    task = asyncio.create_task(_run(attempt, executors))
    attempt.task = task
    timer = asyncio.get_running_loop().call_later(
        claimed.timeout_seconds, attempt.stop, TimedOut(claimed.timeout_seconds)
    )
    try:
        return await task
    finally:
        timer.cancel()


async def _run(attempt: _RecordedAttempt, executors: Executors) -> Finish:
    claimed = attempt.claimed
    outcome = await run_attempt(attempt, executors.call, result_limit=RESULT_LIMIT)
    facts = AttemptFacts(claimed.job_id, claimed.token, claimed.attempt, claimed.max_attempts)
    return decide(outcome, facts, policy=attempt.handler.retry, random=lambda: MIDDLE)


def _as_run(end: Finish, attempt: _RecordedAttempt) -> HandlerRun:
    completed = end.kind is EventKind.COMPLETED
    data = json.loads(end.data) if end.data is not None else None
    retried = not end.kind.terminal
    return HandlerRun(
        result=data if completed else None,
        error=None if completed else data,
        retried=retried,
        retry_after_seconds=end.delay_seconds if retried else None,
        progress=attempt.reported_progress,
        logs=attempt.logs,
        checkpoints=attempt.checkpoints,
        children=list(attempt.given.submitted.values()),
        exception=attempt.exception,
    )
