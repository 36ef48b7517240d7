"""Part of a limit of all cells that one cell enforces by itself."""

from collections.abc import Container
from dataclasses import dataclass


@dataclass(slots=True)
class CellShare:
    """Share of one cell.

    Attributes:
        cells: number of cells.
        pinned: queues, by tenant and name, whose jobs are all in one cell: their limits are not divided.
    """

    cells: int = 1
    pinned: Container[object] = frozenset()

    def of_rate(self, count: int, seconds: float) -> tuple[int, float]:
        """Returns the part of a rate: exactly the N-th part over time, in bursts of at least one."""
        if self.cells == 1:
            return count, seconds
        burst = -(-count // self.cells)
        return burst, seconds * burst * self.cells / count

    def of_backlog(self, limit: int, queue: tuple[int, str]) -> int:
        """Returns the part of the backlog of a queue (tenant, name), rounded up."""
        return limit if self.cells == 1 or queue in self.pinned else -(-limit // self.cells)
