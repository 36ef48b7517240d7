"""Main program of a child process: imports the handlers itself, and returns results as plain values."""

import asyncio
import inspect
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from duly.domain.job import ClaimedJob, Mark
from duly.domain.log_lines import fields_text, message_text
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.child_jobs import ChildJobs, Run, in_loop
from duly.handlers.compensation import compensate_all
from duly.handlers.context import DONE
from duly.handlers.discovery import load_users_own
from duly.handlers.exceptions import Fail, HandlerError, Retry, SignalTimedOut
from duly.handlers.registry import RegisteredHandler, Registry
from duly.handlers.serialization import ParametersInvalid, ResultInvalid, read_parameters, write_result
from duly.handlers.steps import Steps
from duly.worker.handler_context import context_of, describe, package_of
from duly.worker.process.checkpoints import parts_of
from duly.worker.process.frames import receive_frame, send_frame
from duly.worker.process.report_channel import Outbox
from duly.worker.process.steps import ChildSteps, NodeRequests
from duly.worker.tracebacks import locate_error, traceback_text

# These are sent to a whole group of processes; a child ends when its parent says so. Handlers that do nothing instead
# of SIG_IGN, which programs that a handler starts would inherit.
_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Setup(NamedTuple):
    """Configuration of a child process: the handler modules, their paths, and the limits of what it returns."""

    modules: tuple[str, ...]
    path: tuple[str, ...]
    result_limit: int
    json_depth: int


class Channels(NamedTuple):
    """Channels of a child to its node: reports, and requests that are answered."""

    outbox: Outbox
    requests: NodeRequests


def serve(orders: socket.socket, text: socket.socket, setup: Setup) -> NoReturn:
    """Runs one attempt after the other, until the parent closes its end."""
    os.setpgrp()  # with all processes that its handlers started
    threading.Thread(target=_end_with_parent, name="duly-parent", daemon=True).start()
    _leave_signals_to_parent()
    sys.path[:] = setup.path
    try:
        registry, outbox = load_users_own(setup.modules), Outbox(text)
    except BaseException as error:  # noqa: BLE001  # any error of importing a handler module
        send_frame(orders, ["unusable", describe(error), traceback_text(error)])
        os._exit(1)
    _leave_signals_to_parent()  # a module may have set its own
    send_frame(orders, ["ready"])
    own = os.getpid()
    channels = Channels(outbox, NodeRequests(orders))
    while (fields := receive_frame(orders)) is not None:
        send_frame(orders, ["begun"])
        kind, value = run(registry, channels, fields, setup)
        if os.getpid() != own:  # a copy that the handler forked and let return
            os._exit(0)
        send_frame(orders, ["end", kind, value])
    os._exit(0)


def _leave_signals_to_parent() -> None:
    for number in _OF_THE_PARENT:
        signal.signal(number, lambda *_: None)


def _end_with_parent() -> None:
    """Kills this process when its parent is killed, since the parent cannot do it then."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os._exit(1)


def run(registry: Registry, channels: Channels, fields: Sequence[Any], setup: Setup) -> tuple[str, Any]:
    """Runs one attempt. Returns plain values, which can always be sent."""
    claimed = ClaimedJob(*fields)
    claimed = claimed._replace(job_id=UUID(str(claimed.job_id)))
    handler = registry[claimed.type]
    write = partial(write_checkpoint, limit=setup.result_limit, max_depth=setup.json_depth)
    reporter = _Reporter(claimed, channels, write, blocks=not inspect.iscoroutinefunction(handler.function))
    ended = _compensated if claimed.marks & Mark.COMPENSATING else _ended
    try:
        kind, value = ended(handler, reporter, claimed, setup)
    except BaseException as error:  # noqa: BLE001  # all that a handler raises is its outcome, even if it cannot be read
        kind, value = "error", [describe(error), locate_error(error, package=package_of(handler))]
    waits = reporter.step_backend.waits
    return (kind, value) if waits is None else ("parked", waits)


def _ended(handler: RegisteredHandler, reporter: "_Reporter", claimed: ClaimedJob, setup: Setup) -> tuple[str, Any]:
    """Returns how the handler ended: its result, or an exception with a meaning."""
    try:
        return "result", _result(handler, reporter, claimed, setup)
    except Retry as error:
        return "retry", [str(error.reason), None if error.after is None else float(error.after)]
    except Fail as error:
        return "fail", [str(error.reason), str(error.code), bool(error.retryable)]
    except SignalTimedOut as error:
        return "fail", [str(error), "TASK_FAILED", False]
    except ParametersInvalid as error:
        return "fail", [f"Invalid parameters: {error}", "TASK_FAILED", False]
    except ResultInvalid as error:
        return "invalid", str(error)


def _compensated(
    handler: RegisteredHandler, reporter: "_Reporter", claimed: ClaimedJob, setup: Setup
) -> tuple[str, Any]:
    """Calls the handler, whose end says nothing, and undoes its steps. Returns how that ended."""
    with suppress(BaseException):
        _result(handler, reporter, claimed, setup)
    reporter.step_backend.waits = None
    try:
        asyncio.run(compensate_all(reporter.steps))
    except Fail as error:
        return "fail", [str(error.reason), str(error.code), bool(error.retryable)]
    return "result", "null"


def _result(handler: RegisteredHandler, reporter: "_Reporter", claimed: ClaimedJob, setup: Setup) -> str:
    context = context_of(claimed, reporter)
    value = handler.function(*handler.signature.arguments(read_parameters(handler, claimed.parameters), context))
    if asyncio.iscoroutine(value):
        value = asyncio.run(_in_task(value, reporter.step_backend))
    return write_result(handler, value, limit=setup.result_limit)


async def _in_task(coroutine: Coroutine[Any, Any, Any], steps: ChildSteps) -> Any:
    """Runs an async handler in a task that its waits can cancel."""
    if (task := asyncio.current_task()) is not None:
        steps.cancel = task.cancel
    return await coroutine


class _Reporter:
    """Reporter that sends everything to the parent."""

    cancelled = False  # a child is killed, not interrupted

    @property
    def children(self) -> ChildJobs:
        raise HandlerError('child jobs are not available with isolation="process"')

    def __init__(
        self, claimed: ClaimedJob, channels: Channels, write_checkpoint: Callable[[object], str], *, blocks: bool
    ) -> None:
        self._job_id = claimed.job_id
        self._outbox = channels.outbox
        self._write_checkpoint = write_checkpoint
        self.step_backend = ChildSteps(channels.requests, compensating=bool(claimed.marks & Mark.COMPENSATING))
        self._run: Run = asyncio.run if blocks else in_loop

    @cached_property
    def steps(self) -> Steps:
        return Steps(self.step_backend, self._run)

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        self._outbox.send(self._job_id, "progress", [percent, message])
        return DONE

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        self._outbox.send(self._job_id, "log", [level, message_text(message), json.loads(fields_text(fields) or "{}")])

    def checkpoint(self, value: object) -> Awaitable[None]:
        for part in parts_of(self._write_checkpoint(value)):
            self._outbox.send(self._job_id, "checkpoint", list(part))
        return DONE
