"""Record that each cell keeps of itself, and the refusal of a wrong list of cells by it."""

from dataclasses import dataclass
from uuid import UUID

from duly.domain.cells import ONLY, CellNumber


class WrongCell(Exception):
    """Database that is not the cell that the settings say. The message names the cell and the remedy."""


@dataclass(frozen=True, slots=True)
class CellRecord:
    """Record of a cell.

    Attributes:
        cell: its number, and the number of cells.
        installation: equal in all cells of an installation.
        complete: True once all cells were recorded.
    """

    cell: CellNumber
    installation: UUID
    complete: bool = False


_REMEDY = "DULY_CELLS lists the cells of an installation in the order of their numbers, which never change"


def check_cell(cell: CellNumber, found: CellRecord | None, *, used: bool, home: CellRecord | None) -> None:
    """Verifies that a database is the cell that a list says.

    Args:
        cell: its place in the list.
        found: its record.
        used: True if it has jobs.
        home: the record of another cell of the list, or None if none has one.

    Raises:
        WrongCell: it is not.
    """
    place = f"cell {cell.number} of DULY_CELLS"
    if found is None:
        if used:
            raise WrongCell(_used_alone(place))
        if home is not None and home.complete:
            raise WrongCell(
                f"{place} is empty, but all {cell.count} cells of the installation were recorded; "
                "restore its database, or correct its URL and schema"
            )
        return
    if found.cell == ONLY:
        raise WrongCell(_used_alone(place))
    if found.cell.count != cell.count:
        raise WrongCell(
            f"{place} is one of {found.cell.count} cells, but DULY_CELLS lists {cell.count}; "
            f"list all {found.cell.count}: their number never changes"
        )
    if found.cell.number != cell.number:
        raise WrongCell(f"{place} is cell {found.cell.number} of its installation; {_REMEDY}")
    if home is not None and found.installation != home.installation:
        raise WrongCell(
            f"{place} is a cell of another installation ({found.installation}) than cell {home.cell.number} "
            f"({home.installation}); correct its URL and schema"
        )


def check_only(found: CellRecord | None) -> None:
    """Verifies that a database is the only one of its installation.

    Raises:
        WrongCell: it is one of several cells.
    """
    if found is not None and found.cell != ONLY:
        number, count = found.cell.number, found.cell.count
        raise WrongCell(
            f"the database is cell {number} of {count}, and DULY_DATABASE_URL would serve it alone; "
            f"set DULY_CELLS to the list of all {count} cells instead"
        )


def _used_alone(place: str) -> str:
    return (
        f"{place} is the only database of an installation, with its jobs; a cell begins as an empty schema: "
        "correct its URL and schema, or go on with DULY_DATABASE_URL"
    )
