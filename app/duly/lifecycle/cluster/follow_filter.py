"""Interest: which jobs are followed on which node, roughly, so that no node is told of what nobody there follows.

Jobs fall into buckets by their ids' random bits, and a node says which buckets it follows. It may hear of some jobs too
many, and it hears of none too few: what it follows anew it says at once, and all of it again every few seconds.
"""

import time
from collections.abc import Iterable
from uuid import UUID, uuid4

BUCKETS = 1024
# The bit beyond all buckets: somebody follows every job.
ALL_JOBS = 1 << BUCKETS
# Three times what lies between two announcements: a node that ended is forgotten.
LIFETIME_SECONDS = 15.0


def buckets_of(job_ids: Iterable[UUID]) -> int:
    """The buckets of these jobs, a bit for each."""
    mask = 0
    for job_id in job_ids:
        mask |= 1 << (job_id.int % BUCKETS)
    return mask


class FollowFilter:
    """What the other nodes follow, as far as they said so. `name` is this node's own, in what it says."""

    def __init__(self) -> None:
        self.name = uuid4().hex[:12]
        self._others: dict[str, tuple[int, float]] = {}
        self._mask = 0

    def heard(self, name: str, mask: int, *, anew: bool) -> None:
        """Another node follows these buckets: besides those it named before or, where `anew`, and no others."""
        before, _ = self._others.get(name, (0, 0.0))
        self._others[name] = (mask if anew else before | mask, time.monotonic() + LIFETIME_SECONDS)
        self._add_up()

    def expire(self) -> None:
        """Drops what was not said again in time."""
        now = time.monotonic()
        self._others = {name: said for name, said in self._others.items() if said[1] > now}
        self._add_up()

    def _add_up(self) -> None:
        self._mask = 0
        for mask, _ in self._others.values():
            self._mask |= mask

    @property
    def everything(self) -> bool:
        """Whether some other node follows all jobs."""
        return bool(self._mask & ALL_JOBS)

    def followed_elsewhere(self, job_ids: Iterable[UUID]) -> list[UUID]:
        """Those of these jobs that somebody else may follow."""
        if not self._mask:
            return []
        return [job_id for job_id in job_ids if self._mask >> (job_id.int % BUCKETS) & 1]
