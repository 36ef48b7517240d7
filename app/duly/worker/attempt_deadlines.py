"""Deadlines: keeps those that are recorded in step with those that attempts run under, which count from the call.

An attempt whose call begins late (its batch lingers, its process is slow) would else be ended by a sweeper too early.
"""

import asyncio
from collections.abc import Iterable

from duly.store.postgres.database import Database
from duly.store.queue.running import Deadline, move_deadlines_if_held
from duly.worker.attempt import Attempt

# Sweepers leave a node more time than this beyond a recorded deadline: less is not worth a statement.
LEAST_SECONDS = 1.0


class AttemptDeadlines:
    """Records the deadlines of one node's attempts where they have moved."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._moved: list[Deadline] = []
        self._arrived = asyncio.Event()

    def collect_moved(self, attempts: Iterable[Attempt], now: float) -> None:
        """Notes which deadlines have moved; `now` is by the event loop's clock."""
        for attempt in attempts:
            moved = attempt.deadline - attempt.recorded_deadline
            if attempt.begun and abs(moved) > LEAST_SECONDS:
                attempt.recorded_deadline = attempt.deadline
                self._moved.append(
                    Deadline(attempt.claimed.job_id, attempt.claimed.token, max(attempt.deadline - now, 0.0))
                )
        if self._moved:
            self._arrived.set()

    async def step(self) -> float:
        """One round of its loop: waits for moved deadlines and records them."""
        await self._arrived.wait()
        self._arrived.clear()
        moved, self._moved = self._moved, []
        newest = {deadline.job_id: deadline for deadline in moved}
        try:
            async with self._database.background() as connection:
                await move_deadlines_if_held(connection, list(newest.values()))
        except BaseException:
            self._moved = moved + self._moved
            self._arrived.set()
            raise
        return 0
