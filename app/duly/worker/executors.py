"""Calls handlers: as tasks of the event loop, in threads, or in processes that can be killed."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property, partial
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from duly.handlers.child_jobs import ChildJobs
from duly.handlers.context import DONE, JobContext
from duly.handlers.steps import Steps
from duly.telemetry.tracing import Tracing
from duly.worker.attempt import Attempt
from duly.worker.batch_handlers import BatchCalls, Group
from duly.worker.handler_context import context_of
from duly.worker.process.pool import ProcessExecutor

Value = TypeVar("Value")


class Executors:
    """Calls each handler where its registration says. A thread that outlives its attempt keeps its slot."""

    def __init__(
        self, *, slots: int, processes: ProcessExecutor, slot_freed: Callable[[], None], tracing: Tracing
    ) -> None:
        # Each thread has a slot, or belongs to one of the few parked attempts.
        self._limiter = CapacityLimiter(math.inf)
        self._processes = processes
        self._slot_freed = slot_freed
        self._tracing = tracing
        self._batch_calls = BatchCalls(slots=slots, call_group=self._call_group)
        self.abandoned_threads = 0

    def call(self, attempt: Attempt, parameters: Any) -> Awaitable[Any]:
        """Returns an awaitable of the handler's result, without a coroutine around that of the handler."""
        handler = attempt.handler
        if handler.isolation == "task" and handler.batch is None:
            if handler.signature.order == ("parameters",):  # the most common signature needs no context
                arguments: tuple[object, ...] = (parameters,)
            else:
                arguments = handler.signature.arguments(parameters, attempt.context())
            running: Awaitable[Any] = handler.function(*arguments)
            return running
        if handler.batch is not None:
            return self._batch_calls.call(attempt, handler.batch, parameters)
        if handler.isolation == "thread":
            arguments = handler.signature.arguments(parameters, _thread_context(attempt))
            return self._in_thread(partial(handler.function, *arguments), stopped=lambda: attempt.cancelled)
        return self._processes.call(attempt)

    async def _call_group(self, group: Group) -> Any:
        """Calls a batch handler for all members of a group."""
        attempts = [member.attempt for member in group.members]
        with self._tracing.batch_call([attempt.span for attempt in attempts], attempts[0].claimed):
            return await self._call_members(group)

    async def _call_members(self, group: Group) -> Any:
        handler, members = group.handler, group.members
        in_thread = handler.isolation == "thread"
        arguments = handler.signature.batch_arguments(
            [member.parameters for member in members],
            lambda: [_thread_context(member.attempt) if in_thread else member.attempt.context() for member in members],
        )
        if in_thread:
            return await self._in_thread(partial(handler.function, *arguments), stopped=lambda: group.given_up)
        return await handler.function(*arguments)

    async def _in_thread(self, function: Callable[[], Any], *, stopped: Callable[[], bool]) -> Any:
        """Runs a function in a thread. `stopped` must return True before this is cancelled."""
        loop = asyncio.get_running_loop()
        begun = over = abandoned = False

        def call() -> Any:
            nonlocal begun, over
            begun = True
            try:
                return None if stopped() else function()
            finally:
                over = True
                if stopped():
                    loop.call_soon_threadsafe(ended)

        def ended() -> None:
            if abandoned:
                self.abandoned_threads -= 1
                self._slot_freed()

        try:
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter)
        except asyncio.CancelledError:
            abandoned = begun and not over
            self.abandoned_threads += abandoned
            raise


def _thread_context(attempt: Attempt) -> JobContext:
    return context_of(attempt.claimed, _ThreadReporter(attempt, asyncio.get_running_loop()))


class _ThreadReporter:
    """Reporter for a plain function: each call blocks the thread until the event loop has finished it."""

    def __init__(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self._attempt = attempt
        self._loop = loop

    @property
    def cancelled(self) -> bool:
        return self._attempt.cancelled

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        if not self._attempt.cancelled:
            report = self._attempt.progress(percent, message)
            asyncio.run_coroutine_threadsafe(_awaited(report), self._loop).result()
        return DONE

    @cached_property
    def children(self) -> ChildJobs:
        return ChildJobs(self._attempt.reports.child_backend(self._attempt), self._blocking)

    @cached_property
    def steps(self) -> Steps:
        return self._attempt.make_steps(self._blocking)

    def _blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def log(self, level: str, message: str, fields: Any) -> None:
        self._attempt.log(level, message, fields)

    def checkpoint(self, value: object) -> Awaitable[None]:
        kept = self._attempt.checkpoint(value)
        asyncio.run_coroutine_threadsafe(_awaited(kept), self._loop).result()
        return DONE


async def _awaited(awaitable: Awaitable[Value]) -> Value:
    return await awaitable
