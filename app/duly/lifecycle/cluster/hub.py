"""Watches of jobs on this node. A watch carries no events; it says that there are new ones."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

# Time until other nodes know that a job is followed here, and send wake-ups of its changes.
ANNOUNCED_SECONDS = 0.1


class Watch:
    """One follower of one job. Several notifications merge into one, so a slow follower costs no memory."""

    def __init__(self, *, announced: bool) -> None:
        self._changed = asyncio.Event()
        self._announced = announced

    def notify(self) -> None:
        """Wakes the follower."""
        self._changed.set()

    async def wait(self, *, timeout: float) -> bool:  # noqa: ASYNC109  # the bound is the point
        """Waits for a notification, up to `timeout` seconds. Returns False if there was none; since wake-ups may be
        lost, read anyway.
        """
        if not self._announced:
            timeout, self._announced = min(timeout, ANNOUNCED_SECONDS), True
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Hub:
    """All watches of jobs in one process.

    Args:
        on_follow: called for each new watch; returns True if other nodes have to be notified first.
    """

    def __init__(self, *, on_follow: Callable[[UUID], bool] = lambda _job_id: False) -> None:
        self._watches: dict[UUID, set[Watch]] = {}
        self.closing = False
        self.closed = asyncio.Event()
        self._on_follow = on_follow

    @property
    def followed(self) -> Collection[UUID]:
        """Ids of the jobs that are watched."""
        return self._watches.keys()

    @contextmanager
    def watch(self, job_id: UUID) -> Iterator[Watch]:
        """Follows a job while the block runs."""
        watch = Watch(announced=not self._on_follow(job_id))
        self._watches.setdefault(job_id, set()).add(watch)
        if self.closing:
            watch.notify()
        try:
            yield watch
        finally:
            followers = self._watches[job_id]
            followers.discard(watch)
            if not followers:
                del self._watches[job_id]

    def changed(self, job_ids: Iterable[UUID]) -> None:
        """Notifies the watches of these jobs."""
        if self._watches:
            for job_id in job_ids:
                for watch in self._watches.get(job_id, ()):
                    watch.notify()

    def close(self) -> None:
        """Notifies all watches, so that streams end on shutdown."""
        self.closing = True
        self.closed.set()
        for followers in self._watches.values():
            for watch in followers:
                watch.notify()
