"""Queues with a limit of starts: all their jobs are in one cell, so that the limit is exact."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count

from duly.node import Node
from duly.store.cells.restrictions import read_limited_queues
from duly.store.postgres.database import DatabaseError

LOOK_SECONDS = 1.0
READ_SECONDS = 1.0


class PinnedQueues:
    """Names of the pinned queues as this process last read them: from cell 0, or from another cell while it is away.

    Args:
        nodes: the nodes of this process, in order of their cells.
        serves: returns whether a cell serves.
    """

    def __init__(self, nodes: Sequence[Node], *, serves: Callable[[int], bool]) -> None:
        self._nodes = nodes
        self._serves = serves
        self._names: frozenset[tuple[int, str]] = frozenset()
        self._reads = count(1)
        self._newest = 0

    def __contains__(self, queue: object) -> bool:
        """Returns whether the jobs of a queue (tenant, name) are placed by its name."""
        return queue in self._names

    async def refresh(self, *, seconds: float = READ_SECONDS) -> None:
        """Reads the names, for a limited time; keeps the last ones if the cell does not answer. The result of a read is
        dropped if one that began later has ended before: it may be older than a change.
        """
        read = next(self._reads)
        node = next((node for node in self._nodes if self._serves(node.cell.number)), None)
        if node is None:
            return
        with suppress(DatabaseError, TimeoutError):
            async with asyncio.timeout(seconds), node.database.connection() as connection:
                names = await read_limited_queues(connection)
            if read > self._newest:
                self._names, self._newest = names, read

    async def step(self) -> float:
        """Reads the names. Run by a loop of processes with the role `api`."""
        await self.refresh()
        return LOOK_SECONDS
