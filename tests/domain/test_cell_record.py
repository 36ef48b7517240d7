"""A wrong list of cells is refused by the records of the cells, with the cell, what it holds, and the remedy."""

from uuid import UUID

import pytest

from duly.domain.cell_record import CellRecord, WrongCell, check_cell, check_only
from duly.domain.cells import ONLY, CellNumber

OURS, OTHERS = UUID(int=1), UUID(int=2)
HOME = CellRecord(CellNumber(0, 4), OURS, complete=True)
BEGUN = CellRecord(CellNumber(0, 4), OURS)
CELL = CellNumber(2, 4)


def record(number: int, count: int, installation: UUID = OURS) -> CellRecord:
    return CellRecord(CellNumber(number, count), installation, complete=True)


@pytest.mark.parametrize(
    ("found", "used", "home", "words"),
    [
        (record(1, 4), True, HOME, ("cell 2 of DULY_CELLS is cell 1 of its", "in the order of their numbers")),
        (record(2, 8), True, HOME, ("cell 2 of DULY_CELLS is one of 8 cells", "lists 4", "list all 8")),
        (record(2, 4, OTHERS), True, HOME, ("cell 2 of DULY_CELLS is a cell of another installation", "its URL")),
        (record(0, 1), True, None, ("cell 2 of DULY_CELLS is the only database", "go on with DULY_DATABASE_URL")),
        (None, True, BEGUN, ("cell 2 of DULY_CELLS is the only database", "correct its URL and schema")),
        (None, False, HOME, ("cell 2 of DULY_CELLS is empty", "restore its database, or correct")),
    ],
)
def test_a_wrong_cell_is_refused_and_named(
    found: CellRecord | None,
    used: bool,
    home: CellRecord | None,
    words: tuple[str, ...],
) -> None:
    with pytest.raises(WrongCell) as refused:
        check_cell(CELL, found, used=used, home=home)

    for part in words:
        assert part in str(refused.value)


def test_the_right_cell_and_a_new_one_are_accepted() -> None:
    check_cell(CELL, record(2, 4), used=True, home=HOME)
    check_cell(CELL, record(2, 4), used=True, home=None)
    check_cell(CELL, None, used=False, home=None)
    check_cell(CELL, None, used=False, home=BEGUN)


def test_one_of_several_cells_is_not_served_alone() -> None:
    check_only(None)
    check_only(CellRecord(ONLY, OURS))
    with pytest.raises(WrongCell, match=r"cell 3 of 4, .* set DULY_CELLS to the list of all 4 cells"):
        check_only(record(3, 4))
