"""Cells: the number of the cell in an id, the cell that a key belongs to, and the list of all cells."""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple
from uuid import UUID

FEWEST, MOST = 2, 256


@dataclass(frozen=True, slots=True)
class CellNumber:
    """Number of a cell, and of how many."""

    number: int
    count: int


ONLY: Final = CellNumber(0, 1)


class Cell(NamedTuple):
    """Cell of an installation: its number, the URL of its database, and its schema; None: the first of the path."""

    number: int
    url: str
    schema: str | None


def cell_of(id_: UUID, count: int) -> int:
    """Returns the number of the cell of an id: its last byte modulo the number of cells."""
    return (id_.int & 255) % count


def cell_of_key(tenant_id: int, text: str, count: int) -> int:
    """Returns the number of the cell that a key of a tenant belongs to."""
    digest = blake2b(b"%d\0" % tenant_id + text.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) % count


def last_bytes(cell: CellNumber) -> bytes:
    """Returns for each byte the nearest one that ends ids of this cell, so that random bytes stay random."""
    number, count = cell.number, cell.count
    nearest = (byte - byte % count + number for byte in range(256))
    return bytes(byte if byte < MOST else byte - count for byte in nearest)


def read_cells(text: str, *, schema: str | None = None) -> tuple[Cell, ...]:
    """Returns the cells of a list of URLs separated by white space, in order of their numbers.

    Args:
        text: the list; the fragment of each URL is the schema of its cell.
        schema: that of URLs without one.

    Raises:
        ValueError: the list is not one of 2 to 256 different cells. The message repeats no part of a URL but a schema.
    """
    cells = tuple(_read_cell(number, url, schema) for number, url in enumerate(text.split()))
    if not FEWEST <= len(cells) <= MOST:
        raise ValueError(
            f"lists {len(cells)} cell{'' if len(cells) == 1 else 's'}, of {FEWEST} to {MOST}: "
            "URLs such as postgresql://host/database#schema, separated by white space; "
            "a single database is named by DULY_DATABASE_URL"
        )
    found: dict[tuple[str, str | None], int] = {}
    for cell in cells:
        if (first := found.setdefault((cell.url, cell.schema), cell.number)) != cell.number:
            raise ValueError(f"cells {first} and {cell.number} have the same database and schema; each needs its own")
    return cells


def _read_cell(number: int, url: str, schema: str | None) -> Cell:
    before, _, fragment = url.partition("#")
    if "#" in fragment:
        raise ValueError(
            f"the URL of cell {number} has several #: the schema follows one, and in a password # is percent-encoded"
        )
    if len(fragment.encode()) > 63 or "\0" in fragment or fragment.startswith("pg_"):  # noqa: PLR2004  # NAMEDATALEN
        raise ValueError(
            f"the schema of cell {number}, {fragment!r}, is not valid (at most 63 bytes, not beginning with pg_)"
        )
    return Cell(number, before, fragment or schema)
