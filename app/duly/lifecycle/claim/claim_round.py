"""One round of claims: the lanes that are claimed together, and the room that each may use.

Lanes without restrictions are claimed by one statement, which shares its room between tenants itself. Here the room is
shared between statements.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from duly.domain.job import ClaimedJob
from duly.store.queue.claim_limited import ClaimLimits
from duly.store.queue.ready import LaneStart


class ClaimPart(NamedTuple):
    """Lanes that are claimed by one statement: under these limits, of several tenants only without any.

    `needs_process`: their jobs run in processes.
    """

    limits: ClaimLimits | None
    starts: Sequence[LaneStart]
    needs_process: bool = False

    @property
    def tenants(self) -> set[int]:
        """The tenants of the lanes."""
        return {start.lane.tenant_id for start in self.starts}


class ClaimRound:
    """The jobs claimed in a round, and the room that is left.

    Args:
        limit: number of jobs to claim.
        free_processes: number of them that may run in processes.
    """

    def __init__(self, parts: Sequence[ClaimPart], *, limit: int, free_processes: int) -> None:
        self.jobs: list[ClaimedJob] = []
        self._parts = parts
        self._limit = limit
        self._free_processes = free_processes
        self._claimed: Counter[int] = Counter()

    def portions(self) -> Iterator[tuple[ClaimPart, int]]:
        """Yields each part with its room, to be claimed before the next: of several tenants, each takes an equal share
        first, and the rest goes to those that have more.
        """
        parts = self._parts
        tenants: set[int] = set().union(*(part.tenants for part in parts))
        if len(parts) > 1 and len(tenants) > 1:
            parts = []
            for part in self._parts:
                before = len(self.jobs)
                room = self._room(part, share=max(1, self._limit // len(tenants)))
                yield part, room
                if len(self.jobs) - before >= room:
                    parts.append(part)
        for part in parts:
            yield part, self._room(part, share=self._limit)

    def _room(self, part: ClaimPart, *, share: int) -> int:
        """Returns the number of jobs that this part may claim now, if each of its tenants may have `share` of them."""
        of_tenants = sum(share - self._claimed[tenant] for tenant in part.tenants)
        room = min(self._limit - len(self.jobs), of_tenants)
        return max(0, min(room, self._free_processes) if part.needs_process else room)

    def add(self, part: ClaimPart, jobs: Sequence[ClaimedJob]) -> None:
        """Adds the jobs that were claimed of a part."""
        self.jobs += jobs
        self._claimed.update(job.tenant_id for job in jobs)
        if part.needs_process:
            self._free_processes -= len(jobs)
