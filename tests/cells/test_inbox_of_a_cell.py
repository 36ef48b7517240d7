"""`submit` in a transaction of the caller's: the id that it returns is of the cell whose database it is."""

from typing import Any
from uuid import UUID

import pytest

from duly.domain.cells import cell_of, cell_of_key
from tests.support.cells import CellService

CELLS = 4


async def submit(shared_cells: CellService, cell: int, options: str = "{}") -> UUID:
    """Submits a job in a transaction on the database of a cell."""
    async with shared_cells.cells.connection(cell) as connection, connection.transaction():
        statement = """select submit('echo', '{"n": 1}', $1::text)"""
        job_id: UUID = await connection.fetchval(statement, options)
    return job_id


@pytest.mark.parametrize("cell", range(CELLS))
async def test_a_job_is_found_by_the_id_that_the_function_returns(shared_cells: CellService, cell: int) -> None:
    for _ in range(5):
        job_id = await submit(shared_cells, cell)
        assert cell_of(job_id, CELLS) == cell
        view = await shared_cells.ended(str(job_id))
        assert (view["status"], view["result"]) == ("completed", {"n": 1})


async def test_last_bytes_are_spread_over_those_of_the_cell(shared_cells: CellService) -> None:
    async with shared_cells.cells.connection(3) as connection:
        rows = await connection.fetch("select submit('echo') from generate_series(1, 100)")
    found = {row[0].int & 255 for row in rows}
    assert found <= set(range(3, 256, 4))
    assert len(found) > 20
    assert {row[0].version for row in rows} == {7}
    await shared_cells.ended(str(rows[-1][0]))


@pytest.mark.parametrize("name", ["uniqueKey", "concurrencyKey"])
async def test_a_key_of_another_cell_makes_a_job_that_has_failed(shared_cells: CellService, name: str) -> None:
    key = next(text for text in map(str, range(1_000)) if cell_of_key(1, text, CELLS) == 1)
    view = await shared_cells.ended(str(await submit(shared_cells, 2, f'{{"{name}": "{key}"}}')))
    assert view["error"]["code"] == "SUBMISSION_INVALID"
    assert f"{name}: belongs to cell 1 of 4, and this database to cell 2" in view["error"]["details"]["reason"]
    assert (await shared_cells.ended(str(await submit(shared_cells, 1, f'{{"{name}": "{key}"}}'))))[
        "status"
    ] == "completed"


async def test_an_id_of_another_cell_makes_a_job_that_names_it(shared_cells: CellService) -> None:
    alien = shared_cells.nodes[1].clock.ids.new()
    async with shared_cells.cells.connection(0) as connection:
        await connection.execute(
            "insert into inbox (tenant_id, job_id, called_at, size, queue, type, parameters, options)"
            " values (1, $1, now(), 10, 'default', 'echo', '{}', '{}')",
            alien,
        )
    rows: list[Any] = []
    while not rows:
        rows = await shared_cells.sql(0, "select job_id from jobs where correlation_id = $1", str(alien))
    view = await shared_cells.job(str(rows[0][0]))
    assert view["status"] == "failed"
    assert "is of another cell" in view["error"]["details"]["reason"]
