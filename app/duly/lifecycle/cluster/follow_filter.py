"""Filter of job wake-ups between nodes: which jobs other nodes follow, roughly.

Jobs fall into buckets by random bits of their ids, and each node announces the buckets that it follows. A node may get
wake-ups of jobs that it does not follow, but misses none: new follows are announced at once, and all of them again
every few seconds.
"""

import time
from collections.abc import Iterable
from uuid import UUID, uuid4

BUCKETS = 1024
# Bit beyond all buckets: all jobs are followed.
ALL_JOBS = 1 << BUCKETS
# Three announcement intervals: a node that ended is forgotten after this time.
LIFETIME_SECONDS = 15.0


def buckets_of(job_ids: Iterable[UUID]) -> int:
    """Returns a mask with the buckets of these jobs."""
    mask = 0
    for job_id in job_ids:
        mask |= 1 << (job_id.int % BUCKETS)
    return mask


class FollowFilter:
    """Announcements of the other nodes. `name` identifies this node in its own announcements."""

    def __init__(self) -> None:
        self.name = uuid4().hex[:12]
        self._announced: dict[str, tuple[int, float]] = {}
        self._mask = 0

    def note(self, name: str, mask: int, *, replace: bool) -> None:
        """Notes the announcement of another node: buckets to add to those it named before or, if `replace`, to replace
        them.
        """
        before, _ = self._announced.get(name, (0, 0.0))
        self._announced[name] = (mask if replace else before | mask, time.monotonic() + LIFETIME_SECONDS)
        self._add_up()

    def expire(self) -> None:
        """Drops announcements that were not repeated in time."""
        now = time.monotonic()
        self._announced = {
            name: announcement for name, announcement in self._announced.items() if announcement[1] > now
        }
        self._add_up()

    def _add_up(self) -> None:
        self._mask = 0
        for mask, _ in self._announced.values():
            self._mask |= mask

    @property
    def all_followed(self) -> bool:
        """True if another node follows all jobs."""
        return bool(self._mask & ALL_JOBS)

    def followed_elsewhere(self, job_ids: Iterable[UUID]) -> list[UUID]:
        """Returns those of these jobs that another node may follow."""
        if not self._mask:
            return []
        return [job_id for job_id in job_ids if self._mask >> (job_id.int % BUCKETS) & 1]
