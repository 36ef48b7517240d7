"""Looks for work on behalf of all periodic loops that found none, with one statement a second."""

import asyncio
from collections.abc import Awaitable, Callable

from duly.store.maintenance.due_work import read_due_work
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER

# Loops that return this pause, or a longer one, have found nothing.
LOOK_SECONDS = 1.0
# Pause of a loop while others look for it, in case that they do not.
REST_SECONDS = 15.0
ANSWER_SECONDS = 3.0


class Lookout:
    """Wakes resting loops when there is work; `step` is run by a loop."""

    def __init__(self, database: Database, waker: Callable[[str], Callable[[], None]]) -> None:
        self._connection = database.hot()
        self._waker = waker
        self._resting: set[str] = set()

    def watch(self, name: str, step: Callable[[], Awaitable[float]]) -> Callable[[], Awaitable[float]]:
        """Returns the step of a loop, which rests after a round without work until there is some."""

        async def watched() -> float:
            self._resting.discard(name)
            pause = await step()
            if pause < LOOK_SECONDS:
                return pause
            self._resting.add(name)
            return REST_SECONDS

        return watched

    async def step(self) -> float:
        """Looks once. Returns the seconds until the next look.

        Raises:
            DatabaseError: the look failed; the loops look for themselves.
        """
        if self._resting:
            try:
                await self._look()
            except BaseException:
                for name in self._resting:
                    self._waker(name)()
                raise
        return LOOK_SECONDS

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._connection.use() as connection:
                due = await read_due_work(connection, self._resting)
        except TimeoutError as error:
            raise DatabaseOutage("the look for work", NO_ANSWER) from error
        for name, seconds in due.items():
            if seconds <= 0:
                self._waker(name)()
            elif seconds < LOOK_SECONDS:
                asyncio.get_running_loop().call_later(seconds, self._waker(name))
