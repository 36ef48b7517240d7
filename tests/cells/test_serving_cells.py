"""Processes that serve several cells: their start, a cell that is away at the start or later, and their end."""

import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from duly.domain.cells import CellNumber
from duly.domain.ids import IdMaker
from tests.support.cells import CELLS, CellDatabase, CellService, schema_of
from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess, starting_processes

LATE = 3


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


def listed(cells: CellDatabase) -> str:
    """Returns `DULY_CELLS` of these cells."""
    return " ".join(f"{proxy.url}#{schema_of(cell)}" for cell, proxy in enumerate(cells.proxies))


def id_of(cell: int) -> UUID:
    return IdMaker(time.time, cell=CellNumber(cell, CELLS)).new()


async def test_processes_serve_without_a_cell_that_is_away_and_take_it_in_when_it_answers(
    cell_databases: CellDatabase, processes: Processes
) -> None:
    cell_databases.proxies[LATE].refuse()
    variables = {"DULY_CELLS": listed(cell_databases), "DULY_DATABASE_WAIT_SECONDS": "1", "DULY_WORKER_SLOTS": "10"}
    service = await processes.serve("", "--processes", "2", **variables)
    assert f'"cell":{LATE}' in service.command.stderr.replace(" ", "")
    ready = await service.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["cellsAway"] == [LATE]

    async def accepted(cell: int) -> bool:  # a slow process may take a cell for one that is away for a moment
        return await _submitted(service, cell) == 202

    for cell in range(LATE):
        await eventually(partial(accepted, cell))
    assert await _submitted(service, LATE) == 503

    await cell_databases.proxies[LATE].accept()
    await eventually(partial(accepted, LATE))

    for cell in range(CELLS):
        async with cell_databases.connection(cell) as connection:
            assert await connection.fetchval("select count(*) from jobs") > 0, cell

    async def both_serve_all() -> bool:  # each process takes the cell in when it has noticed it
        for cell in range(CELLS):
            async with cell_databases.connection(cell) as connection:
                if await connection.fetchval("select count(*) from nodes") != 2:
                    return False
        metrics = await service.metrics()
        return {metrics.get(f'duly_worker_slots{{cell="{cell}"}}') for cell in range(CELLS)} == {2 * 3.0}

    await eventually(both_serve_all)
    metrics = await service.metrics()
    assert {metrics[f'duly_jobs_accepted_total{{cell="{cell}"}}'] for cell in range(LATE)} == {1.0}
    assert await service.stop() == 0


async def _submitted(service: ServiceProcess, cell: int) -> int:
    answer = await service.client.put(f"/api/v1/jobs/{id_of(cell)}", json={"type": "quick", "parameters": {}})
    return answer.status_code


async def test_a_wrong_list_ends_the_start_and_says_which_cell_is_wrong(
    cell_databases: CellDatabase, processes: Processes
) -> None:
    first, second, *others = listed(cell_databases).split()
    command = processes.begin("", DULY_CELLS=" ".join([second, first, *others]))

    assert await command.ended() == 1
    assert "cell 0 of DULY_CELLS is cell 1 of its installation" in command.stderr


async def test_reloading_handlers_is_refused(processes: Processes) -> None:
    command = processes.begin("", "--reload", DULY_CELLS="postgresql://db/jobs#a postgresql://db/jobs#b")

    assert await command.ended() == 2
    assert "--reload serves one database; remove --reload, or DULY_CELLS" in command.stderr


async def runs_in(cells: CellService, cell: int) -> None:
    """Submits a job to a cell and waits for its end."""
    job_id = str(cells.nodes[cell].clock.ids.new())
    answer = await cells.request("PUT", f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {}})
    assert answer.status_code in {200, 202}, answer.text
    assert (await cells.ended(job_id))["status"] == "completed"


async def test_a_cell_that_goes_away_takes_only_its_jobs_with_it_and_a_stop_does_not_wait_for_it(
    cells: CellService,
) -> None:
    await cells.take_away(1)
    assert cells.group.away == [1]

    for cell in (0, 2, 3):
        await runs_in(cells, cell)
    path = f"/api/v1/jobs/{cells.nodes[1].clock.ids.new()}"
    lost = await cells.request("PUT", path, away={1}, json={"type": "echo", "parameters": {}})
    assert lost.status_code == 503

    await cells.bring_back(1)
    await runs_in(cells, 1)

    await cells.take_away(2)
    began = time.monotonic()
    await cells.group.drain()
    assert time.monotonic() - began < 10


async def test_a_silent_cell_is_away_and_answers_again(cells: CellService) -> None:
    with cells.silent(3):
        await cells.until_serves(3, serves=False)
        await runs_in(cells, 0)
    await cells.until_serves(3, serves=True)
