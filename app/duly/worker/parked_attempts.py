"""Parked attempts: those that wait for other jobs without a slot, so that these jobs can run."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from duly.domain.outcome import Interrupted
from duly.handlers.exceptions import HandlerError
from duly.worker.attempt import Attempt

# A waiting plain function keeps a thread of the process.
MOST_THREADS = 1000
# Delay after which an attempt beyond the limit is retried, without being counted; it finds its child jobs again.
AGAIN_SECONDS = 5.0
# Waiting for a slot does not count as run time, within this limit.
LONGEST_RETURN_SECONDS = 86_400.0
NO_ROOM = "too many attempts on the node wait for other jobs"


class ParkedAttempts:
    """Attempts without a slot, and the returning ones, which need a slot again.

    An attempt is parked as long as one part of it waits: if it waits for two jobs concurrently, it would otherwise
    hold, after the first, the slot that the second needs.

    Attributes:
        waiting_parts: the parked attempts, and the number of waiting parts of each.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self.waiting_parts: dict[Attempt, int] = {}
        self._threads = 0
        self._returning: dict[Attempt, asyncio.Future[None]] = {}
        self.slot_freed: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """Returns the number of parked attempts."""
        return len(self.waiting_parts)

    @property
    def returning(self) -> int:
        """Number of parked attempts that could continue."""
        return len(self._returning)

    @asynccontextmanager
    async def parked(self, attempt: Attempt) -> AsyncIterator[None]:
        """Frees the attempt's slot while the block runs. Afterwards the attempt continues once there is a slot for it;
        at once if it is stopped.

        Raises:
            HandlerError: the limit is reached; the attempt is stopped, to run again.
        """
        await self._leave(attempt)
        try:
            yield
        finally:
            await self._come_back(attempt)

    async def _leave(self, attempt: Attempt) -> None:
        """Frees the slot of an attempt, at the first of its parts that waits."""
        if attempt in self.waiting_parts:
            self.waiting_parts[attempt] += 1
            self._resume(attempt, with_slot=False)
            return
        is_thread = attempt.handler.isolation == "thread"
        if len(self.waiting_parts) >= self._limit or (is_thread and self._threads >= MOST_THREADS):
            attempt.stop(Interrupted(NO_ROOM, AGAIN_SECONDS))
            await asyncio.sleep(0)  # delivers the interruption here
            raise HandlerError(NO_ROOM)
        self.waiting_parts[attempt] = 1
        self._threads += is_thread
        self.slot_freed()

    async def _come_back(self, attempt: Attempt) -> None:
        """Gives the attempt a slot again, after the last of its parts that waits."""
        if attempt not in self.waiting_parts:  # it has ended
            return
        self.waiting_parts[attempt] -= 1
        if self.waiting_parts[attempt]:
            return
        if attempt.handler.batch is not None:
            # It continues without a slot: other jobs of its batch may still wait, and if all batches held slots for the
            # jobs that do not, the jobs that the others wait for would never get one.
            return
        if attempt.cancelled or attempt.stopped is not None:  # the latter: its thread is being unwound
            self.remove(attempt)
            return
        await self._wait_for_slot(attempt)

    async def _wait_for_slot(self, attempt: Attempt) -> None:
        """Returns once the attempt has a slot, or is stopped. The wait does not count as run time."""
        loop = asyncio.get_running_loop()
        self._returning[attempt] = turn = loop.create_future()
        self.slot_freed()  # there may be one
        left = attempt.deadline - loop.time()
        attempt.deadline += LONGEST_RETURN_SECONDS  # it is ready to run: its clock stops until it can
        try:
            with attempt.on_stop(lambda: self.remove(attempt)):
                await turn
        except asyncio.CancelledError:
            if not self.waiting_parts.get(attempt):
                self.remove(attempt)
            raise
        finally:
            attempt.deadline = loop.time() + left

    def resume_next(self) -> None:
        """Gives a free slot to the attempt that has waited longest. There must be one."""
        self._resume(next(iter(self._returning)), with_slot=True)

    def _resume(self, attempt: Attempt, *, with_slot: bool) -> None:
        turn = self._returning.pop(attempt, None)
        if turn is not None and not turn.done():
            turn.set_result(None)
        if with_slot:
            self._drop(attempt)

    def remove(self, attempt: Attempt) -> None:
        """Removes an attempt that was stopped or has ended: it needs no slot."""
        self._resume(attempt, with_slot=True)

    def _drop(self, attempt: Attempt) -> None:
        if self.waiting_parts.pop(attempt, None) is not None:
            self._threads -= attempt.handler.isolation == "thread"
