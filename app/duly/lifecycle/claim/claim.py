"""Claims ready jobs for this node, many in a statement: tenants in turn, each by priority, then age, and within its
limits.
"""

import random
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple, Protocol
from uuid import UUID

from duly.domain.job import ClaimedJob, Finished, Lane
from duly.lifecycle.claim.claim_restrictions import ClaimRestrictions
from duly.lifecycle.claim.claim_round import ClaimPart, ClaimRound
from duly.lifecycle.claim.ready_lanes import ReadyLanes
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.round_size import RoundSize
from duly.lifecycle.writes.set_aside import forget_refusals, note_refusal
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.queue.claim_limited import ClaimLimits, LimitedClaim, claim_limited
from duly.store.queue.flow_control import read_control
from duly.store.queue.lease_plan import LeasePlan
from duly.store.queue.ready import LaneStart, claim_ready, find_first_ready, find_lanes
from duly.store.queue.running import find_held
from duly.store.queue.set_aside import Stage
from duly.telemetry.metrics import Metrics

# Interval of the regular look at `ready`; between looks, wake-ups and this node's own submissions are enough.
LOOK_SECONDS = 1.0
LARGEST_CLAIM = 500
_DELIVERS = attrgetter("delivers")
# Interval of tries while limits are reached by jobs of other nodes: the delay until their ends are noticed.
FULL_SECONDS = 0.1
LONGEST_REST_SECONDS = 5.0
# Delay after another node was starting jobs under the same limits, which takes a millisecond or two.
CONTENDED_SECONDS = 0.01


