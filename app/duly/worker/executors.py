"""Where handlers run: as tasks of the loop, in threads, in processes that can be killed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from duly.handlers.context import OVER
from duly.worker.attempt import Attempt, context_of
from duly.worker.processes import ProcessExecutor

Value = TypeVar("Value")


class Executors:
    """Calls a handler where its registration says. A thread that outlives its attempt keeps its slot."""

    def __init__(self, *, slots: int, processes: ProcessExecutor, slot_freed: Callable[[], None]) -> None:
        self._limiter = CapacityLimiter(slots)
        self._processes = processes
        self._slot_freed = slot_freed
        self.abandoned_threads = 0

    async def call(self, attempt: Attempt, parameters: Any) -> Any:
        """The handler's return value; raises what it raises."""
        handler = attempt.handler
        if handler.isolation == "task":
            if handler.signature.order == ("parameters",):  # the commonest needs no context
                return await handler.function(parameters)
            return await handler.function(*handler.signature.arguments(parameters, attempt.context()))
        if handler.isolation == "thread":
            return await self._in_thread(attempt, parameters)
        return await self._processes.call(attempt)

    async def _in_thread(self, attempt: Attempt, parameters: Any) -> Any:
        loop = asyncio.get_running_loop()
        context = context_of(attempt.claimed, _ThreadReporter(attempt, loop))
        arguments = attempt.handler.signature.arguments(parameters, context)
        begun = over = abandoned = False

        def call() -> Any:
            nonlocal begun, over
            begun = True
            try:
                return None if attempt.cancelled else attempt.handler.function(*arguments)
            finally:
                over = True
                if attempt.cancelled:
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


class _ThreadReporter:
    """Lets a plain function report: each call blocks the thread until the loop has done it."""

    def __init__(self, attempt: Attempt, loop: asyncio.AbstractEventLoop) -> None:
        self._attempt = attempt
        self._loop = loop

    @property
    def cancelled(self) -> bool:
        return self._attempt.cancelled

    def progress(self, percent: float, message: str | None) -> Awaitable[None]:
        if not self._attempt.cancelled:
            told = self._attempt.progress(percent, message)
            asyncio.run_coroutine_threadsafe(_awaited(told), self._loop).result()
        return OVER

    def log(self, level: str, message: str, fields: Any) -> None:
        self._attempt.log(level, message, fields)


async def _awaited(awaitable: Awaitable[Value]) -> Value:
    return await awaitable
