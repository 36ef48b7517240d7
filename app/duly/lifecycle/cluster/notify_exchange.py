"""Hints between nodes: sends what gathered and listens, over one connection that does nothing else."""

import asyncio
import time
from collections.abc import Callable, Collection
from uuid import UUID

from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Database
from duly.store.postgres.notify import CHANNEL, listen, send_hints

IDLE_SECONDS = 5.0
# A NOTIFY is a commit of its own, and wakes every node: what comes within this time goes in one. Where hints never
# stop, nodes are busy anyway, and the time grows.
SHORTEST_GAP_SECONDS = 0.005
LONGEST_GAP_SECONDS = 0.05


class NotifyExchange:
    """Its step is a loop's. Without LISTEN (transaction pooling) there is none: everybody polls."""

    def __init__(self, database: Database, wakeups: Wakeups, *, followed: Callable[[], Collection[UUID]]) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self._followed = followed
        self._channel = CHANNEL
        self._heard_by: int | None = None
        self._sent_at = self._said_at = float("-inf")
        self._gap_seconds = SHORTEST_GAP_SECONDS

    async def step(self) -> float:
        """Sends what gathered. Opens, and opens again, the connection that listens."""
        await self._keep_the_gap()
        self._say_again()
        async with self._connection.use() as connection:
            pid = connection.get_server_pid()
            if pid != self._heard_by:
                self._channel = await listen(connection, self._wakeups.receive)
                await send_hints(connection, self._channel, [["hello"]])
                self._heard_by = pid
            hints = self._wakeups.take_outgoing()
            if hints:
                await send_hints(connection, self._channel, hints)
            else:
                await connection.execute("select 1")  # finds out that the connection broke
        return IDLE_SECONDS

    async def _keep_the_gap(self) -> None:
        left = self._sent_at + self._gap_seconds - time.monotonic()
        if left > 0:
            self._gap_seconds = min(2 * self._gap_seconds, LONGEST_GAP_SECONDS)
            await asyncio.sleep(left)
        else:
            self._gap_seconds = SHORTEST_GAP_SECONDS
        self._sent_at = time.monotonic()

    def _say_again(self) -> None:
        if self._wakeups.greeted or self._sent_at - self._said_at >= IDLE_SECONDS:
            self._said_at = self._sent_at
            self._wakeups.repeat_follows(self._followed())
