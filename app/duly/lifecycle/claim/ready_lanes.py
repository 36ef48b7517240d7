"""A node's copy of the lanes in `ready`: which have jobs, and the id from which each is worth reading."""

from collections.abc import Container, Iterable, Iterator, Sequence
from uuid import UUID

from duly.domain.ids import earlier
from duly.domain.job import ClaimedJob, Lane
from duly.store.queue.ready import LaneStart

# Ids are made on many nodes and committed out of order: a lane is read from this long before the newest claimed id.
SLACK_SECONDS = 0.2


class ReadyLanes:
    """Lanes that may have jobs. Wake-ups add lanes, claims that find fewer jobs than they could take remove them, and a
    regular look at the table corrects them.
    """

    def __init__(self) -> None:
        self._floors: dict[Lane, UUID] = {}
        self._noted: dict[Lane, UUID] = {}
        self._turn = 0

    def note(self, lane: Lane, oldest: UUID) -> None:
        """Adds a lane that has new jobs, none older than `oldest`."""
        self._noted[lane] = min(self._noted.get(lane, oldest), oldest)

    def plan_reads(self, types: Container[str]) -> list[LaneStart]:
        """Returns the lanes to read now: by priority; queues take turns; within a queue, older jobs first."""
        for lane, oldest in self._noted.items():
            self._floors[lane] = min(self._floors.get(lane, oldest), oldest)
        self._noted.clear()
        known = [LaneStart(lane, floor) for lane, floor in self._floors.items() if lane.type in types]
        if len(known) < 2:  # noqa: PLR2004  # nothing to order
            return known
        queues = sorted({start.lane.queue for start in known})
        self._turn += 1
        turn = {queue: (index + self._turn) % len(queues) for index, queue in enumerate(queues)}
        return sorted(known, key=lambda start: (-start.lane.priority, turn[start.lane.queue], start.floor))

    def claimed(self, reads: Sequence[LaneStart], jobs: Iterable[ClaimedJob], *, filled: bool) -> None:
        """Notes the result of a claim over these lanes; `filled` if it took as many jobs as it could."""
        newest: dict[Lane, UUID] = {}
        for job in jobs:
            lane = Lane(job.queue, job.type, job.priority)
            newest[lane] = max(newest.get(lane, job.job_id), job.job_id)
        for lane, floor in reads:
            if not filled:
                self._floors.pop(lane, None)
            elif lane in newest:
                self._floors[lane] = max(floor, earlier(newest[lane], seconds=SLACK_SECONDS))

    def replace(self, lanes: Iterable[LaneStart]) -> None:
        """Replaces all lanes by those read from the table."""
        self._floors = {start.lane: start.floor for start in lanes}

    def known(self, types: Container[str]) -> Iterator[Lane]:
        """Yields the known lanes of these types; a lane may come twice."""
        return (lane for lane in (*self._noted, *self._floors) if lane.type in types)

    def any_of(self, types: Container[str]) -> bool:
        """Returns True if a lane of these types is known."""
        return any(lane.type in types for lane in (*self._noted, *self._floors))
