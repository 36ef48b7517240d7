"""List of the cells in the settings."""

from duly.domain.cells import Cell, read_cells
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.store.postgres.database_url import InvalidDatabaseUrl, location_of, parse_url


class InvalidCells(ValueError):
    """Unusable list of cells. The message names the cell, and repeats no part that may be a password."""


def cell_list(settings: Settings) -> tuple[Cell, ...]:
    """Returns the cells in order of their numbers; none with a single database.

    Raises:
        InvalidCells: a URL cannot be used, or two cells are the same schema of the same database.
    """
    if settings.cells is None:
        return ()
    cells = read_cells(settings.cells.get_secret_value(), schema=settings.database_schema)
    found: dict[tuple[str, str, str | None], int] = {}
    for cell in cells:
        try:
            target = parse_url(cell.url)
        except InvalidDatabaseUrl as error:
            raise InvalidCells(f"the URL of cell {cell.number} {error}") from None
        # Roles may have search paths of their own, so cells without a schema differ by their roles.
        role = target.role if cell.schema is None else ""
        place = (" ".join(map(_place, target.urls)), role, cell.schema)
        if (first := found.setdefault(place, cell.number)) != cell.number:
            raise InvalidCells(f"cells {first} and {cell.number} have the same database and schema; each needs its own")
    return cells


def _place(url: str) -> str:
    return location_of(url).rpartition("@")[2]


def database_of(cell: Cell, settings: Settings) -> Database:
    """Returns the database of a cell."""
    return Database(
        cell.url,
        connections=settings.database_connections,
        transaction_pooling=settings.transaction_pooling,
        schema=cell.schema,
    )
