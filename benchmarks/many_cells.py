"""Arithmetic of many cells and nodes: `python -m benchmarks.many_cells [--cells 64] [--nodes 200]`.

Multiplies what one process costs one cell, and measures the positions of the stream of all jobs, which grow with the
number of cells. It starts no service: there are no 64 servers to measure this on.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.ids import new_job_id
from duly.domain.stream_position import StreamPosition, before_transaction
from duly.domain.stream_vector import StreamVector, write_others, write_vector

# Measured on 2026-12-02 with a process of four cells and all roles, idle for 40 s, on two shared cores.
IDLE_CONNECTIONS = 7.0
IDLE_TRANSACTIONS_A_SECOND = 4.1
FOLLOWING_TRANSACTIONS_A_SECOND = 2.6
IDLE_CORE = 0.003
# Senders collect their wake-ups for 5 to 50 ms: see `duly.lifecycle.cluster.notify_exchange`.
BUSY_NOTIFIES_A_SECOND = 20
NEW_TRANSACTION = 4_000_000_000
COLUMNS = (
    "processes a cell",
    "idle connections a cell",
    "of a serving process",
    "idle transactions/s a cell",
    "NOTIFYs received/s of a busy cell",
)


class Layout(NamedTuple):
    """Division of work: each node serves requests over all cells, and works on some.

    Attributes:
        name: name of the layout.
        serving: nodes with the role `api`, each connected to all cells.
        working: other nodes.
        cells_of_worker: cells that each of those works on.
    """

    name: str
    serving: int
    working: int
    cells_of_worker: int

    def processes_of_cell(self, cells: int) -> float:
        """Returns the number of processes that are connected to each cell."""
        return self.serving + self.working * min(self.cells_of_worker, cells) / cells


class Load(NamedTuple):
    """Cost of idle processes."""

    processes_of_cell: float
    connections_of_cell: float
    connections_of_serving_process: float
    transactions_of_cell: float
    notifies_received_of_cell: float
    cores_of_serving_process: float


def load_of(layout: Layout, cells: int) -> Load:
    """Returns the cost of a layout; wake-ups are those of a busy cell, in which each process sends and all listen."""
    processes = layout.processes_of_cell(cells)
    return Load(
        processes,
        processes * IDLE_CONNECTIONS,
        cells * IDLE_CONNECTIONS,
        processes * IDLE_TRANSACTIONS_A_SECOND,
        processes * processes * BUSY_NOTIFIES_A_SECOND,
        cells * IDLE_CORE,
    )


class Positions(NamedTuple):
    """Text of a position in the stream of all jobs, and the time to write that of the other cells for a batch."""

    idle_bytes: int
    busy_bytes: int
    batch_microseconds: float


def positions_of(cells: int, *, rounds: int = 2_000) -> Positions:
    """Returns the positions while the other cells are idle, and while all are within transactions."""
    within: StreamVector = [StreamPosition(NEW_TRANSACTION + n, _id(), 5) for n in range(cells)]
    before: StreamVector = [before_transaction(NEW_TRANSACTION + n) for n in range(cells)]
    began = time.process_time()
    for _ in range(rounds):
        write_others(within, 0)
    microseconds = (time.process_time() - began) / rounds * 1e6
    return Positions(len(write_vector(before)), len(write_vector(within)), microseconds)


def _id() -> UUID:
    return new_job_id()


def layouts(nodes: int) -> list[Layout]:
    """Returns the layouts that are compared."""
    serving = max(1, nodes // 10)
    return [
        Layout("each node serves and works all cells", nodes, 0, 0),
        Layout(f"{serving} serve all cells, each other works 8", serving, nodes - serving, 8),
        Layout(f"{serving} serve all cells, each other works 1", serving, nodes - serving, 1),
    ]


def table(cells: int, nodes: int) -> str:
    """Returns the table in Markdown."""
    lines = [
        f"| {cells} cells, {nodes} nodes | {' | '.join(COLUMNS)} |",
        f"| --- |{' --- |' * len(COLUMNS)}",
    ]
    for layout in layouts(nodes):
        load = load_of(layout, cells)
        lines.append(
            f"| {layout.name} | {load.processes_of_cell:,.0f} | {load.connections_of_cell:,.0f} | "
            f"{load.connections_of_serving_process:,.0f} | {load.transactions_of_cell:,.0f} | "
            f"{load.notifies_received_of_cell:,.0f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Prints the table and the positions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=200)
    options = parser.parse_args(arguments)
    print(table(options.cells, options.nodes))
    idle, busy, microseconds = positions_of(options.cells)
    follows = options.cells * FOLLOWING_TRANSACTIONS_A_SECOND
    print(f"\ncore of an idle serving process: {options.cells * IDLE_CORE:.2f}")
    print(f"position of the stream of all jobs: {idle:,} to {busy:,} bytes, {microseconds:.0f} µs for each batch")
    print(f"statements of a process that follows all jobs: {follows:.0f}/s more over all cells")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
