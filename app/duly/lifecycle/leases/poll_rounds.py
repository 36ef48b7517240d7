"""Polls of workers over HTTP, and the rounds of claims that serve them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from duly.domain.job import ClaimedJob, Lane, LeaseFacts
from duly.lifecycle.claim.claim import LARGEST_CLAIM
from duly.store.queue.lease_plan import LeasePlan


@dataclass(frozen=True, slots=True)
class LaneFilter:
    """Lanes that a worker claims from. `queues` is None for all queues of the tenant."""

    tenant_id: int
    types: frozenset[str]
    queues: frozenset[str] | None

    def includes(self, lane: Lane) -> bool:
        """Returns whether jobs of this lane may be claimed."""
        return (
            lane.tenant_id == self.tenant_id
            and lane.type in self.types
            and (self.queues is None or lane.queue in self.queues)
        )


class LeaseTerms(NamedTuple):
    """Terms of a poll: number of jobs, length of their leases, and the worker."""

    limit: int
    lease_seconds: int
    worker_name: str | None = None
    key_id: str | None = None


@dataclass(slots=True, eq=False)
class Poll:
    """Parked poll.

    Attributes:
        left: its request stopped waiting while a claim for it was in progress.
        taken: its client got the jobs.
    """

    lanes: LaneFilter
    terms: LeaseTerms
    jobs: asyncio.Future[list[ClaimedJob]]
    left: bool = False
    taken: bool = False


class PollRound:
    """One claim for several polls, by one statement or several: its jobs go to the polls in the order in which they
    were parked.
    """

    def __init__(self, polls: Sequence[Poll]) -> None:
        self.polls = polls
        self.assigned: list[list[ClaimedJob]] = [[] for _ in polls]

    @property
    def room(self) -> int:
        """Number of jobs to claim."""
        return min(sum(poll.terms.limit for poll in self.polls), LARGEST_CLAIM)

    def plan(self) -> LeasePlan:
        """Returns the leases of the next statement, for the jobs that the polls still lack."""
        lacking = (poll.terms.limit - len(jobs) for poll, jobs in zip(self.polls, self.assigned, strict=True))
        firsts = list(accumulate(lacking, initial=1))[:-1]
        _, seconds, names, keys = zip(*(poll.terms for poll in self.polls), strict=True)
        return LeasePlan(firsts, seconds, names, keys)

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Assigns the jobs of a statement to the polls whose leases it recorded for them."""
        for job in jobs:
            self.assigned[lease_of(job).plan_index].append(job)


def lease_of(job: ClaimedJob) -> LeaseFacts:
    """Returns the facts of the lease of a job that was claimed for a worker over HTTP."""
    if job.lease is None:
        raise ValueError(f"job {job.job_id} was not claimed for a worker over HTTP")
    return job.lease
