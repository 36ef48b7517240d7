"""Installation with several cells: its cells are recognised by their records, and recorded when they are new."""

import asyncio
from collections.abc import Mapping
from uuid import uuid4

from duly.domain.cell_record import CellRecord, WrongCell, check_cell
from duly.domain.cells import ONLY, CellNumber
from duly.store.cells.cell_record import has_jobs, read_cell_record, write_cell_record, write_complete
from duly.store.postgres.database import Database, DatabaseError

HOME = 0


class Installation:
    """Cells that a list names, as they are recognised one by one.

    Args:
        count: number of cells in the list.
        writes: True if new cells are recorded, which needs the owner of their tables.
    """

    def __init__(self, count: int, *, writes: bool) -> None:
        self._count = count
        self._writes = writes
        self._known: CellRecord | None = None

    async def recognise(self, databases: Mapping[int, Database]) -> dict[int, Exception]:
        """Recognises the given cells, which are migrated. Returns the errors of those that are wrong or do not answer.

        All records are read before any is written, so a wrong list changes nothing.
        """
        numbers = sorted(databases)
        read = await asyncio.gather(*(_read(databases[number]) for number in numbers), return_exceptions=True)
        errors: dict[int, Exception] = {}
        new = []
        for number, found in zip(numbers, read, strict=True):
            try:
                if isinstance(found, BaseException):
                    raise found
                if self._check(number, *found):
                    new.append(number)
            except (DatabaseError, WrongCell) as error:
                errors[number] = error
        if any(isinstance(error, WrongCell) for error in errors.values()):
            return errors
        for number in new:
            try:
                await self._write(number, databases[number])
            except (DatabaseError, WrongCell) as error:
                errors[number] = error
        if self._writes and not errors and len(numbers) == self._count:
            await asyncio.gather(*map(_complete, databases.values()))
        return errors

    def _check(self, number: int, record: CellRecord | None, used: bool) -> bool:  # noqa: FBT001  # a row
        """Checks what was read in a cell. Returns whether the cell is new."""
        if record is not None and record.cell == ONLY and not used:
            record = None  # migrated as the only database, and not used
        check_cell(CellNumber(number, self._count), record, used=used, home=self._known)
        if record is not None and self._known is None:
            self._known = record
        return record is None

    async def _write(self, number: int, database: Database) -> None:
        """Records a new cell, or another process has done so."""
        if not self._writes:
            raise WrongCell(f"cell {number} of DULY_CELLS is not recorded as a cell; run `duly migrate`")
        if self._known is None and number != HOME:
            raise WrongCell(f"cell {number} of DULY_CELLS is new, and cell 0 does not answer; start again when it does")
        cell, installation = CellNumber(number, self._count), self._known.installation if self._known else uuid4()
        async with database.connection() as connection:
            record = await write_cell_record(connection, cell, installation)
        check_cell(cell, record, used=True, home=self._known)
        self._known = self._known or record


async def _read(database: Database) -> tuple[CellRecord | None, bool]:
    """Returns the record of a cell, and whether one without a record of its own has jobs."""
    async with database.connection() as connection:
        record = await read_cell_record(connection)
        return record, (record is None or record.cell == ONLY) and await has_jobs(connection)


async def _complete(database: Database) -> None:
    async with database.connection() as connection:
        await write_complete(connection)
