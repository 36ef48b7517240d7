"""Handlers in processes of their own: for what burns the CPU or must be killable. A pool from `pebble` keeps them."""

import asyncio
import contextlib
import multiprocessing
import os
import sys
from collections.abc import Coroutine, Sequence
from concurrent.futures import BrokenExecutor
from typing import Any
from uuid import UUID

from pebble import ProcessExpired, ProcessPool

from duly.handlers.calling import ResultInvalid, ResultText
from duly.handlers.signals import Fail, Retry
from duly.worker.attempt import Attempt
from duly.worker.child import begin, run
from duly.worker.child_checkpoints import ChildCheckpoints
from duly.worker.child_messages import Inbox


class ProcessFailure(Exception):
    """What a handler raised in its process: its words travel, the object need not be picklable."""


class ProcessExecutor:
    """A pool of child processes, started when the first job needs one.

    Args:
        modules: the handler modules; each child imports them itself.
        processes: how many at once; None for one a core.
        result_limit: bytes, of a checkpoint too.
        json_depth: how deep a checkpoint may be nested.
    """

    def __init__(
        self, modules: Sequence[str], *, result_limit: int, json_depth: int = 64, processes: int | None = None
    ) -> None:
        self._modules = tuple(modules)
        self._limits = result_limit, json_depth
        self._processes = processes or os.cpu_count() or 1
        self._pool: ProcessPool | None = None
        self._inbox: Inbox | None = None
        self._attempts: dict[UUID, Attempt] = {}
        self._told: dict[UUID, set[asyncio.Future[None]]] = {}
        self._checkpoints: dict[UUID, ChildCheckpoints] = {}

    async def call(self, attempt: Attempt) -> Any:
        """The handler's result. Being cancelled kills the process, and a new one takes its place."""
        pool = self._pool or self._open()
        job_id = attempt.claimed.job_id
        self._attempts[job_id] = attempt
        try:
            future = pool.schedule(run, args=(tuple(attempt.claimed), *self._limits))
            kind, value = await asyncio.wrap_future(future)
            await self._all_told(job_id)
        except ProcessExpired as error:
            raise ProcessFailure(f"its process ended under it (exit code {error.exitcode})") from None
        except BrokenExecutor as error:
            raise ProcessFailure(f"its process could not be started: {error}") from None
        finally:
            self._attempts.pop(job_id, None)
            self._told.pop(job_id, None)
            self._checkpoints.pop(job_id, None)
        return _unpacked(kind, value)

    def _open(self) -> ProcessPool:
        self._inbox = Inbox(self._hear)
        self._pool = ProcessPool(
            max_workers=self._processes,
            initializer=begin,
            initargs=(self._modules, self._inbox.address, list(sys.path)),
            context=multiprocessing.get_context("spawn"),
        )
        return self._pool

    def _hear(self, job_id: UUID, kind: str, words: list[Any]) -> None:
        attempt = self._attempts.get(job_id)
        if attempt is None:
            return
        match kind:
            case "log":
                attempt.log(*words)
            case "checkpoint":
                checkpoints = self._checkpoints.setdefault(job_id, ChildCheckpoints())
                if checkpoints.hear(*words):
                    self._note(job_id, checkpoints.keep(attempt.checkpoint))
            case _:
                self._note(job_id, _told(attempt, *words))

    def _note(self, job_id: UUID, telling: Coroutine[Any, Any, None]) -> None:
        told = asyncio.ensure_future(telling)
        of_job = self._told.setdefault(job_id, set())
        of_job.add(told)
        told.add_done_callback(of_job.discard)

    async def _all_told(self, job_id: UUID) -> None:
        """What the child said before its end is recorded before its end is."""
        if self._inbox is not None:
            self._inbox.read()
        await asyncio.gather(*self._told.get(job_id, ()))

    def close(self) -> None:
        """Kills what still runs; called when no attempt needs it any more."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]  # the library leaves it without annotations
            self._pool.join(timeout=5)
            self._pool = None
        if self._inbox is not None:
            self._inbox.close()
            self._inbox = None


async def _told(attempt: Attempt, percent: float, message: str | None) -> None:
    with contextlib.suppress(Exception):  # progress that cannot be recorded is no reason to fail; the outcome tells
        await attempt.progress(percent, message)


def _unpacked(kind: str, value: Any) -> Any:
    match kind:
        case "result":
            return ResultText(value)
        case "invalid":
            raise ResultInvalid(value)
        case "retry":
            raise Retry(value[0], after=value[1])
        case "fail":
            raise Fail(value[0], code=value[1], retryable=value[2])
        case _:
            raise ProcessFailure(value)
