"""Pool of child processes for handlers that need a CPU or must be killable.

A job is claimed only for an idle process: neither the start of a process, nor the import of the handlers, nor a wait
for other jobs counts as run time. Until then the job is pending, and other nodes may claim it.
"""

import asyncio
import atexit
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from duly.domain.job import ClaimedJob
from duly.domain.outcome import StackFrame
from duly.domain.steps import StepKind, Wait
from duly.handlers.exceptions import Fail, Retry
from duly.handlers.registry import Registry
from duly.handlers.serialization import ResultInvalid, ResultText
from duly.handlers.step_backend import Suspended
from duly.worker.attempt import Attempt, Interruption, ProcessFailure
from duly.worker.process.checkpoints import ChildCheckpoints
from duly.worker.process.child_process import BEGIN_SECONDS, LAST_SECONDS, ChildProcess, ProcessDied
from duly.worker.process.main import Setup
from duly.worker.process.steps import answer_request
from duly.worker.tracebacks import ErrorLocation

log = structlog.stdlib.get_logger("duly.processes")

FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 30.0


class ProcessExecutor:
    """A pool of child processes, started as jobs need them. A process that ends is replaced.

    Args:
        modules: handler modules; each child imports them itself.
        processes: most processes; None for one for each CPU core.
        result_limit: most bytes of a result or a checkpoint.
        json_depth: deepest nesting of a checkpoint.
        changed: called when a process becomes available or ends.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        result_limit: int,
        json_depth: int = 64,
        processes: int | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._modules = tuple(modules)
        self._limits = result_limit, json_depth
        self._processes = processes or os.cpu_count() or 1
        self._children: set[ChildProcess] = set()
        self._idle: list[ChildProcess] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._busy = self._failures = 0
        self._backs_off_until = 0.0
        self._closed = False
        self._attempts: dict[UUID, Attempt] = {}
        self._reporting: dict[UUID, set[asyncio.Future[None]]] = {}
        self._checkpoints: dict[UUID, ChildCheckpoints] = {}
        self.draining = False
        self._changed = changed

    @property
    def available(self) -> int:
        """Number of attempts that can be here without waiting: idle processes, and those that run one already."""
        return len(self._idle) + self._busy

    def grow(self) -> None:
        """Doubles the number of processes, or starts one, within the limit."""
        if self._closed or self.draining or self._starting or time.monotonic() < self._backs_off_until:
            return
        if any(not child.was_ready for child in self._children):
            return
        for _ in range(min(max(1, len(self._children)), self._processes - len(self._children))):
            starting = asyncio.get_running_loop().create_task(self._start())
            self._starting.add(starting)
            starting.add_done_callback(self._starting.discard)

    async def _start(self) -> None:
        """Starts one process."""
        try:
            setup = Setup(self._modules, tuple(sys.path), *self._limits)
            child = ChildProcess(setup, hear=self._on_message, ready=self._on_ready, ended=self._on_end)
            atexit.register(child.kill)
            self._children.add(child)
            try:
                await child.start()
            except BaseException:
                self._children.discard(child)
                atexit.unregister(child.kill)
                raise
        except Exception as error:  # noqa: BLE001  # the system has no room for it, or the setup cannot be sent
            self._back_off(f"{type(error).__name__}: {error}")

    def _on_ready(self, child: ChildProcess) -> None:
        self._failures = 0
        self._idle.append(child)
        self._changed()

    def _on_end(self, child: ChildProcess) -> None:
        """Removes a process that has ended; logs an unexpected end."""
        self._children.discard(child)
        atexit.unregister(child.kill)
        if child in self._idle:
            self._idle.remove(child)
            if not self._closed:
                message = f"idle handler process ended ({_ended(child.exit_code)}); starting another"
                log.warning(message, action="process_ended", pid=child.pid)
        elif not child.was_ready and not self._closed and not self.draining:
            self._back_off(child.why or _ended(child.exit_code))
        self._changed()

    def _back_off(self, why: str) -> None:
        """Starts no process for a while."""
        seconds = min(FIRST_REST_SECONDS * 2.0 ** min(self._failures, 10), LONGEST_REST_SECONDS)
        self._failures += 1
        self._backs_off_until = time.monotonic() + seconds
        message = f"could not start a handler process, retrying in {seconds:g} s: {why}"
        log.error(message, action="process_not_started", seconds=seconds)

    async def call(self, attempt: Attempt) -> Any:
        """Returns the handler's result. Cancelling kills the process.

        Raises:
            Interruption: the attempt cannot continue through no fault of the job.
            ProcessFailure: the handler raised an error, or its process ended during the call.
        """
        if not self._idle:
            raise Interruption("no process was idle")
        child, job_id = self._idle.pop(), attempt.claimed.job_id
        self._attempts[job_id] = attempt
        self._busy += 1
        attempt.start_clock(BEGIN_SECONDS)
        try:
            steps = attempt.reports.step_backend(attempt)
            kind, value = await child.call(
                _plain(attempt.claimed), begins=attempt.start_clock, answer=partial(answer_request, steps)
            )
            await self._all_reported(child, job_id)
        except ProcessDied as error:
            raise self._error_of(error) from None
        finally:
            self._busy -= 1
            self._take_back(child)
            self._forget(attempt)
        return _unpacked(kind, value)

    def _forget(self, attempt: Attempt) -> None:
        """Ignores further messages of this attempt; its job may be here again already."""
        job_id = attempt.claimed.job_id
        if self._attempts.get(job_id) is attempt:
            del self._attempts[job_id]
            self._reporting.pop(job_id, None)
            self._checkpoints.pop(job_id, None)

    def _take_back(self, child: ChildProcess) -> None:
        if child.calling or child not in self._children:
            child.kill()
        else:
            self._idle.append(child)
        self._changed()

    def _error_of(self, death: ProcessDied) -> Exception:
        if not death.begun:
            return Interruption("the process ended before the handler was called")
        if self.draining and (death.exit_code or 0) < 0:  # what stops the node may signal its children too
            return Interruption("the node was shut down")
        return ProcessFailure(f"the handler's process ended ({_ended(death.exit_code)})")

    def _on_message(self, job_id: UUID, kind: str, message: list[Any]) -> None:
        """Passes a report of the child on to its attempt."""
        attempt = self._attempts.get(job_id)
        if attempt is None:
            return
        match kind:
            case "log":
                attempt.log(*message)
            case "checkpoint":
                checkpoints = self._checkpoints.setdefault(job_id, ChildCheckpoints())
                if checkpoints.hear(*message):
                    self._note(job_id, checkpoints.keep(attempt.checkpoint))
            case _:
                self._note(job_id, _progress(attempt, *message))

    def _note(self, job_id: UUID, coroutine: Coroutine[Any, Any, None]) -> None:
        report = asyncio.ensure_future(coroutine)
        reports = self._reporting.setdefault(job_id, set())
        reports.add(report)
        report.add_done_callback(reports.discard)

    async def _all_reported(self, child: ChildProcess, job_id: UUID) -> None:
        """Waits until all reports that the child sent before its end are recorded."""
        while child.inbox.read():
            pass
        await asyncio.gather(*self._reporting.get(job_id, ()))

    async def restart(self) -> None:
        """Replaces all processes; the new ones import the handlers again. No attempt may need one meanwhile."""
        self.draining = True  # so that nothing starts, and an end is expected
        self._idle.clear()
        any_were = bool(self._children)
        await self._kill_all()
        self.draining = False
        self._failures, self._backs_off_until = 0, 0.0
        if any_were:
            self.grow()

    async def aclose(self) -> None:
        """Kills all processes. No attempt may need one then."""
        self._closed = True
        await self._kill_all()

    async def _kill_all(self) -> None:
        if self._starting:
            await asyncio.wait(self._starting, timeout=LAST_SECONDS)
        for child in self._children:
            child.kill()
        if self._children:
            dying = [asyncio.ensure_future(child.dead.wait()) for child in self._children]
            _, living = await asyncio.wait(dying, timeout=LAST_SECONDS)
            for each in living:
                each.cancel()


def in_processes(registry: Registry) -> frozenset[str]:
    """Returns the job types whose handlers run in processes."""
    return frozenset(handler.type for handler in registry.values() if handler.isolation == "process")


def _plain(claimed: ClaimedJob) -> list[Any]:
    return list(claimed._replace(job_id=str(claimed.job_id)))  # type: ignore[arg-type]  # as JSON carries it


def _ended(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


async def _progress(attempt: Attempt, percent: float, message: str | None) -> None:
    with contextlib.suppress(Exception):  # progress that cannot be recorded does not fail the attempt
        await attempt.progress(percent, message)


def _unpacked(kind: str, value: Any) -> Any:
    """Returns the result that a child sent, or raises what its handler raised."""
    match kind:
        case "result":
            return ResultText(value)
        case "parked":
            raise Suspended(tuple(Wait(StepKind(kind), name, seconds) for kind, name, seconds in value))
        case "invalid":
            raise ResultInvalid(value)
        case "retry":
            raise Retry(value[0], after=value[1])
        case "fail":
            raise Fail(value[0], code=value[1], retryable=value[2])
        case _:
            message, (exception, frames, traceback) = value
            raise ProcessFailure(
                message, ErrorLocation(exception, tuple(StackFrame(*each) for each in frames), traceback)
            )
