"""Queues with a limit of starts: all their jobs are in one cell, so that the limit is exact."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from duly.node import Node
from duly.store.cells.restrictions import read_limited_queues
from duly.store.postgres.database import DatabaseError

LOOK_SECONDS = 1.0
READ_SECONDS = 1.0


class PinnedQueues:
    """Names of the pinned queues as this process last read them: from cell 0, or from another cell while it is away."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._names: frozenset[tuple[int, str]] = frozenset()

    def __contains__(self, queue: object) -> bool:
        """Returns whether the jobs of a queue (tenant, name) are placed by its name."""
        return queue in self._names

    async def refresh(self) -> None:
        """Reads the names; keeps the last ones if no cell answers."""
        for node in self._nodes:
            with suppress(DatabaseError, TimeoutError):
                async with asyncio.timeout(READ_SECONDS), node.database.connection() as connection:
                    self._names = await read_limited_queues(connection)
                return

    async def step(self) -> float:
        """Reads the names. Run by a loop of processes with the role `api`."""
        await self.refresh()
        return LOOK_SECONDS
