"""Eager start: records a job as running in the transaction that inserts it, if a slot of this process is free.

One durable transaction instead of two, and no read of `ready`. All other jobs are claimed.
"""

from collections.abc import Sequence
from typing import Protocol, Self
from uuid import UUID

from duly.domain.job import ClaimedJob, NewJob
from duly.store.submit.jobs import Starting


class Starter(Protocol):
    """Interface of the worker in this process for eager starts."""

    def reserve(self, wanted: int) -> int:
        """Reserves up to `wanted` slots, none while older jobs wait. Each is then used by `start`, or released."""

    def may_start(self, job: NewJob) -> bool:
        """Returns True if no known restriction keeps jobs like this one from being claimed."""

    def identity(self) -> tuple[UUID, str, int]:
        """Returns the node id and event source under which jobs run here, and the version of the claim restrictions
        that the worker knows.
        """

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Runs jobs that are recorded as running here, in slots that were reserved."""

    def release_slots(self, reserved: int) -> None:
        """Releases reserved slots that are not used."""

    def response_lost(self) -> None:
        """Reports that jobs may be recorded as running here without having been passed to `start`."""


class NoStarter:
    """Starter of a process without a worker."""

    def reserve(self, wanted: int) -> int:
        """Reserves no slot."""
        del wanted
        return 0

    def may_start(self, job: NewJob) -> bool:
        """Returns False."""
        del job
        return False

    def identity(self) -> tuple[UUID, str, int]:
        """Returns a node id that is never used."""
        return UUID(int=0), "", 0

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Ignores the jobs: no slot was reserved."""

    def release_slots(self, reserved: int) -> None:
        """Ignores the slots: none was reserved."""

    def response_lost(self) -> None:
        """Ignores it: no job was started."""


class EagerStart:
    """The jobs of one flush that start here: chosen before the flush is recorded, started after.

    Leaving the block releases the slots of jobs that were chosen and not started: they were not recorded, or it is not
    known whether they were.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._reserved = 0
        self._chosen: list[NewJob] = []
        self.delivers = False

    @property
    def job_ids(self) -> set[UUID]:
        """Ids of the chosen jobs."""
        return {job.job_id for job in self._chosen}

    def choose(self, jobs: Sequence[NewJob]) -> Starting | None:
        """Chooses the oldest jobs without a delay, one for each slot that can be reserved."""
        self._reserved = self._starter.reserve(len(jobs))
        if not self._reserved:
            return None
        starts = []
        for job in jobs:
            free = len(self._chosen) < self._reserved
            starts.append(free and _waits_for_nothing(job) and self._starter.may_start(job))
            if starts[-1]:
                self._chosen.append(job)
        self._release_all_but(len(self._chosen))
        return Starting(*self._starter.identity(), starts) if self._chosen else None

    def go(self) -> list[NewJob]:
        """Starts the chosen jobs, which are durable now. Returns them."""
        chosen, self._chosen, self._reserved = self._chosen, [], 0
        self._starter.start([_first_attempt(job) for job in chosen])
        return chosen

    def release_slots(self) -> None:
        """Releases the slots of the chosen jobs and starts none of them."""
        self._chosen = []
        self._release_all_but(0)

    def _release_all_but(self, kept: int) -> None:
        released, self._reserved = self._reserved - kept, kept
        if released:
            self._starter.release_slots(released)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release_slots()


def _waits_for_nothing(job: NewJob) -> bool:
    return job.run_at is None and not job.delay_seconds


def _first_attempt(job: NewJob) -> ClaimedJob:
    """Returns the job as a claim would have returned it."""
    return ClaimedJob(
        tenant_id=job.tenant_id,
        job_id=job.job_id,
        token=1,
        attempt=1,
        sequence=1,
        crashes=0,
        type=job.type,
        queue=job.queue,
        priority=job.priority,
        timeout_seconds=job.timeout_seconds,
        max_attempts=job.max_attempts,
        parameters=job.parameters,
        labels=job.labels,
        correlation_id=job.correlation_id,
        traceparent=job.traceparent,
    )
