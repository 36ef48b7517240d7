"""Eager start: a job that may run at once, where a slot of this very process is free, is recorded as running already.

One durable transaction instead of two, and no look at `ready`. Claiming remains for all else.
"""

from collections.abc import Sequence
from typing import Protocol, Self
from uuid import UUID

from duly.domain.job import ClaimedJob, NewJob
from duly.store.submit.jobs import Starting


class Starter(Protocol):
    """What an eager start needs of the worker in this process."""

    def reserve(self, wanted: int) -> int:
        """Holds up to `wanted` slots; none while older work waits. Each is then used by `start` or given back."""

    def may_start(self, job: NewJob) -> bool:
        """Whether nothing that is known holds jobs like this one back."""

    def identity(self) -> tuple[UUID, str, int]:
        """The node in whose name jobs run here, how it signs their events, and the version of what holds claims back
        that it knows.
        """

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Runs these, which are recorded as running here, in slots that were reserved."""

    def release_slots(self, reserved: int) -> None:
        """These slots are not needed after all."""

    def response_lost(self) -> None:
        """Jobs may stand as running here that were never handed over."""


class NoStarter:
    """Where this process runs no jobs."""

    def reserve(self, wanted: int) -> int:
        del wanted
        return 0

    def may_start(self, job: NewJob) -> bool:
        del job
        return False

    def identity(self) -> tuple[UUID, str, int]:
        return UUID(int=0), "", 0

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Nothing was reserved, so nothing comes."""

    def release_slots(self, reserved: int) -> None:
        """Nothing was reserved."""

    def response_lost(self) -> None:
        """Nothing was started."""


class EagerStart:
    """The jobs of one flush that start here: chosen before it is recorded, started once it is. What was chosen and did
    not start by the end of the block gives its slots back: it was not recorded, or nobody knows.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._chosen: list[NewJob] = []
        self.delivers = False

    @property
    def job_ids(self) -> set[UUID]:
        return {job.job_id for job in self._chosen}

    def choose(self, jobs: Sequence[NewJob]) -> Starting | None:
        """The oldest of those that wait for nothing, as many as slots can be had."""
        may = [_waits_for_nothing(job) and self._starter.may_start(job) for job in jobs]
        free = self._starter.reserve(sum(may))
        if not free:
            return None
        starts = []
        for job, it_may in zip(jobs, may, strict=True):
            starts.append(it_may and len(self._chosen) < free)
            if starts[-1]:
                self._chosen.append(job)
        return Starting(*self._starter.identity(), starts)

    def go(self) -> int:
        """They are durable: from here on the worker has them. Returns how many."""
        chosen, self._chosen = self._chosen, []
        self._starter.start([_first_attempt(job) for job in chosen])
        return len(chosen)

    def release_slots(self) -> None:
        self._starter.release_slots(len(self._chosen))
        self._chosen = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release_slots()


def _waits_for_nothing(job: NewJob) -> bool:
    return job.run_at is None and not job.delay_seconds


def _first_attempt(job: NewJob) -> ClaimedJob:
    """What a claim would have returned."""
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
