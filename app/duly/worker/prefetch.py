"""Prefetches claimed jobs while jobs are brisk, so that no slot waits for a claim."""

import time
from collections import deque
from collections.abc import Container, Sequence
from uuid import UUID

from duly.domain.job import ClaimedJob

# Longest mean run time of brisk jobs: longer ones keep a slot busy for many claims, and other nodes could run them.
BRISK_SECONDS = 0.02
_WEIGHT = 0.05
# Brisk jobs may be followed by long ones: jobs that then wait longer than this are requeued.
STALE_SECONDS = 0.5
# Longest wait of a single job, even if others move: its recorded deadline counts from its claim.
LONGEST_SECONDS = 2.0


class Prefetch:
    """Claimed jobs that wait for a slot: at most one round of them, and only while jobs are brisk."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._waiting: deque[ClaimedJob] = deque()
        self._mean_seconds = 1.0
        self._moved_at = 0.0
        self._claimed_at: deque[float] = deque()

    def observe(self, seconds: float) -> None:
        """Adds the run time of an attempt to the mean."""
        self._mean_seconds += _WEIGHT * (seconds - self._mean_seconds)

    def room(self, free: int) -> int:
        """Returns how many jobs to claim with this number of free slots. For brisk jobs many at once or none: half a
        round waits here meanwhile, and a claim of few costs as much as a claim of many.
        """
        if self._mean_seconds > BRISK_SECONDS:
            return free - len(self._waiting)
        room = free + self._slots - len(self._waiting)
        return room if room > self._slots // 2 else 0

    def spare(self, free: int) -> int:
        """Returns how many single jobs can be accepted with this number of free slots."""
        brisk = self._mean_seconds <= BRISK_SECONDS
        return free + (self._slots if brisk else 0) - len(self._waiting)

    def put(self, jobs: Sequence[ClaimedJob]) -> None:
        """Adds claimed jobs."""
        self._moved_at = time.monotonic()
        self._waiting.extend(jobs)
        self._claimed_at.extend([self._moved_at] * len(jobs))

    def take(self) -> ClaimedJob | None:
        """Removes and returns the job that has waited longest."""
        if not self._waiting:
            return None
        self._moved_at = time.monotonic()
        self._claimed_at.popleft()
        return self._waiting.popleft()

    def take_stale(self) -> list[ClaimedJob]:
        """Removes and returns all jobs, if none got a slot for half a second or one has waited for two seconds."""
        if not self._waiting:
            return []
        now = time.monotonic()
        if now - self._moved_at < STALE_SECONDS and now - self._claimed_at[0] < LONGEST_SECONDS:
            return []
        self._mean_seconds = 1.0
        stale = list(self._waiting)
        self._waiting.clear()
        self._claimed_at.clear()
        return stale

    def take_one(self, job_id: UUID) -> ClaimedJob | None:
        """Removes and returns this job, if it waits here."""
        for place, job in enumerate(self._waiting):
            if job.job_id == job_id:
                del self._waiting[place], self._claimed_at[place]
                return job
        return None

    def count(self, types: Container[str]) -> int:
        """Returns the number of jobs of these types that wait here."""
        return sum(job.type in types for job in self._waiting)

    def __contains__(self, job_id: object) -> bool:
        return any(job.job_id == job_id for job in self._waiting)

    def __len__(self) -> int:
        return len(self._waiting)
