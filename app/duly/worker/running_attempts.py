"""The attempts in progress on a node, and how many are stopped at once."""

import asyncio
from uuid import UUID

from duly.domain.outcome import Outcome, TimedOut
from duly.worker.attempt import Attempt


class RunningAttempts(dict[UUID, Attempt]):
    """Attempts of one worker that have not ended, by job; parked ones as well."""

    @property
    def in_processes(self) -> int:
        """Number of attempts that run in processes."""
        return sum(attempt.handler.isolation == "process" for attempt in self.values())

    def stop_late(self, now: float) -> None:
        """Stops attempts past their deadline.

        Args:
            now: time by the event loop's clock, in seconds.
        """
        for attempt in list(self.values()):
            if attempt.deadline <= now and not attempt.awaits_call:
                attempt.stop(TimedOut(attempt.claimed.timeout_seconds))

    def stop_all(self, why: Outcome) -> None:
        """Stops all attempts with this outcome."""
        for attempt in list(self.values()):
            attempt.stop(why)

    async def left_after(self, seconds: float) -> list[Attempt]:
        """Waits until all have ended, at most this time. Returns those that have not."""
        tasks = [attempt.task for attempt in self.values() if attempt.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return list(self.values())
