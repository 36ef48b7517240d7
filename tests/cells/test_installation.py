"""Cells are recognised by their records; new ones are recorded, and a wrong list changes nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from duly.cells.installation import Installation
from duly.cli.prepare_database import CannotServe, recognise_only
from duly.domain.cell_record import WrongCell
from duly.store.postgres.database import DatabaseOutage
from tests.support.cells import CELLS, CellDatabase, CellService

READ = "select number, count, complete from cell_record"


async def recorded(cells: CellDatabase) -> list[Any]:
    found = []
    for cell in range(CELLS):
        async with cells.connection(cell) as connection:
            found += [tuple(row) for row in await connection.fetch(READ)]
    return found


@asynccontextmanager
async def recognised(
    cells: CellDatabase, order: tuple[int, ...] = (0, 1, 2, 3), *, writes: bool = True
) -> AsyncIterator[dict[int, Exception]]:
    """Yields the errors of a list of cells in this order."""
    databases = {number: cells.database(cell) for number, cell in enumerate(order)}
    yield await Installation(len(order), writes=writes).recognise(databases)
    for database in databases.values():
        await database.close()


async def change(cells: CellDatabase, cell: int, statement: str, *arguments: Any) -> None:
    async with cells.connection(cell) as connection:
        await connection.execute(statement, *arguments)


async def test_a_list_in_another_order_or_of_another_length_is_refused_and_changes_nothing(
    cell_databases: CellDatabase,
) -> None:
    before = await recorded(cell_databases)
    assert before == [(cell, CELLS, True) for cell in range(CELLS)]

    async with recognised(cell_databases, (0, 2, 1, 3)) as errors:
        assert errors.keys() == {1, 2}
        assert "cell 1 of DULY_CELLS is cell 2" in str(errors[1])
    async with recognised(cell_databases, (0, 1, 2)) as errors:
        assert errors.keys() == {0, 1, 2}
        assert "is one of 4 cells, but DULY_CELLS lists 3" in str(errors[0])
    await change(cell_databases, 3, "update cell_record set installation = $1", uuid4())
    async with recognised(cell_databases) as errors:
        assert errors.keys() == {3}
        assert "of another installation" in str(errors[3])
    assert await recorded(cell_databases) == before


async def test_an_empty_schema_is_a_new_cell_only_while_not_all_are_recorded(cell_databases: CellDatabase) -> None:
    await change(cell_databases, 2, "delete from cell_record")
    async with recognised(cell_databases) as errors:
        assert isinstance(errors.pop(2), WrongCell)
        assert not errors

    for cell in (0, 1, 3):
        await change(cell_databases, cell, "update cell_record set complete = false")
    async with recognised(cell_databases, writes=False) as errors:
        assert "cell 2 of DULY_CELLS is not recorded as a cell; run `duly migrate`" in str(errors[2])
    async with recognised(cell_databases) as errors:
        assert not errors
    assert await recorded(cell_databases) == [(cell, CELLS, True) for cell in range(CELLS)]


async def test_a_new_list_is_not_recorded_without_its_first_cell(cell_databases: CellDatabase) -> None:
    for cell in range(CELLS):
        await change(cell_databases, cell, "delete from cell_record")
    cell_databases.proxies[0].refuse()
    async with recognised(cell_databases) as errors:
        assert isinstance(errors[0], DatabaseOutage)
        assert "cell 0 does not answer" in str(errors[3])
    assert await recorded(cell_databases) == []


async def test_a_database_that_was_used_alone_does_not_become_a_cell_and_a_cell_is_not_served_alone(
    cells: CellService,
) -> None:
    with pytest.raises(CannotServe, match="is cell 2 of 4, and DULY_DATABASE_URL would serve it alone"):
        await recognise_only(cells.nodes[2].database, writes=True)

    used = cells.cell_of((await cells.run("echo", {}))["jobId"])
    await cells.sql(used, "update cell_record set number = 0, count = 1")
    async with recognised(cells.cells) as errors:
        assert list(errors) == [used]
        assert f"cell {used} of DULY_CELLS is the only database of an installation, with its jobs" in str(errors[used])
