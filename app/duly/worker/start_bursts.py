"""Bursts in which jobs start, between which the event loop looks at its sockets."""

import asyncio
from collections.abc import Callable

# Jobs that start before the event loop looks at its sockets again. Best of 25, 50, 100 and 300 for no-op jobs.
AT_ONCE = 32


class StartBursts:
    """Limit of the jobs that start at once. Without it, the response to the next claim would wait in its socket until
    all jobs of the last one have run.

    Args:
        resume: called when jobs may start again after a whole burst.
    """

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._left = AT_ONCE

    def may_start(self) -> bool:
        """Returns True if one more job may start now. Counts it."""
        if self._left == 0:
            return False
        if self._left == AT_ONCE:
            asyncio.get_running_loop().call_soon(self._looked)
        self._left -= 1
        return True

    def _looked(self) -> None:
        """Allows the next burst, as the event loop has looked at its sockets."""
        whole = self._left == 0
        self._left = AT_ONCE
        if whole:
            self._resume()
