"""Looks for work on behalf of all periodic loops that found none, with one statement a second.

While nothing is written to the database, that statement only finds out that this is so: what a loop waits for then
comes with the time alone, and the last complete look has found when.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

from duly.store.maintenance.due_work import DueWork, read_due_work, read_snapshot
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER

# Loops that return this pause, or a longer one, have found nothing.
LOOK_SECONDS = 1.0
# Time after which a resting loop looks for itself, in case that something was missed. Shorter than the time after which
# unused pooled connections are closed: opening one costs more than the statements.
ROUND_SECONDS = 60.0
# Pause of a resting loop, should nothing wake it.
REST_SECONDS = 75.0
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
        own_transactions: IDs of transactions that change nothing that a loop reads.
    """

    def __init__(
        self,
        database: Database,
        waker: Callable[[str], Callable[[], None]],
        *,
        lease_seconds: float = 0.0,
        tenants: Callable[[], Collection[int]] = tuple,
        own_transactions: Collection[int] = (),
    ) -> None:
        self._connection = database.hot()
        self._waker = waker
        self._lease_seconds = lease_seconds
        self._tenants = tenants
        self._own_transactions = own_transactions
        # By the names of resting loops, whether each may still rest.
        self._resting: dict[str, Callable[[], bool]] = {}
        # By the same names, in the same order, when each began to rest.
        self._rested_at: dict[str, float] = {}
        # The last complete look, and the loops that it was for.
        self._last: DueWork | None = None
        self._looked_for: set[str] = set()
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
            self._rested_at.pop(name, None)
            pause = await step()
            may_rest = pause >= LOOK_SECONDS if rests is None else pause > 0 and rests()
            if not may_rest or not self._works:
                return pause
            self._resting[name] = rests or _always
            self._rested_at[name] = time.monotonic()
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
                self._works, self._last = False, None
                for name in self._resting:
                    self._waker(name)()
                raise
            self._works = True
            self._wake_longest_at_rest()
        return LOOK_SECONDS

    def _wake_longest_at_rest(self) -> None:
        """Lets one loop look for itself, if it has rested for long. Several at once would need more connections."""
        name = next(iter(self._rested_at), None)
        if name is not None and time.monotonic() - self._rested_at[name] >= ROUND_SECONDS:
            self._waker(name)()

    async def _look(self) -> None:
        """Wakes loops that have work. A loop reads after the look that found its sign changed, so it misses nothing."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._connection.use() as connection:
                now = await self._time_if_unchanged(connection)
                if now is None:
                    now = await self._look_at_all(connection)
        except TimeoutError as error:
            raise DatabaseOutage("the look for work", NO_ANSWER) from error
        for name in [name for name, rests in self._resting.items() if not rests()]:
            self._waker(name)()
        self._wake_in_time(now)

    async def _time_if_unchanged(self, connection: Connection) -> float | None:
        """Returns the database's time if a complete look would find what the last one did."""
        last = self._last
        if last is None or last.next_late is None or not self._resting.keys() <= self._looked_for:
            return None
        snapshot = await read_snapshot(connection)
        late = snapshot.at - last.snapshot.at >= last.next_late
        return snapshot.at if not late and last.snapshot.unchanged_in(snapshot, self._own_transactions) else None

    async def _look_at_all(self, connection: Connection) -> float:
        """Looks at all tables, and wakes loops whose sign has changed. Returns the database's time."""
        self._looked_for = set(self._resting)
        self._last = due = await read_due_work(
            connection, self._resting, tenants=self._tenants(), lease_seconds=self._lease_seconds
        )
        before, self._signs = self._signs, due.signs
        for name, sign in due.signs.items():
            if name not in before or sign != before[name]:
                self._waker(name)()
        return due.snapshot.at

    def _wake_in_time(self, now: float) -> None:
        """Wakes loops whose work is due now, or before the next look."""
        if self._last is None:
            return
        for name, seconds in self._last.seconds.items():
            if name not in self._resting:
                continue
            left = self._last.snapshot.at + seconds - now
            if left <= 0:
                self._waker(name)()
            elif left < LOOK_SECONDS:
                asyncio.get_running_loop().call_later(left, self._waker(name))


def _always() -> bool:
    """Default of what says whether a resting loop may rest."""
    return True
