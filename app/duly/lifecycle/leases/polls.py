"""Leases ready jobs to workers over HTTP: parks their polls without a database connection, and claims in rounds.

A round claims once for all polls with the same filter. A new job therefore costs one claim, however many polls wait for
it, and the poll that has waited longest gets it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING
from uuid import UUID

from duly.domain.job import ClaimedJob, Finished, Lane
from duly.domain.outcome import NOT_CHARGED, AttemptFacts, Interrupted, decide
from duly.domain.retry import DEFAULT_RETRY
from duly.lifecycle.claim.claim import LARGEST_CLAIM, Claimant, Claimer
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.leases.poll_rounds import LaneFilter, LeaseTerms, Poll, PollRound, lease_of
from duly.store.postgres.database import Database
from duly.store.queue.leases import find_leased_since
from duly.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from datetime import datetime

# Without a poll nothing is claimed; a new one wakes the loop.
IDLE_SECONDS = 60.0
# Longest wait of a poll for the first look at its lanes, if it asked for a shorter one.
FIRST_LOOK_SECONDS = 5.0
# Lanes noted from wake-ups while no poll asks for them.
MOST_NOTED = 1_000
UNDELIVERED = "its worker did not wait for the response"
NOBODY: frozenset[Poll] = frozenset()


class LeasePolls:
    """Parked polls of one node; `step` is run by a loop.

    Args:
        guarded: job types with a circuit breaker.
        identity: returns the id of the node and the source of its events.
        wake: wakes the loop.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        finisher: Finisher,
        *,
        guarded: Collection[str],
        identity: Callable[[], tuple[UUID, str]],
        wake: Callable[[], None],
    ) -> None:
        self._groups: dict[LaneFilter, dict[Poll, None]] = {}
        self._by_type: defaultdict[str, set[LaneFilter]] = defaultdict(set)
        self.claimer = Claimer(database, wakeups, metrics, types=self._by_type, guarded=guarded)
        self._database = database
        self._finisher = finisher
        self._metrics = metrics
        self._identity = identity
        self._wake = wake
        self._serving = NOBODY
        self._closed = False
        self._next_look: asyncio.Future[None] | None = None
        # The node whose last claim got no answer, and the start of the newest attempt of a claim that did.
        self._unanswered: UUID | None = None
        self._newest: datetime | None = None

    def __len__(self) -> int:
        """Returns the number of parked polls."""
        return sum(map(len, self._groups.values()))

    async def claim(
        self, lanes: LaneFilter, terms: LeaseTerms, *, seconds: float, gone: asyncio.Future[None]
    ) -> list[ClaimedJob]:
        """Returns claimed jobs, after at most some seconds; none if there are none, or the node shuts down.

        A poll that does not wait ends after one look at its lanes.

        Args:
            lanes: the lanes to claim from.
            terms: number of jobs, and their leases.
            seconds: time to wait for a job.
            gone: done once the client has left; its jobs are then released.
        """
        poll, look = self._park(lanes, terms), self._following_look()
        first = asyncio.FIRST_COMPLETED
        try:
            await asyncio.wait((poll.jobs, gone), timeout=seconds, return_when=first)
            await asyncio.wait((poll.jobs, gone, look), timeout=FIRST_LOOK_SECONDS, return_when=first)
            if not poll.jobs.done() and self._leave(poll):
                return []
            jobs = await poll.jobs
            poll.taken = not gone.done()
            return jobs if poll.taken else []
        finally:
            self._drop(poll)

    def _park(self, lanes: LaneFilter, terms: LeaseTerms) -> Poll:
        """Parks a poll; its future gets the jobs, or none if the node shuts down."""
        poll = Poll(lanes, terms, asyncio.get_running_loop().create_future())
        if self._closed:
            poll.jobs.set_result([])
            return poll
        group = self._groups.setdefault(lanes, {})
        if not group:
            for job_type in lanes.types:
                self._by_type[job_type].add(lanes)
        group[poll] = None
        self._wake()
        return poll

    def _following_look(self) -> asyncio.Future[None]:
        """Returns a future that is done after the next step."""
        if self._next_look is None:
            self._next_look = asyncio.get_running_loop().create_future()
        return self._next_look

    def _leave(self, poll: Poll) -> bool:
        """Removes a poll that waits no longer. Returns False if a claim in progress is about to set its future."""
        if poll in self._serving:
            poll.left = True
            return False
        self._remove(poll)
        return True

    def _drop(self, poll: Poll) -> None:
        """Removes a poll for good, and releases jobs that its client did not take."""
        self._remove(poll)
        if not poll.jobs.done():
            poll.jobs.cancel()
        elif not poll.taken and not poll.jobs.cancelled():
            self.release(poll.jobs.result())

    def _remove(self, poll: Poll) -> None:
        group = self._groups.get(poll.lanes, {})
        group.pop(poll, None)
        if not group and self._groups.pop(poll.lanes, None) is not None:
            for job_type in poll.lanes.types:
                self._by_type[job_type].discard(poll.lanes)
                if not self._by_type[job_type]:
                    del self._by_type[job_type]

    def note_ready(self, lane: Lane, oldest: UUID) -> None:
        """Notes that this lane has new jobs, none older than `oldest`."""
        if self.claimer.lanes.noted < MOST_NOTED:
            self.claimer.lanes.note(lane, oldest)
        else:
            self.claimer.invalidate()
        if any(lanes.includes(lane) for lanes in self._by_type.get(lane.type, ())):
            self._wake()

    def restrictions_changed(self) -> None:
        """Notes changed claim restrictions."""
        self.claimer.invalidate()
        if self._groups:
            self._wake()

    def ended(self, finished: Sequence[Finished]) -> None:
        """Claims again where limits kept jobs waiting for an end."""
        if self.claimer.ended(finished) and self._groups:
            self._wake()

    async def step(self) -> float:
        """Looks once for all parked polls. Returns the seconds until the next look."""
        look, self._next_look = self._next_look, None
        try:
            return await self._look()
        finally:
            if look is not None:
                look.set_result(None)

    async def _look(self) -> float:
        """Runs one round for each filter whose lanes may have jobs. Returns the seconds until the next."""
        self._metrics.lease_polls.set(len(self))
        if self._unanswered is not None:
            await self._release_unanswered(self._unanswered)
        if not self._groups:
            return IDLE_SECONDS
        await self.claimer.refresh_if_stale()
        for lanes in self._wanted():
            if await self._serve(lanes) and lanes in self._groups:
                self._groups[lanes] = self._groups.pop(lanes)  # next time, others come first
        return 0 if self._wanted() else self.claimer.rest_seconds

    def _wanted(self) -> list[LaneFilter]:
        """Returns the filters with a lane that may have jobs now, least recently served first."""
        claimer, order = self.claimer, {lanes: place for place, lanes in enumerate(self._groups)}
        found = {
            lanes
            for lane in claimer.lanes.known(self._by_type)
            if claimer.restrictions.worth_trying(lane)
            for lanes in self._by_type[lane.type]
            if lanes.includes(lane)
        }
        return sorted(found, key=order.__getitem__)

    async def _serve(self, lanes: LaneFilter) -> bool:
        """Claims for the polls with this filter, and gives them the jobs. Returns whether there were any."""
        polls = list(islice(self._groups.get(lanes, ()), LARGEST_CLAIM))
        if not polls:
            return False
        round_, self._serving = PollRound(polls), frozenset(polls)
        node_id, source = self._identity()
        claimed = False
        try:
            await self.claimer.claim(round_.room, by=Claimant(node_id, source, round_), only=lanes.includes)
            claimed = True
        except BaseException:
            # It is not known what was claimed: the release is fenced by the lease token.
            self._unanswered = node_id
            self.release(chain.from_iterable(round_.assigned))
            raise
        finally:
            self._serving = NOBODY
            try:
                self._deliver(round_, claimed=claimed)
            finally:  # no request waits forever, whatever failed
                for poll in polls:
                    if poll.left and not poll.jobs.done():
                        poll.jobs.set_result([])
        return any(round_.assigned)

    def _deliver(self, round_: PollRound, *, claimed: bool) -> None:
        """Gives each poll its jobs, and releases those whose poll has left. If the claim failed, there are none."""
        for poll, jobs in zip(round_.polls, round_.assigned, strict=True):
            if jobs:
                newest = max(lease_of(job).started_at for job in jobs)
                self._newest = max(self._newest or newest, newest)
            given = jobs if claimed else []
            if not (given or poll.left):
                continue
            self._remove(poll)
            if poll.jobs.done():  # its request was cancelled
                self.release(given)
            else:
                poll.jobs.set_result(given)

    async def _release_unanswered(self, node_id: UUID) -> None:
        """Releases what a claim without an answer may have recorded: attempts newer than those of answered claims.

        A statement that is still running then is not seen: its jobs run again when their leases expire.
        """
        async with self._database.background() as connection:
            found = await find_leased_since(connection, node_id, self._newest)
        self._unanswered = None
        for job_id, token in found.items():
            self._release(AttemptFacts(job_id, token, attempt=NOT_CHARGED, max_attempts=1))

    def release(self, jobs: Iterable[ClaimedJob]) -> None:
        """Requeues jobs whose worker did not get them, without counting the attempt."""
        for job in jobs:
            self._release(AttemptFacts(job.job_id, job.token, job.attempt, job.max_attempts, crashes=job.crashes))

    def _release(self, facts: AttemptFacts) -> None:
        self._finisher.put(decide(Interrupted(UNDELIVERED), facts, policy=DEFAULT_RETRY, random=float))

    def close(self) -> None:
        """Answers all parked polls with no jobs, except those of a claim in progress, and parks no more."""
        self._closed = True
        for group in list(self._groups.values()):
            for poll in list(group):
                if self._leave(poll) and not poll.jobs.done():
                    poll.jobs.set_result([])
