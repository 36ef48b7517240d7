"""Steps and waits of one attempt: recorded steps are not done again, and a handler that can only wait is unwound."""

import asyncio
import inspect
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio.from_thread
import anyio.to_thread
from anyio import CapacityLimiter

from duly.domain.steps import STEP_NAME_PATTERN, StepKind, Wait, is_step_name
from duly.handlers.child_jobs import Run, in_loop
from duly.handlers.exceptions import HandlerError
from duly.handlers.step_backend import (
    CompletedStep,
    LinkRequest,
    RecordedStep,
    SignalRequest,
    StepBackend,
    WaitEnd,
    WaitKey,
)
from duly.handlers.step_calls import StepCall, is_async
from duly.handlers.suspension import Suspension

# Plain functions of steps that run at a time, of one async handler.
MOST_THREADS = 32
# Longest time until a plain function between two tries notices that its attempt is stopped.
LOOK_SECONDS = 0.2
_in_step: ContextVar[str | None] = ContextVar("duly_step", default=None)


class Steps:
    """Steps and waits of one attempt, behind its context.

    Args:
        backend: the records.
        run: runs a coroutine for the handler: in its loop, or blocking from a thread.

    Attributes:
        replayed: recorded steps that this attempt has called, by name.
        used: True once this attempt has called a step or a wait.
    """

    def __init__(self, backend: StepBackend, run: Run = in_loop) -> None:
        self._backend = backend
        self._run = run
        self._blocks = run is not in_loop
        self._recorded: Mapping[str, RecordedStep] | None = None
        self._ended: Mapping[WaitKey, WaitEnd] = {}
        self._called: set[str] = set()
        self._numbers = itertools.count(1)
        self._lock = asyncio.Lock()
        self._suspension = Suspension(backend.suspend, blocks=self._blocks)
        self._limiter: CapacityLimiter | None = None
        self.replayed: dict[str, tuple[RecordedStep, StepCall]] = {}
        self.used = False

    def step(self, call: StepCall) -> Any:
        """Runs a step, or returns its recorded result."""
        check_name("step", call.name)
        self.used = True
        return self._step_here(call) if self._blocks else self._step(call)

    def wait(self, wait: Wait, read: Callable[[WaitEnd], Any]) -> Any:
        """Returns what `read` makes of the end of a wait, in this attempt or in a later one."""
        check_name("signal" if wait.kind is StepKind.SIGNAL else "sleep", wait.name)
        if (step := _in_step.get()) is not None:
            raise HandlerError(f'step "{step}" cannot wait: wait in the handler, between its steps')
        self.used = True
        return self._run(self._wait(wait, read))

    @asynccontextmanager
    async def child_wait(self) -> AsyncIterator[Suspension]:
        """Notes a wait for child jobs while the block runs. A handler that compensates is unwound: it does not wait."""
        if self._backend.compensating:
            await self._suspension.wait(None)
        with self._suspension.child_wait():
            yield self._suspension

    async def settle(self) -> None:
        """Returns once no step is in flight: a handler may have failed while others of its steps go on."""
        await self._suspension.settle()

    def next_sleep(self) -> str:
        """Returns the name of the next sleep without a name. Counted at the call, not at the await."""
        return f"sleep-{next(self._numbers)}"

    def signal_url(self, link: LinkRequest) -> str:
        """Returns the URL of a link with which a person sends a signal."""
        check_name("signal", link.name)
        return self._backend.signal_url(link)

    def send_signal(self, signal: SignalRequest) -> Any:
        """Sends a signal. A handler that is called to compensate has sent it before: it sends in compensations only."""
        replayed = self._backend.compensating and _in_step.get() is None
        return self._here(_nothing() if replayed else self._send_signal(signal))

    def _here(self, coroutine: Coroutine[Any, Any, None]) -> Any:
        """Returns the coroutine to async code, which awaits it; runs it for plain code, also of an async handler."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._run(coroutine) if self._blocks else anyio.from_thread.run(_awaited, coroutine)
        return coroutine

    async def _send_signal(self, signal: SignalRequest) -> None:
        self._suspension.begin()  # a wait beside it does not park before it is sent
        try:
            await self._backend.send_signal(signal)
        finally:
            self._suspension.end()

    async def _step(self, call: StepCall) -> Any:
        recorded = await self._begin(call)
        if recorded is None:
            began = time.monotonic()
            try:
                result = await self._tried(call)
            except BaseException:
                self._leave(call.name, failed=True)
                raise
            recorded = await self._finish(call, result, began)
        return call.read(recorded)

    def _step_here(self, call: StepCall) -> Any:
        """Runs a step in the thread of a plain function, whose connections and locks may belong to that thread."""
        recorded = self._run(self._begin(call))
        if recorded is None:
            began = time.monotonic()
            try:
                result = self._tried_here(call)
            except BaseException:
                self._run(self._give_up(call.name))
                raise
            recorded = self._run(self._finish(call, result, began))
        return call.read(recorded)

    async def _begin(self, call: StepCall) -> str | None:
        """Begins a step. Returns its recorded result, if any; the step has ended then."""
        if call.name in self._called:
            raise HandlerError(f'step "{call.name}" was called before in this attempt; give each step its own name')
        self._called.add(call.name)
        self._suspension.begin()
        try:
            recorded = await self._find(call)
        except BaseException:
            self._leave(call.name, failed=True)
            raise
        unwinds = self._backend.compensating and (recorded is None or self._has_all_to_compensate())
        if recorded is not None or unwinds:
            self._leave(call.name, failed=recorded is None)
        if unwinds:
            await self._suspension.wait(None)
        return recorded

    def _has_all_to_compensate(self) -> bool:
        """Returns whether the handler has called all steps that are left to compensate: nothing more is done then."""
        return all(step.name in self.replayed for step in (self._recorded or {}).values() if step.left_to_compensate)

    async def to_compensate(self) -> list[tuple[RecordedStep, StepCall | None]]:
        """Returns the steps that are left to compensate, the newest first, each with its call in this attempt."""
        recorded = (await self._backend.read_steps()).values()
        left = sorted((step for step in recorded if step.left_to_compensate), key=lambda step: -step.sequence)
        return [(step, self.replayed[step.name][1] if step.name in self.replayed else None) for step in left]

    async def compensated(self, name: str, tries: int) -> None:
        """Records that a step was compensated. Returns once that is durable."""
        await self._backend.record_compensated(name, tries)

    async def _find(self, call: StepCall) -> str | None:
        async with self._lock:
            if self._recorded is None:
                self._recorded = await self._backend.read_steps()
        recorded = self._recorded.get(call.name)
        if recorded is None:
            return None
        self.replayed[call.name] = recorded, call
        return recorded.result

    async def _finish(self, call: StepCall, result: object, began: float) -> str:
        """Records a step. Returns its result as JSON text."""
        failed = True
        try:
            text = call.write(result)
            compensable = call.compensate is not None
            seconds = time.monotonic() - began
            await self._backend.record(CompletedStep(call.name, text, call.tries.made, seconds, compensable))
            failed = False
        finally:
            self._leave(call.name, failed=failed)
        return text

    async def _give_up(self, name: str) -> None:
        self._leave(name, failed=True)

    def _leave(self, name: str, *, failed: bool = False) -> None:
        """Ends a step. The handler may call one that failed again."""
        if failed:
            self._called.discard(name)
        self._suspension.end()

    async def _tried(self, call: StepCall) -> Any:
        """Returns the result of the function, which is called again after an error as the step says."""
        while True:
            try:
                return await self._call(call)
            except Exception as error:
                delay = call.tries.delay_after(error)
                if delay is None:
                    raise
            await asyncio.sleep(delay)

    async def _call(self, call: StepCall) -> Any:
        function = call.next_try()
        with in_step(call.name), self._backend.span(call.name, call.tries.made):
            if is_async(call.function):
                return await function()
            self._limiter = self._limiter or CapacityLimiter(MOST_THREADS)
            result = await anyio.to_thread.run_sync(function, abandon_on_cancel=True, limiter=self._limiter)
            return await result if inspect.isawaitable(result) else result

    def _tried_here(self, call: StepCall) -> Any:
        while True:
            try:
                function = call.next_try()
                with in_step(call.name), self._backend.span(call.name, call.tries.made):
                    result = function()
                    return self._run(_awaited(result)) if inspect.isawaitable(result) else result
            except Exception as error:
                delay = call.tries.delay_after(error)
                if delay is None:
                    raise
            self._rest(delay)

    def _rest(self, seconds: float) -> None:
        """Waits in the thread of a plain function, until its attempt is stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._backend.cancelled:
                raise HandlerError("the attempt was stopped before the next try of a step")
            time.sleep(min(left, LOOK_SECONDS))

    async def _wait(self, wait: Wait, read: Callable[[WaitEnd], Any]) -> Any:
        """Returns the end of a wait if there is one; else the handler is unwound."""
        if (end := self._ended.get((wait.kind, wait.name))) is None:
            # What arrived earlier in this attempt is not in what was read before.
            self._suspension.begin()
            try:
                self._ended = await self._backend.read_waits()
            finally:
                self._suspension.end()
            end = self._ended.get((wait.kind, wait.name))
        if end is None:
            await self._suspension.wait(None if self._backend.compensating else wait)
        return read(end)


@contextmanager
def in_step(name: str) -> Iterator[None]:
    """Notes that the code of the block is that of a step, or of its compensation: it may not wait."""
    token = _in_step.set(name)
    try:
        yield
    finally:
        _in_step.reset(token)


async def _nothing() -> None:
    pass


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def check_name(what: str, name: str) -> None:
    """Raises HandlerError if this is no name of a step or a wait."""
    if not isinstance(name, str) or not is_step_name(name):
        raise HandlerError(f"{what} {name!r}: its name must match {STEP_NAME_PATTERN}")
