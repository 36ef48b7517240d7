"""Copies the configuration of cell 0 to the other cells of a process: after each change, and in a loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from duly.cells.copies import ENDPOINTS, LIMITS, PAUSES, Copied, copy_configuration
from duly.cells.pinned_queues import PinnedQueues
from duly.node import Node
from duly.store.cells.configuration import API_KEYS, DECLARED_TYPES, SUBMISSION_LIMITS, TENANTS
from duly.store.postgres.database import DatabaseError

log = structlog.stdlib.get_logger("duly.cells")

HOME = 0
# Rounds of the loop: all cells are compared with cell 0, and those behind are tried again sooner.
LOOK_SECONDS = 15.0
BEHIND_SECONDS = 1.0
# Longest wait of a change for the other cells. A pause waits up to two seconds for earlier starts. A silent cell is
# known to be away sooner.
CHANGE_SECONDS = 10.0


@dataclass(slots=True)
class _Cell:
    """Another cell.

    Attributes:
        lock: of the copies of this process to it.
        missed: number of copies that failed.
        made_up: how many of them the last copy that succeeded has made up for: those that failed before it began.
        unapplied: changed tables that its node does not use yet.
    """

    number: int
    node: Node
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    missed: int = 0
    made_up: int = 0
    unapplied: frozenset[str] = frozenset()

    @property
    def behind(self) -> bool:
        """Returns whether it did not get the last change."""
        return self.missed > self.made_up


class ConfigurationCopier:
    """Copies to the cells of one process.

    Args:
        nodes: the nodes of this process, one for each cell.
        pinned: the queues whose jobs are in one cell, updated with each copy.
        serves: returns whether a cell serves; one that does not is behind at once.
    """

    def __init__(self, nodes: Sequence[Node], pinned: PinnedQueues, *, serves: Callable[[int], bool]) -> None:
        self._home = next((node for node in nodes if node.cell.number == HOME), None)
        self._cells = [_Cell(node.cell.number, node) for node in nodes if node.cell.number != HOME]
        # Wakes the loop, which tries cells again that are behind.
        self.wake: Callable[[], None] = _ignore
        self._pinned = pinned
        self._serves = serves

    @property
    def copies(self) -> bool:
        """Returns whether this process has cell 0 and another one. One that works some of the cells may not."""
        return self._home is not None and bool(self._cells)

    @property
    def behind(self) -> list[int]:
        """Returns the numbers of the cells that did not get the last change."""
        return [cell.number for cell in self._cells if cell.behind]

    async def copy(self) -> list[int]:
        """Copies a change to all cells at once, for a limited time. Returns the numbers of those that are behind, which
        the loop tries again soon.
        """
        if (home := self._home) is not None:
            await asyncio.gather(
                self._pinned.refresh(seconds=CHANGE_SECONDS), *(self._copy(home, cell) for cell in self._cells)
            )
        if behind := self.behind:
            self.wake()
        return behind

    async def step(self) -> float:
        """Compares all cells with cell 0, one after the other, so that it holds few connections. Run by a loop."""
        if (home := self._home) is not None:
            for cell in self._cells:
                await self._copy(home, cell)
        return BEHIND_SECONDS if self.behind else LOOK_SECONDS

    async def _copy(self, home: Node, cell: _Cell) -> None:
        began = time.monotonic()
        if not (self._serves(cell.number) and self._serves(HOME)):
            cell.missed += 1
            return
        try:
            async with asyncio.timeout(CHANGE_SECONDS), cell.lock:
                missed = cell.missed
                copied = await copy_configuration(home.database, cell.node.database, cell.node.flow_controller)
                cell.unapplied |= copied.changed
                await _apply(cell.node, cell.unapplied)
                cell.unapplied = frozenset()
                if copied.reported:
                    home.wakeups.deliveries()
        except (DatabaseError, TimeoutError) as error:
            if not cell.behind:
                log.warning(
                    f"cell {cell.number} did not get the configuration: {_reason(error)}",
                    action="cell_behind",
                    cell=cell.number,
                )
            cell.missed += 1
            return
        if cell.behind or copied != Copied():
            _log_copied(cell, copied, time.monotonic() - began)
        cell.made_up = missed


def _ignore() -> None:
    """Default of `ConfigurationCopier.wake`."""


def _log_copied(cell: _Cell, copied: Copied, seconds: float) -> None:
    tables = sorted(copied.changed | copied.reported)
    log.info(
        f"cell {cell.number} has the configuration of cell 0: {', '.join(tables) or 'nothing'} changed",
        action="configuration_copied",
        cell=cell.number,
        tables=tables,
        seconds=round(seconds, 3),
    )


def _reason(error: Exception) -> str:
    return error.line if isinstance(error, DatabaseError) else f"it took longer than {CHANGE_SECONDS:g} s"


async def _apply(node: Node, changed: frozenset[str]) -> None:
    """Makes a node use what has changed now, and wakes the other nodes of its cell."""
    if changed & {TENANTS.name, API_KEYS.name}:
        await node.key_verifier.step()
        node.wakeups.keys()
    if DECLARED_TYPES.name in changed:
        await node.job_types.step()
        node.wakeups.job_types()
    if SUBMISSION_LIMITS.name in changed or TENANTS.name in changed:
        await node.submission_limiters.step()
    if changed & {PAUSES, LIMITS}:
        node.wakeups.restrictions()
    if ENDPOINTS in changed:
        node.wakeups.deliveries()
