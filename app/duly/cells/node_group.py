"""Nodes of one process with several cells: one for each, started, drained and stopped together."""

import asyncio
from collections.abc import Awaitable, Callable, Container, Iterable, Sequence
from functools import partial

import structlog

from duly.cells.copier import ConfigurationCopier
from duly.cells.declared_schedules import require_fitting_schedules
from duly.cells.pinned_queues import PinnedQueues
from duly.domain.node_role import Role
from duly.loop import Loop, Loops
from duly.node import Node
from duly.node.process_parts import ProcessParts
from duly.store.cells.cell_record import ping
from duly.store.postgres.database import DatabaseError, DatabaseOutage

log = structlog.stdlib.get_logger("duly.cells")

# Interval of probes of a cell that serves, and of one that does not.
PROBE_SECONDS, RETRY_SECONDS = 2.0, 0.25
# A database that does not answer two probes in a row for this long is away: after one, this process may have been
# slow instead.
SILENT_SECONDS, SILENT_PROBES = 5.0, 2


class CellNotReady(Exception):
    """Cell that answers, and cannot be used. The message names the cause and the remedy."""


Prepare = Callable[[Node], Awaitable[None]]


class NodeGroup:
    """Nodes of all cells in one process, and which of the cells serve.

    A cell that does not answer at the start, or later, joins when it answers; the others are not affected.

    Args:
        nodes: the nodes in order of their cells; a process without the role `api` has those of the cells that it works.
        parts: the parts that they share.
        prepare: prepares the database of a node that did not answer at the start (default: nothing). It raises
            CellNotReady, or an error of the database.
    """

    def __init__(self, nodes: Sequence[Node], parts: ProcessParts, *, prepare: Prepare | None = None) -> None:
        self.nodes = nodes
        self.parts = parts
        self.draining = False
        self._loops = Loops()
        self.pinned = PinnedQueues(nodes, serves=self.serves)
        self.copier = ConfigurationCopier(nodes, self.pinned, serves=self.serves)
        self._watches = {
            node.cell.number: CellWatch(node, partial(self._probe_now, node.cell.number), prepare) for node in nodes
        }
        for watch in self._watches.values():
            self._loops.add(Loop(watch.name, watch.step))
        for node in nodes:
            node.cell_share.pinned = self.pinned
        roles = nodes[0].settings.roles
        if Role.API in roles:
            self._loops.add(Loop("pinned-queues", self.pinned.step))
        if self.copier.copies:
            self._loops.add(Loop("copies", self.copier.step))
            self.copier.wake = self._loops.waker("copies")

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.nodes)

    def serves(self, cell: int) -> bool:
        """Returns whether a cell answered when it was last asked."""
        return self._watches[cell].serves

    @property
    def away(self) -> list[int]:
        """Numbers of the cells that do not serve."""
        return [cell for cell, watch in self._watches.items() if not watch.serves]

    def _probe_now(self, cell: int) -> None:
        self._loops.waker(self._watches[cell].name)()

    async def start(self, *, away: Container[int] = ()) -> None:
        """Starts all nodes at once. Those whose cell does not answer are started when it does.

        Args:
            away: cells that are known not to answer.

        Raises:
            DatabaseError: that of the first cell; none of them serves.
            HandlerError: the code declares a schedule whose job belongs to another cell.
        """
        require_fitting_schedules(self.nodes[0])
        watches = [watch for cell, watch in self._watches.items() if cell not in away]
        await _all(watch.start() for watch in watches)
        if not any(watch.serves for watch in watches):
            raise next((watch.error for watch in watches if watch.error is not None), DatabaseOutage(""))
        self._loops.start()

    async def drain(self) -> None:
        """Drains all nodes that have started, at once."""
        self.draining = True
        await self._loops.cancel()  # a node that starts now would not be drained
        await _all(watch.node.drain() for watch in self._watches.values() if watch.started)

    async def stop(self) -> None:
        """Stops all nodes, and closes what they share; after `drain` and the last request."""
        await self._loops.cancel()
        await _all(watch.node.stop() for watch in self._watches.values())
        await self.parts.aclose()


class CellWatch:
    """Watches whether the database of one cell answers, and starts its node once it does.

    Args:
        node: the node of the cell.
        probe_now: starts a probe at once; called after each error that may mean an outage.
        prepare: prepares the database of a node that did not answer at the start.
    """

    def __init__(self, node: Node, probe_now: Callable[[], None], prepare: Prepare | None) -> None:
        self.node = node
        self.name = f"cell-{node.cell.number}"
        self.started = False
        self.serves = False
        self.error: DatabaseError | None = None
        self._probe_now = probe_now
        self._prepare = prepare
        self._reason = ""
        self._silent = 0
        # Of its own, so that a probe waits for no other statement of this process.
        self._connection = node.database.own()
        self._note = node.database.note
        node.database.note = self._noted

    def _noted(self, error: DatabaseError) -> None:
        self._note(error)
        if self.serves and isinstance(error, DatabaseOutage):
            self._probe_now()

    async def start(self) -> None:
        """Starts the node.

        Raises:
            DatabaseError: its database does not answer, or is not in the state that this release needs.
        """
        try:
            await self.node.start()
        except DatabaseError as error:
            self.error = error
            raise
        self.started = True
        self._came()

    async def step(self) -> float:
        """Asks the cell once, and starts its node if it has not. Returns the seconds until the next time."""
        try:
            async with asyncio.timeout(SILENT_SECONDS), self._connection.use() as connection:
                await ping(connection)
            if not self.started:
                if self._prepare is not None:
                    await self._prepare(self.node)
                await self.start()
        except TimeoutError as error:
            self._silent += 1
            if self.serves and self._silent < SILENT_PROBES:
                return 0.0
            self._went(error)
            return RETRY_SECONDS
        except (DatabaseError, CellNotReady) as error:
            self._went(error)
            return RETRY_SECONDS
        self._came()
        return PROBE_SECONDS

    def _came(self) -> None:
        self._silent = 0
        if not self.serves:
            self.serves, self.error, self._reason = True, None, ""
            log.info(f"cell {self.node.cell.number} serves", action="cell_back", cell=self.node.cell.number)

    def _went(self, error: Exception) -> None:
        """Notes and logs an error, once for each reason."""
        self.serves = False
        self.error = error if isinstance(error, DatabaseError) else None
        reason = self.error.line if self.error is not None else str(error) or "it does not answer"
        if reason != self._reason:
            self._reason, number = reason, self.node.cell.number
            log.warning(f"cell {number} is away: {reason}", action="cell_away", cell=number, error=reason)


async def _all(works: Iterable[Awaitable[None]]) -> None:
    """Waits for all; raises the first error but those of a database."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException) and not isinstance(result, DatabaseError):
            raise result