class LeaseRecipients(Protocol):
    """Workers over HTTP that wait for jobs, in the order in which they get them."""

    def plan(self) -> LeasePlan:
        """Returns the leases that the next statement records."""

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Notes the jobs that it claimed."""


class Claimant(NamedTuple):
    """Node that claims, the source of its events, and the workers over HTTP that get the jobs, if any."""

    node_id: UUID
    source: str
    recipients: LeaseRecipients | None = None

    def plan(self) -> LeasePlan | None:
        """Returns the leases to record with the next statement; None for jobs that run on the node."""
        return None if self.recipients is None else self.recipients.plan()

    def claimed(self, jobs: Sequence[ClaimedJob]) -> None:
        """Notes the jobs that it claimed."""
        if self.recipients is not None:
            self.recipients.claimed(jobs)


class Claimer:
    """Claims jobs for one node, on a connection of its own with pinned plans.

    Args:
        types: the job types that this node can run.
        guarded: the types with a circuit breaker.
        in_processes: the types that run in processes: claimed only for idle processes (`free_processes`), never
            started eagerly.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        types: Collection[str],
        guarded: Collection[str] = (),
        in_processes: Collection[str] = (),
    ) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self._metrics = metrics
        self._types = types
        self._guarded = guarded
        self.types_changed(in_processes)
        self.free_processes: Callable[[], int] = lambda: 0
        self._round_size: RoundSize[UUID] = RoundSize(metrics, most=LARGEST_CLAIM, statement="claim")
        self.lanes = ReadyLanes()

    def types_changed(self, in_processes: Collection[str]) -> None:
        """Applies a change of `types` and `guarded`. `in_processes`: as when it was constructed."""
        self._in_processes = frozenset(in_processes)
        self._in_this_process = frozenset(self._types) - self._in_processes if in_processes else self._types
        self.restrictions = ClaimRestrictions(self._guarded)
        self.invalidate()

    @property
    def version(self) -> int:
        """Version of the claim restrictions that this node knows."""
        return self.restrictions.version

    async def claim(self, limit: int, *, by: Claimant, only: Callable[[Lane], bool] | None = None) -> list[ClaimedJob]:
        """Claims up to `limit` jobs, which are then recorded as running on this node.

        Args:
            limit: number of jobs.
            by: the node, and the workers that get the jobs.
            only: returns whether to claim from a lane; None: from all with jobs of its types.

        Raises:
            DatabaseOutage: it is not known whether jobs were claimed; if so, `find_running` returns them.
        """
        await self.refresh_if_stale()
        free = self.free_processes() if self._in_processes else 0
        parts = list(self._parts(self._types if free > 0 else self._in_this_process, only))
        claims = ClaimRound(parts, limit=min(limit, LARGEST_CLAIM), free_processes=free)
        for part, room in claims.portions():
            if room > 0 and (part.limits is None or not self.restrictions.backing_off(part.limits)):
                claims.add(part, await self._claim_some(part, room, by))
        self._wake(claims.jobs)
        return claims.jobs

    def _wake(self, jobs: Sequence[ClaimedJob]) -> None:
        """Counts claimed jobs, and wakes their followers and the dispatcher."""
        if jobs:
            self._metrics.claimed_jobs(jobs)
            self._wakeups.changed([job.job_id for job in jobs])
        if any(map(_DELIVERS, jobs)):
            self._wakeups.deliveries()

    async def _claim_some(self, part: ClaimPart, room: int, by: Claimant) -> list[ClaimedJob]:
        """Claims from these lanes. Where that is refused, fewer at a time, until the job to blame is found and skipped.

        Raises:
            DatabaseOutage: as `claim`.
        """
        limits, starts, _ = part
        limit = min(room, self._round_size.limit)
        try:
            if limits is None:
                jobs = await self._claim_free(starts, limit, by)
            else:
                jobs = await self._claim_under(limits, starts, limit, by)
        except DatabaseOutage:
            raise
        except Exception as error:  # noqa: BLE001  # any error: the other jobs must be started
            self._round_size.limit = limit
            await self._blame(await self._first_of(starts) if limit == 1 else None, error)
            return []
        if known := self._round_size.recorded([job.job_id for job in jobs]):
            await forget_refusals(self._connection, known, stage=Stage.CLAIM)
        return jobs

    async def _blame(self, first: tuple[int, UUID] | None, error: Exception) -> None:
        """Notes a refused claim, of this job (tenant, job) if it was the only one."""
        found = self._round_size.refused([] if first is None else [first[1]], error)
        if first is not None and found is not None:
            await note_refusal(self._connection, found, error, stage=Stage.CLAIM, tenant_id=first[0])

    async def _first_of(self, starts: Sequence[LaneStart]) -> tuple[int, UUID] | None:
        async with self._connection.use() as connection:
            return await find_first_ready(connection, starts, exclude=self._round_size.aside())

    def _parts(self, types: Container[str], only: Callable[[Lane], bool] | None) -> Iterator[ClaimPart]:
        """Yields the lanes that are claimed together; those of jobs in processes separately."""
        reads = self.lanes.plan_reads(types)
        if only is not None:
            reads = [start for start in reads if only(start.lane)]
        for limits, starts in self.restrictions.claims(reads):
            apart = [start for start in starts if start.lane.type in self._in_processes]
            rest = [start for start in starts if start.lane.type not in self._in_processes] if apart else starts
            parts = [ClaimPart(limits, apart, needs_process=True), ClaimPart(limits, rest)]
            yield from (part for part in (parts if starts[0] in apart else parts[::-1]) if part.starts)

    async def _claim_free(self, starts: Sequence[LaneStart], limit: int, by: Claimant) -> list[ClaimedJob]:
        """Claims from lanes without restrictions."""
        async with self._connection.use() as connection:
            jobs = await claim_ready(
                connection,
                starts,
                limit=limit,
                node_id=by.node_id,
                source=by.source,
                version=self.version,
                exclude=self._round_size.aside(),
                leases=by.plan(),
            )
        by.claimed(jobs)
        self.lanes.claimed(starts, jobs, filled=len(jobs) >= limit)
        return jobs

    async def _claim_under(
        self, limits: ClaimLimits, starts: Sequence[LaneStart], limit: int, by: Claimant
    ) -> list[ClaimedJob]:
        """Claims from lanes under shared limits."""
        async with self._connection.use() as connection:
            claimed = await claim_limited(
                connection,
                starts,
                under=limits,
                limit=limit,
                node_id=by.node_id,
                source=by.source,
                version=self.version,
                exclude=self._round_size.aside(),
                leases=by.plan(),
            )
        by.claimed(claimed.jobs)
        if claimed.room:
            self.lanes.claimed(starts, claimed.jobs, filled=len(claimed.jobs) >= claimed.room)
        self._back_off(limits, claimed)
        return claimed.jobs

    def _back_off(self, limits: ClaimLimits, claimed: LimitedClaim) -> None:
        """Sets when these limits are tried again."""
        jitter = random.uniform(0.75, 1)  # noqa: S311  # not a secret
        if not claimed.current:
            self.invalidate()
        if claimed.contended or not claimed.current:
            self.restrictions.back_off(limits, CONTENDED_SECONDS * jitter)
        elif claimed.full or claimed.wait_seconds:
            least = FULL_SECONDS * jitter if claimed.full else 0.0
            self.restrictions.back_off(
                limits, min(max(least, claimed.wait_seconds), LONGEST_REST_SECONDS), full=claimed.full
            )

    async def refresh_if_stale(self) -> None:
        """Calls `refresh` if the last one is a second ago, or `invalidate` was called."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        await self.refresh()

    async def refresh(self) -> None:
        """Reads which lanes have jobs, and the claim restrictions. Before the first call, no lane is known."""
        self._looked_at = time.monotonic()  # first: a change during the read must be read again
        try:
            async with self._connection.use() as connection:
                control = await read_control(connection)
                found = await find_lanes(connection)
        except BaseException:
            self.invalidate()
            raise
        self.restrictions.update(control)
        self.lanes.replace(found)
        for job_type in self._guarded:
            self._metrics.breaker_open.labels(job_type).set(self.restrictions.breaker_open(job_type))

    def invalidate(self) -> None:
        """Makes the next claim call `refresh` first."""
        self._looked_at = float("-inf")

    async def find_running(self, node_id: UUID, *, older_than_seconds: float) -> dict[UUID, int]:
        """Returns the jobs recorded as running on this node for at least this time, with their lease tokens. No claim
        may be in progress.
        """
        async with self._connection.use() as connection:
            return await find_held(connection, node_id, older_than_seconds=older_than_seconds)

    def may_start(self, lane: Lane) -> bool:
        """Returns True if a job of this lane may start here in the transaction that inserts it."""
        return lane.type in self._in_this_process and self.restrictions.unrestricted(lane)

    @property
    def may_find_jobs(self) -> bool:
        """True if a claim may find jobs now, as far as this node knows."""
        types = self._types if not self._in_processes or self.free_processes() > 0 else self._in_this_process
        if not self.restrictions.any:
            return self.lanes.any_of(types)
        return any(map(self.restrictions.worth_trying, self.lanes.known(types)))

    @property
    def knows_none(self) -> bool:
        """True if no lane is known to have jobs of the types of this node, whatever restricts them."""
        return not self.lanes.any_of(self._types)

    @property
    def wants_processes(self) -> bool:
        """True if jobs are ready that need a process."""
        return any(map(self.restrictions.worth_trying, self.lanes.known(self._in_processes)))

    @property
    def rest_seconds(self) -> float:
        """Seconds until a claim may find jobs that limits hold back, if no wake-up comes before."""
        at_most = LOOK_SECONDS * random.uniform(0.75, 1)  # noqa: S311  # jitter
        if not self.restrictions.any:
            return at_most
        return self.restrictions.seconds_to_next(self.lanes.known(self._types), at_most=at_most)

    def ended(self, finished: Iterable[Finished]) -> bool:
        """Notes ended attempts. Returns True if a claim may now find jobs that limits held back."""
        return self.restrictions.any and self.restrictions.ended(done.lane for done in finished)
