"""The life of a job takes place in one cell, which its id names."""

from typing import Any
from uuid import UUID

from tests.support.cells import CELLS, CellDatabase, CellService, running_cells
from tests.support.lives_in_a_cell import run_whole_lives
from tests.support.service import eventually
from tests.support.webhook_receiver import Receiver

# Rows inserted, updated and deleted since the database was made. Partitions count for their table.
WRITES = """
select regexp_replace(relname, '_[0-9]{8}$', ''), sum(n_tup_ins + n_tup_upd + n_tup_del)::int
from pg_stat_user_tables where schemaname = current_schema()
group by 1 having sum(n_tup_ins + n_tup_upd + n_tup_del) > 0 order by 1
"""
# Written by each node for itself, and by the rehearsal of a submission at the start, which is taken back.
OF_NODES = {
    "nodes",
    "control",
    "epochs",
    "cell_record",
    "declared_types",
    "minute_figures",
    "alembic_version",
    "tenants",
}
OF_REHEARSALS = {"jobs", "ready"}


async def test_a_job_of_each_cell_runs_there_and_is_found_by_its_id(shared_cells: CellService) -> None:
    cells = shared_cells
    for number, node in enumerate(cells.nodes):
        job_id = str(node.clock.ids.new())
        assert cells.cell_of(job_id) == number
        answer = await cells.request(
            "PUT", f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {"n": number}}
        )
        assert answer.status_code == 202, answer.text

        assert (await cells.ended(job_id))["status"] == "completed"
        counts = [
            (await cells.sql(n, "select count(*) from jobs where job_id = $1", UUID(job_id)))[0][0] for n in range(4)
        ]
        assert counts == [int(n == number) for n in range(4)]


async def test_the_whole_life_of_a_job_writes_to_one_cell(cell_databases: CellDatabase, receiver: Receiver) -> None:
    before = [await _writes(cell_databases, cell) for cell in range(CELLS)]
    async with running_cells(cell_databases) as cells:
        await run_whole_lives(cells, 2, receiver)

    async def counted() -> bool:
        later = await _writes(cell_databases, 2)
        written = {table for table, count in later.items() if count != before[2].get(table)}
        return {"jobs", "events", "ready", "running", "deliveries", "delivery_attempts"} <= written

    # The sessions have ended, and with them what they counted is there to read.
    await eventually(counted)
    grown = []
    for cell, earlier in enumerate(before):
        later = await _writes(cell_databases, cell)
        grown.append({table for table, count in later.items() if count != earlier.get(table)})
    for cell in (0, 1, 3):
        assert grown[cell] <= OF_NODES | OF_REHEARSALS, cell
        assert [row[0] for row in await _rows(cell_databases, cell, "select count(*) from jobs")] == [0]


async def _rows(cells: CellDatabase, cell: int, statement: str) -> list[Any]:
    async with cells.connection(cell) as connection:
        rows: list[Any] = await connection.fetch(statement)
        return rows


async def _writes(cells: CellDatabase, cell: int) -> dict[str, int]:
    return {row[0]: row[1] for row in await _rows(cells, cell, WRITES)}
