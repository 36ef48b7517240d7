"""Looks for work on behalf of all periodic loops that found none, with one statement a second."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping

from duly.store.maintenance.due_work import read_due_work
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER

# Loops that return this pause, or a longer one, have found nothing.
LOOK_SECONDS = 1.0
# Pause of a loop while others look for it, in case that they do not. Shorter than the time after which unused pooled
# connections are closed: opening one costs more than the statements.
REST_SECONDS = 15.0
ANSWER_SECONDS = 3.0
# Sign of the loop `sweep` while there is nothing to sweep.
NOTHING = "false"

Step = Callable[[], Awaitable[float]]


class Lookout:
    """Wakes resting loops when there is work; `step` is run by a loop.

    Args:
        waker: returns what wakes the loop of a name.
        lease_seconds: time after which a node without a heartbeat is lost.
        tenants: returns the tenants whose submission limits this process knows.
    """

    def __init__(
        self,
        database: Database,
        waker: Callable[[str], Callable[[], None]],
        *,
        lease_seconds: float = 0.0,
        tenants: Callable[[], Collection[int]] = tuple,
    ) -> None:
        self._connection = database.hot()
        self._waker = waker
        self._lease_seconds = lease_seconds
        self._tenants = tenants
        # By the names of resting loops, whether each may still rest.
        self._resting: dict[str, Callable[[], bool]] = {}
        self._signs: Mapping[str, str | None] = {}
        self._works = True

    def watch(self, name: str, step: Step, *, rests: Callable[[], bool] | None = None) -> Step:
        """Returns the step of a loop, which rests after a round without work until there is some, or its sign changes.

        Args:
            name: the loop.
            step: its step.
            rests: returns whether it may rest now (default: it may after a pause of `LOOK_SECONDS`).
        """

        async def watched() -> float:
            self._resting.pop(name, None)
            pause = await step()
            may_rest = pause >= LOOK_SECONDS if rests is None else pause > 0 and rests()
            if not may_rest or not self._works:
                return pause
            self._resting[name] = rests or _always
            return REST_SECONDS

        return watched

    def nothing_to_sweep(self) -> bool:
        """Returns whether no attempt was running and no node was lost at the last look."""
        return self._signs.get("sweep") == NOTHING

    async def step(self) -> float:
        """Looks once. Returns the seconds until the next look.

        Raises:
            DatabaseError: the look failed; the loops look for themselves.
        """
        if self._resting or not self._works:
            try:
                await self._look()
            except BaseException:
                self._works = False
                for name in self._resting:
                    self._waker(name)()
                raise
            self._works = True
        return LOOK_SECONDS

    async def _look(self) -> None:
        """Wakes loops that have work. A loop reads after the look that found its sign changed, so it misses nothing."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._connection.use() as connection:
                due = await read_due_work(
                    connection, self._resting, tenants=self._tenants(), lease_seconds=self._lease_seconds
                )
        except TimeoutError as error:
            raise DatabaseOutage("the look for work", NO_ANSWER) from error
        before, self._signs = self._signs, due.signs
        changed = {name for name, sign in due.signs.items() if name not in before or sign != before[name]}
        for name in changed.union(name for name, rests in self._resting.items() if not rests()):
            self._waker(name)()
        for name, seconds in due.seconds.items():
            if seconds <= 0:
                self._waker(name)()
            elif seconds < LOOK_SECONDS:
                asyncio.get_running_loop().call_later(seconds, self._waker(name))


def _always() -> bool:
    """Default of what says whether a resting loop may rest."""
    return True
