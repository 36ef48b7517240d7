"""Attempts that wait for other jobs to end, and meanwhile need no slot: else whoever they wait for might never run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from duly.domain.outcome import Interrupted
from duly.handlers.exceptions import HandlerError
from duly.worker.attempt import Attempt

# A plain function that waits keeps a thread of the process.
MOST_THREADS = 1000
# What finds no room runs again after this, uncharged, and finds the jobs that it submitted.
AGAIN_SECONDS = 5.0
# One that waits for a slot is not timed out for that, within this bound.
LONGEST_RETURN_SECONDS = 86_400.0
NO_ROOM = "too many jobs wait for others on its node"


class ParkedAttempts:
    """Who waits, and who comes back and needs a slot again. An attempt is out of its slot as long as at least one part
    of it waits: one that waits for two jobs at once would else hold, after the first, the slot that the second needs.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._out: dict[Attempt, int] = {}  # how many parts of each wait
        self._threads = 0
        self._returning: dict[Attempt, asyncio.Future[None]] = {}
        self.slot_freed: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """How many attempts are out of their slots."""
        return len(self._out)

    @property
    def returning(self) -> int:
        """How many of them could go on."""
        return len(self._returning)

    @asynccontextmanager
    async def parked(self, attempt: Attempt) -> AsyncIterator[None]:
        """Gives the attempt's slot up while the block runs. It goes on, after it, once there is a slot for it; at once
        where it is told to stop.

        Raises:
            HandlerError: there is no room for one more that waits; the attempt is stopped, to run again.
        """
        await self._leave(attempt)
        try:
            yield
        finally:
            await self._come_back(attempt)

    async def _leave(self, attempt: Attempt) -> None:
        if attempt in self._out:
            self._out[attempt] += 1
            self._resume(attempt, with_slot=False)
            return
        is_thread = attempt.handler.isolation == "thread"
        if len(self._out) >= self._limit or (is_thread and self._threads >= MOST_THREADS):
            attempt.stop(Interrupted(NO_ROOM, AGAIN_SECONDS))
            await asyncio.sleep(0)  # lets the interruption arrive here
            raise HandlerError(NO_ROOM)
        self._out[attempt] = 1
        self._threads += is_thread
        self.slot_freed()

    async def _come_back(self, attempt: Attempt) -> None:
        if attempt not in self._out:  # it has ended
            return
        self._out[attempt] -= 1
        if self._out[attempt]:
            return
        if attempt.handler.batch is not None:
            # It goes on without a slot: others of its call may still wait, and if all calls held the slots of those who
            # do not, nobody whom the others wait for would ever have one.
            return
        if attempt.cancelled:
            self.remove(attempt)
            return
        loop = asyncio.get_running_loop()
        self._returning[attempt] = turn = loop.create_future()
        self.slot_freed()  # perhaps there is one
        left = attempt.deadline - loop.time()
        attempt.deadline += LONGEST_RETURN_SECONDS  # it wants to run: its time stands still until it can
        try:
            with attempt.on_stop(lambda: self.remove(attempt)):
                await turn
        except asyncio.CancelledError:
            if not self._out.get(attempt):
                self.remove(attempt)
            raise
        finally:
            attempt.deadline = loop.time() + left

    def resume_next(self) -> None:
        """Gives a free slot to whoever has waited longest for one; somebody must."""
        self._resume(next(iter(self._returning)), with_slot=True)

    def _resume(self, attempt: Attempt, *, with_slot: bool) -> None:
        turn = self._returning.pop(attempt, None)
        if turn is not None and not turn.done():
            turn.set_result(None)
        if with_slot:
            self._drop(attempt)

    def remove(self, attempt: Attempt) -> None:
        """It was told to stop, or has ended: it needs no slot of its own any more."""
        self._resume(attempt, with_slot=True)

    def _drop(self, attempt: Attempt) -> None:
        if self._out.pop(attempt, None) is not None:
            self._threads -= attempt.handler.isolation == "thread"
