"""A node's copy of the lanes in `ready`: which have jobs, and the id from which each is worth reading."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from duly.domain.ids import earlier
from duly.domain.job import ClaimedJob, Lane
from duly.store.queue.ready import LaneStart

# Ids are made on many nodes and committed out of order: a lane is read from this long before the newest claimed id.
SLACK_SECONDS = 0.2
# Lanes in a claim of several tenants, divided among them; further ones take part in the next.
MOST_LANES = 1_000


@dataclass(slots=True)
class _Served:
    """Last plan in which jobs of a tenant were claimed, and the number of such plans."""

    plan: int = 0
    plans: int = 0


class ReadyLanes:
    """Lanes that may have jobs. Wake-ups add lanes, claims that find fewer jobs than they could take remove them, and a
    regular look at the table corrects them.
    """

    def __init__(self) -> None:
        self._floors: dict[Lane, UUID] = {}
        self._noted: dict[Lane, UUID] = {}
        self._served: dict[int, _Served] = {}
        self._plan = 0

    def note(self, lane: Lane, oldest: UUID) -> None:
        """Adds a lane that has new jobs, none older than `oldest`."""
        self._noted[lane] = min(self._noted.get(lane, oldest), oldest)

    @property
    def noted(self) -> int:
        """Number of lanes noted since the last plan."""
        return len(self._noted)

    def plan_reads(self, types: Container[str]) -> list[LaneStart]:
        """Returns the lanes to read now, tenant by tenant: first the one that was served longest ago.

        Within a tenant: by priority; queues take turns; within a queue, older jobs first.
        """
        for lane, oldest in self._noted.items():
            self._floors[lane] = min(self._floors.get(lane, oldest), oldest)
        self._noted.clear()
        self._plan += 1
        known = [LaneStart(lane, floor) for lane, floor in self._floors.items() if lane.type in types]
        if len(known) < 2:  # noqa: PLR2004  # nothing to order
            return known
        tenants: dict[int, list[LaneStart]] = {}
        for start in known:
            tenants.setdefault(start.lane.tenant_id, []).append(start)
        if len(tenants) == 1:
            return self._in_order(known)
        longest_ago = sorted(tenants, key=lambda tenant: (self._served_of(tenant).plan, tenant))[:MOST_LANES]
        most = max(1, MOST_LANES // len(longest_ago))
        return [start for tenant in longest_ago for start in self._in_order(tenants[tenant])[:most]]

    def _in_order(self, starts: Sequence[LaneStart]) -> list[LaneStart]:
        """Returns the lanes of one tenant in the order in which they are read."""
        plans = self._served_of(starts[0].lane.tenant_id).plans
        queues = sorted({start.lane.queue for start in starts})
        turn = {queue: (index + plans) % len(queues) for index, queue in enumerate(queues)}
        return sorted(starts, key=lambda start: (-start.lane.priority, turn[start.lane.queue], start.floor))

    def _served_of(self, tenant_id: int) -> _Served:
        return self._served.get(tenant_id, _NEVER)

    def claimed(self, reads: Sequence[LaneStart], jobs: Sequence[ClaimedJob], *, filled: bool) -> None:
        """Notes the result of a claim over these lanes; `filled` if it took as many jobs as it could."""
        newest = _newest(reads, jobs)
        for lane, floor in reads:
            if not filled:
                self._floors.pop(lane, None)
            elif lane in newest:
                self._floors[lane] = max(floor, earlier(newest[lane], seconds=SLACK_SECONDS))
        for tenant_id, _ in groupby(newest, key=lambda lane: lane.tenant_id):
            self._note_served(tenant_id)

    def _note_served(self, tenant_id: int) -> None:
        """Notes that a tenant got jobs by the current plan, once a plan: turns of its queues do not depend on how many
        statements a claim takes.
        """
        served = self._served.setdefault(tenant_id, _Served())
        if served.plan != self._plan:
            served.plan = self._plan
            served.plans += 1

    def replace(self, lanes: Iterable[LaneStart]) -> None:
        """Replaces all lanes by those read from the table."""
        self._floors = {start.lane: start.floor for start in lanes}
        left = {lane.tenant_id for lane in self.known_lanes()}
        self._served = {tenant: served for tenant, served in self._served.items() if tenant in left}

    def known_lanes(self) -> Iterator[Lane]:
        """Yields the known lanes; a lane may come twice."""
        yield from self._noted
        yield from self._floors

    def known(self, types: Container[str]) -> Iterator[Lane]:
        """Yields the known lanes of these types; a lane may come twice."""
        return (lane for lane in self.known_lanes() if lane.type in types)

    def any_of(self, types: Container[str]) -> bool:
        """Returns True if a lane of these types is known."""
        return any(lane.type in types for lane in self.known_lanes())


def _newest(reads: Sequence[LaneStart], jobs: Sequence[ClaimedJob]) -> dict[Lane, UUID]:
    """Returns the newest job of each lane."""
    if len(reads) == 1 and jobs:  # most claims
        return {reads[0].lane: max(map(_JOB_ID, jobs))}
    newest: dict[Lane, UUID] = {}
    for job in jobs:
        lane = job.lane
        newest[lane] = max(newest.get(lane, job.job_id), job.job_id)
    return newest


_NEVER = _Served()
_JOB_ID: Callable[[ClaimedJob], UUID] = attrgetter("job_id")
