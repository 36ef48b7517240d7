"""Unwinding of a handler that can only wait: its waits are collected until none of its steps is in flight."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from duly.domain.steps import Wait
from duly.handlers.step_backend import Suspended, WaitKey

# Rounds of the event loop in which a handler whose steps have all ended may begin another one, or fail.
ROUNDS = 10


class Suspension:
    """Waits and steps in flight of one attempt. All methods are called on the event loop.

    Args:
        suspend: ends the attempt with these waits; it cancels the task of an async handler.
        blocks: True for a plain function, which is unwound by an exception in its thread.
    """

    def __init__(self, suspend: Callable[[tuple[Wait, ...]], None], *, blocks: bool) -> None:
        self._suspend = suspend
        self._blocks = blocks
        self._waits: dict[WaitKey, Wait] = {}
        self._child_waits = 0
        self._ready_to_park: dict[asyncio.Future[None], Callable[[], None]] = {}
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._waiters: set[asyncio.Future[None]] = set()

    def begin(self) -> None:
        """Notes that a step is in flight."""
        self._in_flight += 1
        self._idle.clear()

    def end(self) -> None:
        """Notes that a step has ended."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()
            self._look_soon()

    async def settle(self) -> None:
        """Returns once no step is in flight."""
        await self._idle.wait()

    async def wait(self, wait: Wait | None) -> NoReturn:
        """Waits until the handler is unwound; `None` waits for nothing that could come.

        Raises:
            Suspended: in the thread of a plain function, once no step is in flight.
        """
        if wait is not None:
            self._waits[wait.kind, wait.name] = wait
        if self._blocks:
            await self._idle.wait()
            waits = tuple(self._waits.values())
            self._suspend(waits)
            raise Suspended(waits)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        self._look_soon()
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
        raise AssertionError("a wait is ended by a cancellation only")

    @contextmanager
    def child_wait(self) -> Iterator[None]:
        """Notes a wait for child jobs while the block runs."""
        self._child_waits += 1
        try:
            yield
        finally:
            self._child_waits -= 1
            self._look_soon()

    async def wait_for_children(self, ended: asyncio.Future[None], park: Callable[[], None]) -> None:
        """Returns once `ended` is done. If the handler can only wait for it, `park` is called, which ends the attempt.

        Several such waits at once go on: with one of them the handler could continue before the others.

        Raises:
            Suspended: in the thread of a plain function, after `park`.
            asyncio.CancelledError: in a task, after `park`.
        """
        parked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ready_to_park[parked] = park
        self._look_soon()
        try:
            await asyncio.wait({ended, parked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._ready_to_park[parked]
        if parked.done():
            raise Suspended if self._blocks else asyncio.CancelledError

    @property
    def _can_end(self) -> bool:
        """Returns whether the handler waits for something that is not in memory, apart from steps in flight."""
        return bool(self._waiters) or self._child_waits == len(self._ready_to_park) == 1

    def _look_soon(self) -> None:
        if self._can_end:
            asyncio.get_running_loop().call_soon(self._look, ROUNDS)

    def _look(self, rounds: int) -> None:
        """Ends the attempt if nothing has begun within some rounds of the loop."""
        if self._in_flight or not self._can_end:
            return
        if rounds:
            asyncio.get_running_loop().call_soon(self._look, rounds - 1)
            return
        if self._waiters:
            self._suspend(tuple(self._waits.values()))
        else:
            next(iter(self._ready_to_park.values()))()
        for waiter in [
            *self._waiters,
            *self._ready_to_park,
        ]:  # of tasks that the cancellation of the handler does not reach
            waiter.cancel()
