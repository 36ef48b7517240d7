"""A cell that goes away takes only its own jobs with it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from duly.domain.job import Accepted, NewJob
from duly.store.postgres.database import DatabaseOutage
from tests.support.cells import CellService, key_in
from tests.support.service import BOUND_SECONDS, eventually
from tests.support.websocket_client import socket_to

StartCells = Callable[..., Awaitable[CellService]]
JOBS = "/api/v1/jobs"
AWAY = 2


def is_away(answer: httpx.Response) -> None:
    """Checks the answer for a cell that is away."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    error = answer.json()["error"]
    assert error["code"] == "CELL_AWAY"
    assert error["message"] == "Cell 2 of 4 does not answer."
    assert error["details"]["cell"] == AWAY
    assert error["details"]["retryable"] is True
    assert "postgres" not in answer.text


async def test_a_cell_that_is_away_takes_only_its_jobs_with_it(start_cells: StartCells) -> None:
    cells = await start_cells(roles=("api", "sweeper"))
    client = cells.client
    ids = [str(node.clock.ids.new()) for node in cells.nodes]
    for job_id in ids:
        await cells.request("PUT", f"{JOBS}/{job_id}", json={"type": "echo", "parameters": {}, "delaySeconds": 600})
    views = [await cells.job(job_id) for job_id in ids]
    assert all(view["status"] == "pending" for view in views)
    leased = await leases_of_each_cell(cells)

    await cells.take_away(AWAY)

    async def is_refused(method: str, path: str, **options: Any) -> None:
        is_away(await cells.request(method, path, away={AWAY}, **options))

    for number, job_id in enumerate(ids):
        if number == AWAY:
            await is_refused("GET", f"{JOBS}/{job_id}")
            await is_refused("POST", f"{JOBS}/{job_id}/cancel")
        else:
            assert (await cells.job(job_id))["status"] == "pending"
    body = {"type": "echo", "parameters": {}}
    await is_refused("PUT", f"{JOBS}/{cells.nodes[AWAY].clock.ids.new()}", json=body)
    await is_refused("POST", JOBS, json=body | {"uniqueKey": key_in(AWAY)})
    await is_refused("POST", JOBS, json=body, headers={"Idempotency-Key": key_in(AWAY)})
    await is_refused("POST", f"{JOBS}/batch", json={"jobs": [body, body | {"dependsOn": [ids[AWAY]]}]})
    lines = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key_in(AWAY)}
    await is_refused("POST", f"{JOBS}/batch", content=b'{"type":"echo","parameters":{}}', headers=lines)

    found: list[int] = []
    while set(found) != {0, 1, 3}:
        found.append(cells.cell_of((await cells.submit("echo"))["jobId"]))
        assert len(found) < 40

    async def extended() -> bool:
        heartbeats = await client.post("/api/v1/leases/heartbeat", json={"leaseIds": leased})
        codes = [item.get("error", {}).get("code") for item in heartbeats.json()["leases"]]
        assert codes[AWAY] == "CELL_AWAY"
        assert set(codes) <= {None, "CELL_AWAY"}
        return codes == [None, None, "CELL_AWAY", None]

    await eventually(extended)
    cancelled = await client.post(f"{JOBS}/cancel", params={"type": "echo"})
    assert cancelled.status_code == 202
    assert cancelled.json()["incomplete"] is True
    away = cancelled.json()["cellsAway"]
    assert AWAY in away
    assert cancelled.headers["Duly-Cells-Away"] == ", ".join(map(str, away))

    async with socket_to(cells) as socket:
        refused = await socket.request("cancel_job", ref="x", jobId=ids[AWAY])
        assert (refused["ref"], refused["error"]["code"]) == ("x", "CELL_AWAY")
        await socket.is_open()

    await cells.bring_back(AWAY)
    assert (await cells.job(ids[AWAY]))["status"] == "pending"
    assert cells.cell_of((await cells.submit("echo", {}, uniqueKey=key_in(AWAY)))["jobId"]) == AWAY


async def leases_of_each_cell(cells: CellService) -> list[str]:
    """Returns the ids of a lease in each cell, in their order."""
    for node in cells.nodes:
        job_id = node.clock.ids.new()
        body = {"type": "echo", "parameters": {}}
        answer = await cells.request("PUT", f"{JOBS}/{job_id}", json=body)
        assert answer.status_code in {200, 202}, answer.text
    found: dict[int, str] = {}
    claim = {"types": ["echo"], "max": 10, "leaseSeconds": 600}
    async with asyncio.timeout(BOUND_SECONDS):
        while len(found) < cells.count:
            answer = await cells.client.post("/api/v1/leases", json=claim)
            leases: list[dict[str, Any]] = answer.json()["leases"]
            found |= {cells.cell_of(lease["job"]["jobId"]): lease["leaseId"] for lease in leases}
    return [found[cell] for cell in range(cells.count)]


async def test_a_submission_for_any_cell_goes_to_another_one_if_its_own_refuses_connections(
    cells: CellService, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = await refuse_unnoticed(cells, monkeypatch)
    while not tried:
        answer = await cells.client.post(JOBS, json={"type": "echo", "parameters": {}})
        assert answer.status_code == 202, answer.text
        assert cells.cell_of(answer.json()["jobId"]) != AWAY


async def test_one_that_may_be_recorded_goes_to_no_other_cell(
    cells: CellService, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitter = cells.nodes[AWAY].submitter

    async def loses_response(*_: Any) -> None:
        submitter._record_once = record_once  # type: ignore[method-assign]  # for the second time
        raise DatabaseOutage("the connection broke after the commit")

    record_once = submitter._record_once
    tried = await refuse_unnoticed(cells, monkeypatch)
    submitter._record_once = loses_response  # type: ignore[method-assign, assignment]
    while True:
        answer = await cells.client.post(JOBS, json={"type": "echo", "parameters": {}})
        if tried:
            break
        assert answer.status_code == 202, answer.text
    assert answer.status_code == 503, answer.text


async def refuse_unnoticed(cells: CellService, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Lets a cell refuse connections before the process knows. Returns a list to which its submissions are added."""
    node, tried = cells.nodes[AWAY], list[object]()
    first = {"type": "echo", "parameters": {}}
    answer = await cells.request("PUT", f"{JOBS}/{node.clock.ids.new()}", json=first)  # limits are read with the first
    assert answer.status_code in {200, 202}, answer.text
    monkeypatch.setattr(cells.group._watches[AWAY], "_went", lambda _error: None)
    cells.cells.proxies[AWAY].refuse()

    async def closed() -> bool:
        return all(connection.is_closed() for connection in node.database._hot.connections)

    await eventually(closed)
    submit = node.submitter.submit

    def noted(job: NewJob) -> Awaitable[Accepted]:
        tried.append(job)
        return submit(job)

    monkeypatch.setattr(node.submitter, "submit", noted)
    return tried
