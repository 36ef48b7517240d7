"""Reads of all cells: a route reads each of them at once, and merges what those found that are not away.

The router puts the cells of the process into the scope of each request (`CELLS`). Without it the process has one
database, whose errors are raised as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from duly.api.server.scope_values import RequestScope, node_of
from duly.domain.cells import cell_of
from duly.errors import CellAway
from duly.node import Node
from duly.store.postgres.database import DatabaseMisconfigured, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER

CELLS: Final = "duly.cells"
# A cell that takes longer to answer is away for this request.
READ_SECONDS = 5.0
Found = TypeVar("Found")


class Cells(Protocol):
    """Cells of the process, by their numbers.

    Attributes:
        nodes: one for each cell.
        leftovers: reads that outlasted their request, until they end.
    """

    nodes: Sequence[Node]
    leftovers: set["asyncio.Task[object]"]

    def away(self) -> Collection[int]:
        """Returns the numbers of the cells that are known to be away now."""


class CellReads(NamedTuple, Generic[Found]):
    """Results of the cells that answered, by their numbers, and the numbers of the cells that are away."""

    found: Mapping[int, Found]
    away: Sequence[int] = ()


def cells_of(scope: RequestScope) -> Cells | None:
    """Returns the cells of the process; None if it has one database."""
    return scope.get(CELLS)


def node_of_id(scope: RequestScope, of: UUID) -> Node:
    """Returns the node of the cell in which a job, batch or delivery lives."""
    cells = cells_of(scope)
    return node_of(scope) if cells is None else cells.nodes[cell_of(of, len(cells.nodes))]


def number_of(scope: RequestScope) -> int:
    """Returns the number of the cell that serves the request."""
    cells = cells_of(scope)
    return 0 if cells is None else list(cells.nodes).index(node_of(scope))


def cell_count(scope: RequestScope) -> int:
    """Returns the number of cells."""
    cells = cells_of(scope)
    return 1 if cells is None else len(cells.nodes)


async def read_cells(
    scope: RequestScope, read: Callable[[Node], Awaitable[Found]], *, of: Iterable[UUID] = ()
) -> CellReads[Found]:
    """Reads all cells at once, or those in which these jobs or batches live.

    Raises:
        DatabaseError: the only database cannot be read.
        CellAway: none of these cells can.
    """
    return await read_numbered_cells(scope, lambda node, _: read(node), of=of)


async def read_numbered_cells(
    scope: RequestScope, read: Callable[[Node, int], Awaitable[Found]], *, of: Iterable[UUID] = ()
) -> CellReads[Found]:
    """Reads all cells at once as `read_cells` does, each by its node and number.

    Raises:
        DatabaseError: the only database cannot be read.
        CellAway: none of these cells can.
    """
    cells = cells_of(scope)
    if cells is None:
        return CellReads({0: await read(node_of(scope), 0)})
    count = len(cells.nodes)
    numbers = sorted({cell_of(each, count) for each in of}) or range(count)
    known = cells.away()
    found: dict[int, Found] = {}
    results = await _results(
        cells, {number: read(cells.nodes[number], number) for number in numbers if number not in known}
    )
    for number, result in results.items():
        match result:
            case DatabaseOutage() | DatabaseMisconfigured():
                pass
            case BaseException():
                raise result
            case _:
                found[number] = result
    if not found:
        raise CellAway(numbers[0], count)
    return CellReads(found, [number for number in numbers if number not in found])


async def _results(cells: Cells, reads: Mapping[int, Awaitable[Found]]) -> Mapping[int, Found | BaseException]:
    """Returns the result or the error of each read; an outage for one that takes too long, which is cancelled.

    It is not awaited: a server that does not respond does not respond to a rollback either.
    """
    tasks = {number: asyncio.ensure_future(read) for number, read in reads.items()}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=READ_SECONDS)
    finally:
        for task in tasks.values():
            if not task.done():
                cells.leftovers.add(task)
                task.add_done_callback(cells.leftovers.discard)
                task.cancel()
    return {
        number: (task.exception() or task.result()) if task.done() else DatabaseOutage("", NO_ANSWER)
        for number, task in tasks.items()
    }
