"""Keeps recorded deadlines in step with those of running attempts, which count from the handler's call.

An attempt whose call starts late (its batch lingers, its process is slow) would otherwise be ended too early by a
sweeper.
"""

import asyncio
from collections.abc import Iterable

from duly.store.postgres.database import Database
from duly.store.queue.running import Deadline, move_deadlines_if_held
from duly.worker.attempt import Attempt

# Smallest change that is recorded: sweepers give a node more time than this beyond a recorded deadline.
LEAST_SECONDS = 1.0


class AttemptDeadlines:
    """Records changed deadlines of one node's attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._moved: list[Deadline] = []
        self._arrived = asyncio.Event()

    def collect_moved(self, attempts: Iterable[Attempt], now: float) -> None:
        """Collects the attempts whose deadline has changed; `now` is by the event loop's clock."""
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
        """Runs one round of its loop: waits for changed deadlines and records them."""
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
