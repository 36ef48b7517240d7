"""Claims ready jobs for this node, many in a statement: by priority, then age, and within the limits."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from uuid import UUID

from duly.domain.job import DEFAULT_TENANT, ClaimedJob, Finished, Lane
from duly.lifecycle.claim.claim_restrictions import ClaimRestrictions
from duly.lifecycle.claim.ready_lanes import ReadyLanes
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.round_size import RoundSize
from duly.lifecycle.writes.set_aside import forget_refusals, note_refusal
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.queue.claim_limited import ClaimLimits, LimitedClaim, claim_limited
from duly.store.queue.flow_control import read_control
from duly.store.queue.ready import LaneStart, claim_ready, find_first_ready, find_lanes
from duly.store.queue.running import find_held
from duly.store.queue.set_aside import Stage
from duly.telemetry.metrics import Metrics

# Interval of the regular look at `ready`; between looks, wake-ups and this node's own submissions are enough.
LOOK_SECONDS = 1.0
LARGEST_CLAIM = 500
# Interval of tries while limits are reached by jobs of other nodes: the delay until their ends are noticed.
FULL_SECONDS = 0.1
LONGEST_REST_SECONDS = 5.0
# Delay after another node was starting jobs under the same limits, which takes a millisecond or two.
CONTENDED_SECONDS = 0.01


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
        self._in_processes = frozenset(in_processes)
        self._in_this_process = frozenset(types) - self._in_processes
        self.free_processes: Callable[[], int] = lambda: 0
        self._looked_at = float("-inf")
        self._round_size: RoundSize[UUID] = RoundSize(metrics, most=LARGEST_CLAIM, statement="claim")
        self.lanes = ReadyLanes()
        self.restrictions = ClaimRestrictions(guarded)

    @property
    def version(self) -> int:
        """Version of the claim restrictions that this node knows."""
        return self.restrictions.version

    async def claim(self, limit: int, *, node_id: UUID, source: str) -> list[ClaimedJob]:
        """Claims up to `limit` jobs, which are then recorded as running on this node.

        Raises:
            DatabaseOutage: it is not known whether jobs were claimed; if so, `find_running` returns them.
        """
        await self._refresh_if_stale()
        limit = min(limit, LARGEST_CLAIM)
        jobs: list[ClaimedJob] = []
        free = self.free_processes() if self._in_processes else 0
        for limits, starts, needs_process in self._parts(self._types if free > 0 else self._in_this_process):
            room = min(limit - len(jobs), self._round_size.limit)
            if needs_process:
                room = min(room, free - sum(job.type in self._in_processes for job in jobs))
            if room > 0 and (limits is None or not self.restrictions.backing_off(limits)):
                jobs += await self._claim_some(limits, starts, room, node_id=node_id, source=source)
        if jobs:
            self._metrics.recorded(len(jobs), statement="claim")
            self._wakeups.changed([job.job_id for job in jobs])
        if any(job.delivers for job in jobs):
            self._wakeups.deliveries()
        return jobs

    async def _claim_some(
        self, limits: ClaimLimits | None, starts: Sequence[LaneStart], limit: int, *, node_id: UUID, source: str
    ) -> list[ClaimedJob]:
        """Claims from these lanes. Where that is refused, fewer at a time, until the job to blame is found and skipped.

        Raises:
            DatabaseOutage: as `claim`.
        """
        try:
            if limits is None:
                jobs = await self._claim_free(starts, limit, node_id=node_id, source=source)
            else:
                jobs = await self._claim_under(limits, starts, limit, node_id=node_id, source=source)
        except DatabaseOutage:
            raise
        except Exception as error:  # noqa: BLE001  # any error: the other jobs must be started
            self._round_size.limit = limit
            found = self._round_size.refused(await self._first_of(starts) if limit == 1 else [], error)
            if found is not None:
                await note_refusal(self._connection, found, error, stage=Stage.CLAIM, tenant_id=DEFAULT_TENANT)
            return []
        if known := self._round_size.recorded([job.job_id for job in jobs]):
            await forget_refusals(self._connection, known, stage=Stage.CLAIM)
        return jobs

    async def _first_of(self, starts: Sequence[LaneStart]) -> list[UUID]:
        async with self._connection.use() as connection:
            return await find_first_ready(connection, starts, exclude=self._round_size.aside())

    def _parts(self, types: Collection[str]) -> Iterator[tuple[ClaimLimits | None, Sequence[LaneStart], bool]]:
        """Yields the lanes that are claimed together; those of jobs in processes separately (True)."""
        for limits, starts in self.restrictions.claims(self.lanes.plan_reads(types)):
            apart = [start for start in starts if start.lane.type in self._in_processes]
            rest = [start for start in starts if start.lane.type not in self._in_processes] if apart else starts
            parts = [(limits, apart, True), (limits, rest, False)]
            yield from (part for part in (parts if starts[0] in apart else parts[::-1]) if part[1])

    async def _claim_free(
        self, starts: Sequence[LaneStart], limit: int, *, node_id: UUID, source: str
    ) -> list[ClaimedJob]:
        """Claims from lanes without restrictions."""
        async with self._connection.use() as connection:
            jobs = await claim_ready(
                connection,
                starts,
                limit=limit,
                node_id=node_id,
                source=source,
                version=self.version,
                exclude=self._round_size.aside(),
            )
        self.lanes.claimed(starts, jobs, filled=len(jobs) >= limit)
        return jobs

    async def _claim_under(
        self, limits: ClaimLimits, starts: Sequence[LaneStart], limit: int, *, node_id: UUID, source: str
    ) -> list[ClaimedJob]:
        """Claims from lanes under shared limits."""
        async with self._connection.use() as connection:
            claimed = await claim_limited(
                connection,
                starts,
                under=limits,
                tenant_id=DEFAULT_TENANT,
                limit=limit,
                node_id=node_id,
                source=source,
                version=self.version,
                exclude=self._round_size.aside(),
            )
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

    async def _refresh_if_stale(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        await self.refresh()

    async def refresh(self) -> None:
        """Reads which lanes have jobs, and the claim restrictions. Before the first call, no lane is known."""
        self._looked_at = time.monotonic()  # first: a change during the read must be read again
        try:
            async with self._connection.use() as connection:
                control = await read_control(connection, DEFAULT_TENANT)
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
