"""Turns of users on a number of connections, in order of arrival."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# After a wait of this time, all connections are held by slow statements: then there is another turn beside theirs.
LONG_TURN_SECONDS = 2.0


class Turns:
    """Permits for a number of users at a time.

    Args:
        most: their number, unless one waits for long.
        when_stuck: their number in any case (default: no bound).
    """

    def __init__(self, most: int, *, when_stuck: float = float("inf")) -> None:
        self._most = most
        self._when_stuck = when_stuck
        self._held = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for a turn, which lasts for the block."""
        if self._held < self._most:
            self._held += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self) -> None:
        """Waits until a turn is handed over, or another one may begin beside those that last long."""
        while not await self._handed_over():
            if self._held < self._when_stuck:
                self._held += 1
                return

    async def _handed_over(self) -> bool:
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            async with asyncio.timeout(LONG_TURN_SECONDS):
                await given
        except TimeoutError:
            return given.done() and not given.cancelled()
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self._pass_on()
            raise
        finally:
            if given in self._waiting:
                self._waiting.remove(given)
        return True

    def _pass_on(self) -> None:
        """Hands a turn over to who has waited longest; it ends if nobody waits, or there are too many."""
        while self._waiting and self._held <= self._most:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self._held -= 1
