"""What runs inside a child process: it imports the handlers itself, and sends back plain words."""

import asyncio
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from duly.domain.job import ClaimedJob
from duly.domain.logs import fields_text, message_text
from duly.handlers.calling import ParametersInvalid, ResultInvalid, read_parameters, write_result
from duly.handlers.checkpoint import write_checkpoint
from duly.handlers.children import Offspring
from duly.handlers.context import OVER
from duly.handlers.loading import load_registry
from duly.handlers.registry import Registry
from duly.handlers.signals import Fail, HandlerError, Retry
from duly.worker.attempt import context_of, describe
from duly.worker.child_checkpoints import parts_of
from duly.worker.child_messages import Outbox

# One registry and one way home a process, set once by `begin`: pebble hands a call nothing else.
_own: list[tuple[Registry, Outbox]] = []


def begin(modules: Sequence[str], address: str, path: Sequence[str]) -> None:
    """Runs once in each child. Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, name="duly-parent", daemon=True).start()
    sys.path[:] = path
    _own[:] = [(load_registry(modules), Outbox(address))]


def _end_with_parent() -> None:
    """A parent that was killed cannot end its children: each ends by itself, in the middle of whatever it runs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run(fields: tuple[Any, ...], result_limit: int, json_depth: int) -> tuple[str, Any]:
    """Runs one attempt. What comes back is plain, so that it always pickles."""
    registry, outbox = _own[0]
    claimed = ClaimedJob(*fields)
    handler = registry[claimed.type]
    write = partial(write_checkpoint, limit=result_limit, max_depth=json_depth)
    context = context_of(claimed, _Reporter(claimed.job_id, outbox, write))
    try:
        value = handler.function(*handler.signature.arguments(read_parameters(handler, claimed.parameters), context))
        if asyncio.iscoroutine(value):
            value = asyncio.run(value)
        return "result", write_result(handler, value, limit=result_limit)
    except Retry as error:
        return "retry", (error.reason, error.after)
    except Fail as error:
        return "fail", (error.reason, error.code, error.retryable)
    except ParametersInvalid as error:
        return "fail", (f"The parameters do not fit: {error}", "TASK_FAILED", False)
    except ResultInvalid as error:
        return "invalid", str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # everything a handler raises is its outcome
        return "error", describe(error)


class _Reporter:
    cancelled = False  # a child is killed, not asked

    @property
    def children(self) -> Offspring:
        raise HandlerError('child jobs are not available with isolation="process"')

    def __init__(self, job_id: UUID, outbox: Outbox, write_checkpoint: Callable[[object], str]) -> None:
        self._job_id = job_id
        self._outbox = outbox
        self._write_checkpoint = write_checkpoint

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        self._outbox.send(self._job_id, "progress", [percent, message])
        return OVER

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None:
        self._outbox.send(self._job_id, "log", [level, message_text(message), json.loads(fields_text(fields) or "{}")])

    def checkpoint(self, value: object) -> Awaitable[None]:
        for part in parts_of(self._write_checkpoint(value)):
            self._outbox.send(self._job_id, "checkpoint", list(part))
        return OVER
