"""What a node believes of `ready`: which lanes hold jobs, and from where on each is worth reading."""

from collections.abc import Container, Iterable, Iterator, Sequence
from uuid import UUID

from duly.domain.ids import earlier
from duly.domain.job import ClaimedJob, Lane
from duly.store.queue.ready import LaneStart

# Ids are made on many nodes and committed out of order: a floor stays this far behind the newest id claimed.
SLACK_SECONDS = 0.2


class ReadyLanes:
    """Belief, not truth: hints add to it, claims that find less than they asked for take from it, and a look at the
    table now and then sets it right.
    """

    def __init__(self) -> None:
        self._floors: dict[Lane, UUID] = {}
        self._noted: dict[Lane, UUID] = {}
        self._turn = 0

    def note(self, lane: Lane, oldest: UUID) -> None:
        """Jobs stand ready in this lane, the new ones from `oldest` on."""
        self._noted[lane] = min(self._noted.get(lane, oldest), oldest)

    def plan_reads(self, types: Container[str]) -> list[LaneStart]:
        """The lanes to read now: higher priorities first, queues taking turns, older work first within a queue."""
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

    def claimed(self, asked: Sequence[LaneStart], jobs: Iterable[ClaimedJob], *, filled: bool) -> None:
        """What a claim over these lanes returned; `filled` where it found as many as it asked for."""
        newest: dict[Lane, UUID] = {}
        for job in jobs:
            lane = Lane(job.queue, job.type, job.priority)
            newest[lane] = max(newest.get(lane, job.job_id), job.job_id)
        for lane, floor in asked:
            if not filled:
                self._floors.pop(lane, None)
            elif lane in newest:
                self._floors[lane] = max(floor, earlier(newest[lane], seconds=SLACK_SECONDS))

    def replace(self, lanes: Iterable[LaneStart]) -> None:
        """The truth of a moment, from the table itself."""
        self._floors = {start.lane: start.floor for start in lanes}

    def known(self, types: Container[str]) -> Iterator[Lane]:
        """Those of these types; one may come twice."""
        return (lane for lane in (*self._noted, *self._floors) if lane.type in types)

    def any_of(self, types: Container[str]) -> bool:
        return any(lane.type in types for lane in (*self._noted, *self._floors))
