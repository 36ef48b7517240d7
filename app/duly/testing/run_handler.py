"""Testing a handler without a service: one attempt, decided upon as a worker would, and everything it said."""

import asyncio
import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import to_json

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_QUEUE, DEFAULT_TENANT, ClaimedJob, Finish
from duly.domain.outcome import AttemptFacts, TimedOut, decide
from duly.handlers.checkpoint import write_checkpoint
from duly.handlers.context import DONE
from duly.handlers.exceptions import HandlerError
from duly.handlers.registry import Handlers, RegisteredHandler, Registry
from duly.testing.child_jobs import GivenChildren, SubmittedJob
from duly.worker.attempt import Attempt, run_attempt
from duly.worker.executors import Executors
from duly.worker.process.pool import ProcessExecutor

# The defaults of the settings DULY_RESULT_LIMIT and DULY_JSON_DEPTH.
RESULT_LIMIT = 1 << 20
JSON_DEPTH = 64
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
        checkpoints: every `job.checkpoint`, as the next attempt would find it.
        children: every job that it submitted, in order.
    """

    result: Any
    error: dict[str, Any] | None
    retried: bool
    retry_after_seconds: float | None
    progress: list[tuple[float, str | None]]
    logs: list[LogLine]
    checkpoints: list[Any]
    children: list[SubmittedJob]

    @property
    def completed(self) -> bool:
        return self.error is None


async def run_handler(  # noqa: PLR0913  # each is something that a handler may see
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
        restored: the checkpoint that an earlier attempt left.
        children: how the jobs that it submits end, by type: a result, or a function of their parameters that returns
            one; an exception, given or raised, is a failure. No job is run, and no `depends_on` waits.
        batch: what `job.batch_results` finds in a batch that the handler did not submit itself: results, or exceptions.

    Raises:
        HandlerError: there is no handler for this type.
    """
    handler = _handler(handlers, type)
    claimed = _claimed(handler, parameters, attempt=attempt, labels=labels)
    claimed = claimed._replace(
        max_attempts=max_attempts or handler.max_attempts,
        timeout_seconds=timeout or handler.timeout_seconds,
        checkpoint=_checkpoint(restored),
    )
    listening = _listening_to(claimed, _here(handler), children=children, batch=batch)
    return _as_run(await _end_of(listening, _executors(slots=1)), listening)


async def run_batch_handler(  # noqa: PLR0913  # each is something that a handler may see
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
    """Runs one attempt at each of many jobs, together, as a worker would that has them all at hand.

        runs = await run_batch_handler(handlers, "index-page", [{"url": "https://a.example"}, {"url": "gone"}])
        assert [run.completed for run in runs] == [True, False]

    A call gets as many as the handler's registration allows; `linger` is not waited for. The options mean for each job
    what they mean in `run_handler`. (That calls a batch handler with one job.)

    Returns:
        How each ended, in the order of `parameters`.

    Raises:
        HandlerError: there is no handler for this type, or it takes one job a call.
    """
    handler = _handler(handlers, type)
    if handler.batch is None:
        raise HandlerError(f'the handler of "{type}" is registered without batch=...; use run_handler')
    handler = replace(
        handler,
        batch=replace(handler.batch, linger_seconds=0),
        max_attempts=max_attempts or handler.max_attempts,
        timeout_seconds=timeout or handler.timeout_seconds,
    )
    claimed = [_claimed(handler, one, attempt=attempt, labels=labels) for one in parameters]
    listening = [_listening_to(one, handler, children=children) for one in claimed]
    executors = _executors(slots=max(1, len(parameters)))
    ends = await asyncio.gather(*(_end_of(one, executors) for one in listening))
    return [_as_run(end, one) for end, one in zip(ends, listening, strict=True)]


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
    """An attempt with what its handler says."""

    told: list[tuple[float, str | None]] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    checkpoints: list[Any] = field(default_factory=list)
    family: GivenChildren = field(kw_only=True)


def _listening_to(
    claimed: ClaimedJob,
    handler: RegisteredHandler,
    *,
    children: Mapping[str, Any] | None = None,
    batch: Sequence[Any] | None = None,
) -> _Listening:
    family = GivenChildren(claimed.job_id, given=children or {}, batch=batch)
    return _Listening(claimed, handler, reports=_Keeping(), family=family)


class _Keeping:
    """The reports of listening attempts: nothing is recorded, all is kept."""

    def family(self, attempt: Attempt) -> GivenChildren:
        return _listening(attempt).family

    def progress(self, attempt: Attempt, percent: float, message: str | None) -> Awaitable[None]:
        _listening(attempt).told.append((percent, message))
        return DONE

    def log(self, attempt: Attempt, level: str, message: str, fields: Mapping[str, object]) -> None:
        _listening(attempt).logs.append(LogLine(level, message, dict(fields)))

    def traceback(self, attempt: Attempt, text: str) -> None:
        """A test sees it in the log of the service, where the error is logged as well."""

    def checkpoint(self, attempt: Attempt, value: object) -> Awaitable[None]:
        text = write_checkpoint(value, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)
        _listening(attempt).checkpoints.append(json.loads(text))
        return DONE


def _listening(attempt: Attempt) -> _Listening:
    assert isinstance(attempt, _Listening)  # noqa: S101  # made above, and nowhere else
    return attempt


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
    )


def _executors(*, slots: int) -> Executors:
    processes = ProcessExecutor((), result_limit=RESULT_LIMIT)
    return Executors(slots=slots, processes=processes, slot_freed=lambda: None)


def _checkpoint(restored: Any) -> str | None:
    return None if restored is None else write_checkpoint(restored, limit=RESULT_LIMIT, max_depth=JSON_DEPTH)


async def _end_of(attempt: _Listening, executors: Executors) -> Finish:
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


async def _run(attempt: _Listening, executors: Executors) -> Finish:
    claimed = attempt.claimed
    outcome = await run_attempt(attempt, executors.call, result_limit=RESULT_LIMIT)
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
        checkpoints=attempt.checkpoints,
        children=list(attempt.family.submitted.values()),
    )
