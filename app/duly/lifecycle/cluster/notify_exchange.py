"""Exchanges wake-ups between nodes by LISTEN and NOTIFY, on a connection of its own."""

import asyncio
import time
from collections.abc import Callable, Collection
from uuid import UUID

from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Database
from duly.store.postgres.notify import CHANNEL, listen, send_hints

IDLE_SECONDS = 5.0
# A NOTIFY is a commit of its own, and wakes every node: wake-ups within this gap go together. Under a steady stream of
# them nodes are busy anyway, and the gap grows.
SHORTEST_GAP_SECONDS = 0.005
LONGEST_GAP_SECONDS = 0.05


class NotifyExchange:
    """Sends and receives wake-ups; `step` is run by a loop. Under transaction pooling there is no LISTEN: all nodes
    poll instead.
    """

    def __init__(self, database: Database, wakeups: Wakeups, *, followed: Callable[[], Collection[UUID]]) -> None:
        self._connection = database.own()
        self._wakeups = wakeups
        self._followed = followed
        self._channel = CHANNEL
        self._heard_by: int | None = None
        self._sent_at = self._said_at = float("-inf")
        self._gap_seconds = SHORTEST_GAP_SECONDS

    async def step(self) -> float:
        """Sends the collected wake-ups. Opens the listening connection, again after it broke."""
        await self._keep_the_gap()
        self._say_again()
        async with self._connection.use() as connection:
            pid = connection.get_server_pid()
            if pid != self._heard_by:
                self._channel = await listen(connection, self._wakeups.receive)
                await send_hints(connection, self._channel, [["hello"]])
                self._heard_by = pid
            messages = self._wakeups.take_outgoing()
            if messages:
                await send_hints(connection, self._channel, messages)
            else:
                await connection.execute("select 1")  # finds out if the connection broke
        return IDLE_SECONDS

    async def _keep_the_gap(self) -> None:
        """Waits until the last send is one gap ago."""
        left = self._sent_at + self._gap_seconds - time.monotonic()
        if left > 0:
            self._gap_seconds = min(2 * self._gap_seconds, LONGEST_GAP_SECONDS)
            await asyncio.sleep(left)
        else:
            self._gap_seconds = SHORTEST_GAP_SECONDS
        self._sent_at = time.monotonic()

    def _say_again(self) -> None:
        """Repeats what is followed here, at intervals or after a new node has appeared."""
        if self._wakeups.has_new_node or self._sent_at - self._said_at >= IDLE_SECONDS:
            self._said_at = self._sent_at
            self._wakeups.repeat_follows(self._followed())
