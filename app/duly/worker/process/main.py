"""Main program of a child process: imports the handlers itself, and returns results as plain values."""

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

from duly.domain.job import ClaimedJob
from duly.domain.log_lines import fields_text, message_text
from duly.handlers.checkpoint_text import write_checkpoint
from duly.handlers.child_jobs import ChildJobs
from duly.handlers.context import DONE
from duly.handlers.discovery import load_users_own
from duly.handlers.exceptions import Fail, HandlerError, Retry
from duly.handlers.registry import RegisteredHandler, Registry
from duly.handlers.serialization import ParametersInvalid, ResultInvalid, read_parameters, write_result
from duly.worker.handler_context import context_of, describe, package_of
from duly.worker.process.checkpoints import parts_of
from duly.worker.process.frames import receive_frame, send_frame
from duly.worker.process.report_channel import Outbox
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
    while (fields := receive_frame(orders)) is not None:
        send_frame(orders, ["begun"])
        kind, value = run(registry, outbox, fields, setup)
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


def run(registry: Registry, outbox: Outbox, fields: Sequence[Any], setup: Setup) -> tuple[str, Any]:
    """Runs one attempt. Returns plain values, which can always be sent."""
    claimed = ClaimedJob(*fields)
    claimed = claimed._replace(job_id=UUID(str(claimed.job_id)))
    handler = registry[claimed.type]
    try:
        return _ended(handler, outbox, claimed, setup)
    except BaseException as error:  # noqa: BLE001  # all that a handler raises is its outcome, even if it cannot be read
        return "error", [describe(error), locate_error(error, package=package_of(handler))]


def _ended(handler: RegisteredHandler, outbox: Outbox, claimed: ClaimedJob, setup: Setup) -> tuple[str, Any]:
    """Returns how the handler ended: its result, or an exception with a meaning."""
    try:
        return "result", _result(handler, outbox, claimed, setup)
    except Retry as error:
        return "retry", [str(error.reason), None if error.after is None else float(error.after)]
    except Fail as error:
        return "fail", [str(error.reason), str(error.code), bool(error.retryable)]
    except ParametersInvalid as error:
        return "fail", [f"Invalid parameters: {error}", "TASK_FAILED", False]
    except ResultInvalid as error:
        return "invalid", str(error)


def _result(handler: RegisteredHandler, outbox: Outbox, claimed: ClaimedJob, setup: Setup) -> str:
    write = partial(write_checkpoint, limit=setup.result_limit, max_depth=setup.json_depth)
    context = context_of(claimed, _Reporter(claimed.job_id, outbox, write))
    value = handler.function(*handler.signature.arguments(read_parameters(handler, claimed.parameters), context))
    if asyncio.iscoroutine(value):
        value = asyncio.run(value)
    return write_result(handler, value, limit=setup.result_limit)


class _Reporter:
    """Reporter that sends everything to the parent."""

    cancelled = False  # a child is killed, not interrupted

    @property
    def children(self) -> ChildJobs:
        raise HandlerError('child jobs are not available with isolation="process"')

    def __init__(self, job_id: UUID, outbox: Outbox, write_checkpoint: Callable[[object], str]) -> None:
        self._job_id = job_id
        self._outbox = outbox
        self._write_checkpoint = write_checkpoint

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        self._outbox.send(self._job_id, "progress", [percent, message])
        return DONE

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        self._outbox.send(self._job_id, "log", [level, message_text(message), json.loads(fields_text(fields) or "{}")])

    def checkpoint(self, value: object) -> Awaitable[None]:
        for part in parts_of(self._write_checkpoint(value)):
            self._outbox.send(self._job_id, "checkpoint", list(part))
        return DONE
