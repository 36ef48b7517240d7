"""Waits for a change of a job: after each wake-up, and at intervals, since wake-ups may be lost."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from duly.errors import Overloaded
from duly.lifecycle.cluster.hub import Watch
from duly.store.postgres.database import DatabaseError

LOOK_SECONDS = 2.0
Found = TypeVar("Found")


async def wait_until(
    watch: Watch,
    look: Callable[[], Awaitable[Found | None]],
    *,
    over: Callable[[], bool],
    seconds: float = float("inf"),
    longest_look_seconds: float = LOOK_SECONDS,
) -> Found | None:
    """Calls `look` until it returns a value, and returns that. An unavailable database does not end the wait.

    Args:
        watch: a watch of the job.
        look: returns what is waited for, or None if it is not there yet.
        over: returns True to end the wait after one more look.
        seconds: time limit.
        longest_look_seconds: longest interval between looks without a wake-up.

    Returns:
        The value, or None if there was none in time.
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
