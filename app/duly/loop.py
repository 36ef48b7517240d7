"""Supervised loops: the background work of a node as steps that are repeated."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import structlog

from duly.errors import DulyError

log = structlog.stdlib.get_logger("duly.loop")

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 5.0
# Time for loops to end when they are finished or cancelled.
END_SECONDS = 5.0


class Loop:
    """Runs a step repeatedly until stopped; logs errors and backs off.

    Args:
        name: name of the loop in logs and metrics.
        step: runs one round and returns the seconds until the next; `wake` cuts the pause short.
        expected: errors of an unavailable database: logged once when they begin, without a traceback.
        first_after: seconds before the first round; `wake` cuts them short too.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[float]],
        *,
        expected: tuple[type[Exception], ...] = (),
        first_after: float = 0.0,
    ) -> None:
        self.name = name
        self.failures = 0
        self.rounds = 0
        self.last_success = time.monotonic()
        self._step = step
        self._expected = expected
        self._first_after = first_after
        self._wake = asyncio.Event()
        self._failing = 0
        self._ending = False
        # Called when a round succeeds after failures, for example because the database is back.
        self.recovered: Callable[[], None] = _ignore

    def wake(self) -> None:
        """Ends the current pause; during a step, skips the pause after it."""
        self._wake.set()

    def retry_now(self) -> None:
        """Ends the pause after a failed round."""
        if self._failing:
            self._wake.set()

    def end(self) -> None:
        """Lets the current round finish and starts no other."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Runs until `end` is called or the task is cancelled."""
        if self._first_after > 0:
            await self._pause(self._first_after)
        while not self._ending:
            self._wake.clear()
            pause = await self._round()
            if pause > 0 and not self._ending:
                await self._pause(pause)

    async def _round(self) -> float:
        try:
            pause = await self._step()
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return self._failed(error)  # something that the step waited for was cancelled, not this loop
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a loop outlives every error of its step
            return self._failed(error)
        if self._failing:
            log.info(f"{self.name} recovered", action="loop_recovered", loop=self.name, after_failures=self._failing)
            self._failing = 0
            self.recovered()
        self.rounds += 1
        self.last_success = time.monotonic()
        return pause

    def _failed(self, error: BaseException) -> float:
        """Counts and logs an error of the step. Returns the seconds until the next round."""
        self.failures += 1
        self._failing += 1
        if not isinstance(error, (*self._expected, DulyError)):
            log.error(f"{self.name} failed", action="loop_failed", loop=self.name, exc_info=error)
        elif self._failing == 1:
            reason = getattr(error, "line", None) or str(error)
            log.warning(f"{self.name} is retrying: {reason}", action="loop_waits", loop=self.name, error=reason)
        backoff = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failing, 10), LAST_BACKOFF_SECONDS)
        return backoff * random.uniform(0.5, 1)  # noqa: S311  # jitter, not a secret

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass


def _ignore() -> None:
    """Default of `Loop.recovered`."""


class Loops:
    """The loops of one node by name, and their tasks.

    The set is created empty, before the parts whose steps its loops run: a part gets the `waker` of a loop that is
    added later, or never where the node does not have its role.
    """

    def __init__(self) -> None:
        self._loops: dict[str, Loop] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, loop: Loop) -> None:
        """Adds a loop; `start` runs it. When one recovers, those that still wait try again at once: their pauses have
        grown to seconds, and they fail for the same reason.
        """
        self._loops[loop.name] = loop
        loop.recovered = self._retry_now

    def _retry_now(self) -> None:
        for loop in self._loops.values():
            loop.retry_now()

    def __iter__(self) -> Iterator[Loop]:
        """Iterates over the loops in the order in which they were added."""
        return iter(self._loops.values())

    def waker(self, name: str) -> Callable[[], None]:
        """Returns a function that wakes the loop of this name, if the node has it."""
        return partial(self._wake, name)

    def _wake(self, name: str) -> None:
        if loop := self._loops.get(name):
            loop.wake()

    def start(self) -> None:
        """Starts a task for each loop."""
        for name, loop in self._loops.items():
            self._tasks[name] = asyncio.create_task(loop.run(), name=f"loop:{name}")

    def task(self, name: str) -> asyncio.Task[None]:
        """Returns the task of a loop that was started."""
        return self._tasks[name]

    async def finish(self, name: str) -> None:
        """Ends a loop between two rounds: one cancelled during its statement may leave rows without an owner."""
        if task := self._tasks.get(name):
            self._loops[name].end()
            await asyncio.wait([task], timeout=END_SECONDS)

    async def cancel(self, *, exclude: str | None = None) -> None:
        """Cancels all loops that still run, except the one called `exclude`."""
        names = [name for name in self._tasks if name != exclude]
        ending = [self._tasks.pop(name) for name in names]
        for name, task in zip(names, ending, strict=True):
            self._loops[name].end()  # a step may turn the cancellation into an error, as of its connection
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=END_SECONDS)
