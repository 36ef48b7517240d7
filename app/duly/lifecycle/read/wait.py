"""Waiting for a job: woken by hints, and looking now and then in any case, for a hint may be lost."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Protocol, TypeVar
from uuid import UUID

from duly.errors import Overloaded
from duly.store.postgres.database import DatabaseError

LOOK_SECONDS = 2.0
Found = TypeVar("Found")


class Watch(Protocol):
    """One who follows a job."""

    def notify(self) -> None: ...

    async def wait(self, *, timeout: float) -> bool: ...  # noqa: ASYNC109  # the bound is the point


class Hub(Protocol):
    """Where jobs are followed; see `duly.lifecycle.cluster.hub`."""

    def watch(self, job_id: UUID) -> AbstractContextManager[Watch]: ...


async def wait_until(
    watch: Watch,
    look: Callable[[], Awaitable[Found | None]],
    *,
    over: Callable[[], bool],
    seconds: float = float("inf"),
    longest_look_seconds: float = LOOK_SECONDS,
) -> Found | None:
    """What `look` sees, as soon as it sees something; None where it has not by the time that `over` says so, or in
    time. That the database goes away meanwhile is no reason to give up.
    """
    deadline = time.monotonic() + seconds
    patience = LOOK_SECONDS
    while True:
        last = over()
        with suppress(DatabaseError, Overloaded):
            if (seen := await look()) is not None:
                return seen
        left = deadline - time.monotonic()
        if left <= 0 or last:
            return None
        if not await watch.wait(timeout=min(left, patience)):
            patience = min(2 * patience, longest_look_seconds)
