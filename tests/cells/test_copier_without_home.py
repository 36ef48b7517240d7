"""A process that works some of the cells copies nothing to them if cell 0 is not among these."""

from types import SimpleNamespace
from typing import Any, cast

from duly.cells.copier import ConfigurationCopier
from duly.cells.pinned_queues import PinnedQueues
from duly.domain.cells import CellNumber


async def test_the_first_cell_of_a_process_is_not_the_home_of_the_configuration() -> None:
    nodes = cast("Any", [SimpleNamespace(cell=CellNumber(number, 4)) for number in (3, 1)])
    copier = ConfigurationCopier(nodes, PinnedQueues(nodes, serves=bool), serves=lambda _cell: True)
    assert not copier.copies
    assert await copier.copy() == []


async def test_cells_that_are_away_are_behind_at_once_and_tried_again_soon() -> None:
    nodes = cast("Any", [SimpleNamespace(cell=CellNumber(number, 3)) for number in (1, 0, 2)])
    woken: list[int] = []
    copier = ConfigurationCopier(nodes, PinnedQueues([], serves=bool), serves=lambda cell: cell == 0)
    copier.wake = lambda: woken.append(1)
    assert copier.copies
    assert await copier.copy() == [1, 2]
    assert woken == [1]
    assert await copier.step() < 2
    assert woken == [1]
