"""Runs of a handler in a test: one attempt, with its outcome and everything that it reported."""

import asyncio
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_QUEUE, DEFAULT_TENANT, ClaimedJob, Finish
from duly.domain.outcome import AttemptFacts, Compensated, TimedOut, decide
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Handlers, RegisteredHandler, Registry
from duly.telemetry.tracing import Tracing
from duly.testing.child_jobs import SubmittedJob
from duly.testing.recorded_attempt import RESULT_LIMIT, LogLine, RecordedAttempt, called_again, recorded, undoing
from duly.testing.steps import JSON_DEPTH, SentSignal, StepWorld
from duly.worker.attempt import run_attempt
from duly.worker.compensation import run_compensation
from duly.worker.executors import Executors
from duly.worker.process.pool import ProcessExecutor

# Random value that leaves the delay of a retry policy without jitter.
MIDDLE = 0.5


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
        steps: results of the recorded steps by name, including the given ones, as later attempts read them.
        compensated: names of the steps that were undone after a final failure, in this order. If one could not be
            undone, the code of `error` is `COMPENSATION_FAILED`.
        sent_signals: each signal that it sent with `job.signal`, once.
        waiting_for: signals that the handler waits for, if it can only go on with one of them.
        waited_seconds: time that has passed while it slept or waited.
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
    steps: Mapping[str, Any] = field(default_factory=dict)
    compensated: Sequence[str] = ()
    sent_signals: Sequence[SentSignal] = ()
    waiting_for: tuple[str, ...] = ()
    waited_seconds: float = 0.0

    @property
    def completed(self) -> bool:
        """True if the attempt completed."""
        return self.error is None and not self.waiting_for


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
    steps: Mapping[str, Any] | None = None,
    signals: Mapping[str, Any] | None = None,
    raise_errors: bool = False,
) -> HandlerRun:
    """Runs one attempt of a job, without a service and without a database.

        run = await run_handler(handlers, "report-generation", {"startDate": "2024-01-01", "endDate": "2024-01-31"})
        assert run.result["rows"] == 31
        assert run.progress[-1] == (100.0, "done")

    Parameters and result are validated, and the outcome is decided, as by a worker. An async function runs in the
    current loop, a plain one in a thread. A handler with `isolation="process"` runs in this process, so that a debugger
    reaches it; it cannot be killed here.

    A handler that sleeps or waits for a signal is called again at once, as if the time had passed. Without the signal,
    its wait times out; without a timeout, the run ends, and `waiting_for` names the signal. Signals that it sends are
    kept in `sent_signals`; each job accepts them.

    If the job fails for good, the compensations of its completed steps run, the newest first.

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
        steps: results of steps that are not to be done, as if an earlier attempt had recorded them.
        signals: bodies of signals by name, which are there from the start; `Signal(body, after=...)` for a later one.
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
    world = StepWorld.of(steps, signals)
    attempt_ = recorded(claimed, _here(handler), children=children, batch=batch, world=world)
    end = await _end_of(attempt_, executors := _executors(slots=1))
    while world.goes_on(end.waits):
        attempt_ = called_again(attempt_)
        end = await _end_of(attempt_, executors)
    if end.kind is EventKind.FAILED and world.left_to_compensate:
        attempt_ = undoing(attempt_)
        end = await _end_of_compensation(attempt_, executors) or end
    run = _as_run(end, attempt_)
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
    attempts = [recorded(one, handler, children=children) for one in claimed]
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
    return Executors(slots=slots, processes=processes, slot_freed=lambda: None, tracing=Tracing())


def _checkpoint(restored: Any) -> str | None:
    return None if restored is None else write_checkpoint(restored, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)


async def _end_of(attempt: RecordedAttempt, executors: Executors) -> Finish:
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


async def _run(attempt: RecordedAttempt, executors: Executors) -> Finish:
    claimed = attempt.claimed
    outcome = await run_attempt(attempt, executors.call, result_limit=RESULT_LIMIT)
    facts = AttemptFacts(claimed.job_id, claimed.token, claimed.attempt, claimed.max_attempts)
    return decide(outcome, facts, policy=attempt.handler.retry, random=lambda: MIDDLE)


async def _end_of_compensation(attempt: RecordedAttempt, executors: Executors) -> Finish | None:
    """Undoes the recorded steps of a job that has failed. Returns its end if that fails, as if no try was left."""
    task = attempt.task = asyncio.create_task(run_compensation(attempt, executors.call))
    outcome = await task  # which unwinds the handler by cancelling the task
    if isinstance(outcome, Compensated):
        return None
    claimed = attempt.claimed
    facts = AttemptFacts(claimed.job_id, claimed.token, claimed.attempt, claimed.attempt)
    return decide(outcome, facts, policy=attempt.handler.retry, random=lambda: MIDDLE)


def _as_run(end: Finish, attempt: RecordedAttempt) -> HandlerRun:
    completed = end.kind is EventKind.COMPLETED
    data = json.loads(end.data) if end.data is not None else None
    retried = not end.kind.terminal and not end.waits
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
        steps=attempt.world.results(),
        compensated=attempt.world.compensated,
        sent_signals=attempt.world.sent,
        waiting_for=tuple(wait.name for wait in end.waits),
        waited_seconds=attempt.world.now,
    )
