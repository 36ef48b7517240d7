"""Testing a handler without a service: one attempt, decided upon as a worker would, and everything it said."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_QUEUE, DEFAULT_TENANT, ClaimedJob, Finish
from duly.domain.outcome import AttemptFacts, TimedOut, decide
from duly.handlers.registry import Handlers, RegisteredHandler, Registry
from duly.handlers.signals import HandlerError
from duly.worker.attempt import Attempt, outcome_of
from duly.worker.executors import Executors
from duly.worker.processes import ProcessExecutor

# The default of the setting DULY_RESULT_LIMIT.
RESULT_LIMIT = 1 << 20
# Half-way between the least and the most: a retry's delay as its policy says it, without jitter.
MIDDLE = 0.5


@dataclass(frozen=True, slots=True)
class LogLine:
    """One call of `job.log`."""

    level: str
    message: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class HandlerRun:
    """How one attempt ended, as the job's history would tell it.

    Attributes:
        result: the result as a client reads it (JSON: a date is a string); None where there is none.
        error: `{"code", "message", "details"}` as the contract shows it; None where the attempt completed.
        retried: True where the job would be run again: the attempt failed, and attempts are left.
        retry_after_seconds: how long it would wait for that, jitter left out; None where it is not run again.
        progress: every `job.progress`, as percent and message.
        logs: every `job.log`.
    """

    result: Any
    error: dict[str, Any] | None
    retried: bool
    retry_after_seconds: float | None
    progress: list[tuple[float, str | None]]
    logs: list[LogLine]

    @property
    def completed(self) -> bool:
        return self.error is None


async def run_handler(
    handlers: Handlers | Registry,
    type: str,  # noqa: A002  # the contract's word
    parameters: Any = None,
    *,
    attempt: int = 1,
    max_attempts: int | None = None,
    labels: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ASYNC109  # the handler's own option, not this function's
) -> HandlerRun:
    """Runs one attempt at a job, without a service and without a database.

        run = await run_handler(handlers, "report-generation", {"startDate": "2024-01-01", "endDate": "2024-01-31"})
        assert run.result["rows"] == 31
        assert run.progress[-1] == (100.0, "done")

    Parameters and result are validated and every outcome is decided as by a worker. An async function runs in the
    present loop, a plain one in a thread; one registered with `isolation="process"` runs in this process, where a
    debugger sees it, and so cannot be killed.

    Args:
        handlers: the object that the handler is registered on.
        type: the job type.
        parameters: what a client would send as JSON; an instance of the parameters' model may be given too.
        attempt: the number of this attempt, from 1.
        max_attempts: after how many the job is given up; the registration's where None is given.
        labels: the labels of the job.
        timeout: seconds for the attempt; the registration's where None is given.

    Raises:
        HandlerError: there is no handler for this type.
    """
    handler = _handler(handlers, type)
    claimed = _claimed(handler, parameters, attempt=attempt, labels=labels)
    claimed = claimed._replace(
        max_attempts=max_attempts or handler.max_attempts,
        timeout_seconds=timeout or handler.timeout_seconds,
    )
    listening = _Listening(claimed, _here(handler), deadline=0, tell=_note_progress)
    return _as_run(await _end_of(listening), listening)


def run_handler_sync(
    handlers: Handlers | Registry,
    type: str,  # noqa: A002  # the contract's word
    parameters: Any = None,
    **options: Any,
) -> HandlerRun:
    """`run_handler` for tests that are plain functions; it takes the same options."""
    return asyncio.run(run_handler(handlers, type, parameters, **options))


@dataclass(slots=True, eq=False)
class _Listening(Attempt):
    """An attempt that keeps what its handler says."""

    told: list[tuple[float, str | None]] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        self.logs.append(LogLine(level, message, dict(fields)))


async def _note_progress(attempt: Attempt, percent: float, message: str | None) -> None:
    assert isinstance(attempt, _Listening)  # noqa: S101  # made above, and nowhere else
    attempt.told.append((percent, message))


def _handler(handlers: Handlers | Registry, name: str) -> RegisteredHandler:
    registry = handlers if isinstance(handlers, Registry) else Registry(handlers)
    found = registry.get(name)
    if found is None:
        near = ", ".join(registry.near(name) or sorted(registry))
        raise HandlerError(f'there is no handler for the job type "{name}"; there are: {near or "none"}')
    return found


def _here(handler: RegisteredHandler) -> RegisteredHandler:
    """The same handler, to be called in this process."""
    if handler.isolation != "process":
        return handler
    return replace(handler, isolation="task" if asyncio.iscoroutinefunction(handler.function) else "thread")


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
        callback_events=0,
    )


async def _end_of(attempt: _Listening) -> Finish:
    claimed = attempt.claimed
    processes = ProcessExecutor((), result_limit=RESULT_LIMIT)
    executors = Executors(slots=1, processes=processes, slot_freed=lambda: None)
    task = asyncio.create_task(_run(attempt, executors))
    attempt.task = task
    timer = asyncio.get_running_loop().call_later(
        claimed.timeout_seconds, attempt.stop, TimedOut(claimed.timeout_seconds)
    )
    try:
        return await task
    finally:
        timer.cancel()


async def _run(attempt: _Listening, executors: Executors) -> Finish:
    claimed = attempt.claimed
    outcome = await outcome_of(attempt, executors.call, result_limit=RESULT_LIMIT)
    facts = AttemptFacts(claimed.job_id, claimed.token, claimed.attempt, claimed.max_attempts)
    return decide(outcome, facts, policy=attempt.handler.retry, random=lambda: MIDDLE)


def _as_run(end: Finish, attempt: _Listening) -> HandlerRun:
    completed = end.kind is EventKind.COMPLETED
    told = json.loads(end.data) if end.data is not None else None
    retried = not end.kind.terminal
    return HandlerRun(
        result=told if completed else None,
        error=None if completed else told,
        retried=retried,
        retry_after_seconds=end.delay_seconds if retried else None,
        progress=attempt.told,
        logs=attempt.logs,
    )
