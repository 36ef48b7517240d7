"""Processes for some of the cells: `DULY_WORK_CELLS`, and roles that are split over processes."""

import time
from collections.abc import AsyncIterator, Collection
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from duly.domain.cells import CellNumber
from duly.domain.ids import IdMaker
from tests.support.cells import CELLS, CellDatabase, CellService, schema_of
from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess, starting_processes


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


def variables(cells: CellDatabase, *, roles: str, work: str = "") -> dict[str, str]:
    """Returns the settings of a process with these roles that works for these cells (default: all)."""
    listed = " ".join(f"{proxy.url}#{schema_of(cell)}" for cell, proxy in enumerate(cells.proxies))
    return {
        "DULY_CELLS": listed,
        "DULY_ROLES": roles,
        "DULY_WORKER_SLOTS": "10",
        "DULY_DATABASE_WAIT_SECONDS": "30",
    } | ({"DULY_WORK_CELLS": work} if work else {})


async def submitted(service: ServiceProcess, cell: int) -> str:
    """Submits a job to a cell. Returns its id."""
    job_id = str(IdMaker(time.time, cell=CellNumber(cell, CELLS)).new())

    async def accepted() -> bool:
        answer = await service.client.put(f"/api/v1/jobs/{job_id}", json={"type": "quick", "parameters": {}})
        return answer.status_code in {200, 202}

    await eventually(accepted)
    return job_id


async def nodes_with(cells: CellDatabase, cell: int, role: str) -> list[str]:
    """Returns the names of the nodes of a cell that have a role."""
    async with cells.connection(cell) as connection:
        rows = await connection.fetch("select name from nodes where $1 = any(roles)", role)
        return sorted(row["name"] for row in rows)


async def test_a_process_without_the_api_works_for_its_cells_and_answers_probes(
    cell_databases: CellDatabase, processes: Processes
) -> None:
    api = await processes.serve("", **variables(cell_databases, roles="api"))
    ids = [await submitted(api, cell) for cell in range(CELLS)]
    worker = await processes.serve("", **variables(cell_databases, roles="worker,sweeper", work="2,3"))

    assert (await worker.client.get("/healthz")).status_code == 200
    assert (await worker.client.get(f"/api/v1/jobs/{ids[0]}")).status_code == 404  # it has no API
    for cell in (2, 3):
        assert (await api.ended(ids[cell]))["status"] == "completed"
    metrics = await worker.metrics()
    assert {metrics.get(f'duly_worker_slots{{cell="{cell}"}}') for cell in (2, 3)} == {5.0}
    assert 'duly_worker_slots{cell="0"}' not in metrics
    for cell in range(CELLS):
        name = f"-{worker.command.pid}"
        assert [each.endswith(name) for each in await nodes_with(cell_databases, cell, "worker")] == (
            [True] if cell in {2, 3} else []
        )
    assert [(await api.job(job_id))["status"] for job_id in ids[:2]] == ["pending", "pending"]

    cell_databases.proxies[3].refuse()
    await eventually(partial(says_away, worker, [3]))
    assert (await api.ended(await submitted(api, 2)))["status"] == "completed"
    await cell_databases.proxies[3].accept()
    await eventually(partial(says_away, worker, []))
    await eventually(partial(says_away, api, []))
    assert await worker.stop() == 0

    others = await processes.serve("", **variables(cell_databases, roles="worker", work="0,1"))
    for job_id in ids:
        assert (await api.ended(job_id))["status"] == "completed"
    assert await others.stop() == 0


async def says_away(service: ServiceProcess, away: Collection[int]) -> bool:
    """Returns whether a process serves without these cells."""
    ready = await service.readyz()
    return ready.status_code == 200 and ready.json()["cellsAway"] == away


async def test_a_process_with_the_api_serves_all_cells_and_works_for_some(
    cell_databases: CellDatabase, processes: Processes
) -> None:
    service = await processes.serve("", **variables(cell_databases, roles="api,worker,sweeper", work="1,3"))
    ids = [await submitted(service, cell) for cell in range(CELLS)]
    for cell in (1, 3):
        assert (await service.ended(ids[cell]))["status"] == "completed"
    for cell in range(CELLS):
        assert len(await nodes_with(cell_databases, cell, "api")) == 1
        assert len(await nodes_with(cell_databases, cell, "worker")) == (1 if cell in {1, 3} else 0)
    assert [(await service.job(ids[cell]))["status"] for cell in (0, 2)] == ["pending", "pending"]
    listed: dict[str, Any] = (await service.client.get("/api/v1/nodes")).json()
    assert [node["slots"] for node in listed["items"]] == [10]

    worker = await processes.serve("", **variables(cell_databases, roles="worker,sweeper", work="0,2"))
    for job_id in ids:
        assert (await service.ended(job_id))["status"] == "completed"
    assert await worker.stop() == 0
    assert await service.stop() == 0


@pytest.mark.parametrize(
    ("work", "message"), [("4", "names cell 4; DULY_CELLS lists cells 0 to 3"), ("0,-1", "names cell -1")]
)
async def test_a_number_that_is_no_cell_ends_the_start(
    cell_databases: CellDatabase, processes: Processes, work: str, message: str
) -> None:
    command = processes.begin("", **variables(cell_databases, roles="worker", work=work))
    assert await command.ended() != 0
    assert message in command.stderr


async def test_a_node_whose_row_was_removed_in_one_cell_registers_there_again_and_in_no_other(
    cells: CellService,
) -> None:
    before = [node.node_id for node in cells.nodes]

    async def registered() -> list[UUID]:
        return [row["node_id"] for row in await cells.sql("select node_id from nodes")]

    assert await registered() == before
    await cells.sql(2, "delete from nodes where node_id = $1", before[2])
    await cells.nodes[2].heartbeat.step()

    after = [node.node_id for node in cells.nodes]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]
    assert await registered() == after
    for node in cells.nodes:
        job_id = str(node.clock.ids.new())
        answer = await cells.request("PUT", f"/api/v1/jobs/{job_id}", json={"type": "echo", "parameters": {}})
        assert answer.status_code in {200, 202}, answer.text
        assert (await cells.ended(job_id))["status"] == "completed"
    listed = (await cells.client.get("/api/v1/nodes")).json()
    assert len(listed["items"]) == 1
