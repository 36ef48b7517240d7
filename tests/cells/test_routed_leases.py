"""Workers over HTTP claim from all cells, and report to the cells of their jobs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from duly.lifecycle.leases import leased_types
from tests.support import handlers as test_handlers
from tests.support.cells import CELLS, CellService, cell_database, key_in, running_cells
from tests.support.database_pool import TestDatabases
from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.postgres_servers import Server
from tests.support.service import BOUND_SECONDS, eventually


@pytest.fixture(scope="module")
async def api(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[CellService]:
    """Process with four cells that runs no handlers itself."""
    test_handlers.forget()
    roles = ("api", "sweeper")
    async with (
        databases_of(server).cells(CELLS) as url,
        cell_database(url) as cells,
        running_cells(cells, roles=roles) as running,
    ):
        yield running


async def submit(api: CellService, count: int, **members: Any) -> list[str]:
    """Returns new jobs, of each cell in turn."""
    keys = [key_in(number % CELLS, beside=f"{uuid4()} ") for number in range(count)]
    return [(await api.submit("echo", uniqueKey=key, **members))["jobId"] for key in keys]


async def claim_until(api: CellService, count: int) -> list[dict[str, Any]]:
    """Returns the leases of so many claimed jobs: a claim returns what it finds first."""
    leases: list[dict[str, Any]] = []
    async with asyncio.timeout(BOUND_SECONDS):
        while len(leases) < count:
            leases += await claim(api, max=count - len(leases))
    return leases


async def complete_all(api: CellService, leases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Completes leases in one call, and returns the items of the answer."""
    body = {"leases": [{"leaseId": lease["leaseId"], "result": lease["job"]["jobId"]} for lease in leases]}
    answer = await api.client.post(f"{LEASES}/complete", json=body)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["leases"]
    return items


async def test_a_claim_takes_jobs_of_all_cells_up_to_its_number(api: CellService) -> None:
    job_ids = await submit(api, 8)
    some = await claim(api, max=5)
    assert 1 <= len(some) <= 5
    leases = some + await claim_until(api, 8 - len(some))
    assert sorted(lease["job"]["jobId"] for lease in leases) == sorted(job_ids)
    assert {api.cell_of(job_id) for job_id in job_ids} == {0, 1, 2, 3}

    shuffled = leases[::2] + leases[1::2]
    items = await complete_all(api, shuffled)
    assert [item["leaseId"] for item in items] == [lease["leaseId"] for lease in shuffled]
    assert {item["status"] for item in items} == {"completed"}
    for lease in leases:
        view = await api.job(lease["job"]["jobId"])
        assert (view["status"], view["result"]) == ("completed", view["jobId"])


async def test_jobs_of_one_claim_are_in_order_of_priority(api: CellService) -> None:
    for priority in (0, 5, 1, 7, 3):
        await submit(api, 1, priority=priority)
    leases = await claim(api, max=10)
    assert [lease["job"]["priority"] for lease in leases] == [7, 5, 3, 1, 0]
    await complete_all(api, leases)


async def test_a_waiting_claim_gets_a_job_of_whichever_cell(api: CellService) -> None:
    for _ in range(4):
        claiming = asyncio.create_task(claim_one(api, waitSeconds=20))

        async def waits() -> bool:
            return all(len(node.leases.polls) == 1 for node in api.nodes)

        await eventually(waits)
        [job_id] = await submit(api, 1)
        lease = await claiming
        assert lease["job"]["jobId"] == job_id
        assert (await post(api, lease, "complete", {"result": None})).status_code == 200
        assert not any(len(node.leases.polls) for node in api.nodes)


async def test_no_job_is_lost_when_several_cells_answer_a_waiting_claim(api: CellService) -> None:
    for _ in range(3):
        claiming = asyncio.create_task(claim(api, max=2, waitSeconds=20))

        async def waits() -> bool:
            return all(len(node.leases.polls) == 1 for node in api.nodes)

        await eventually(waits)
        submitted = await asyncio.gather(*(api.submit("echo") for _ in range(8)))
        expected = {each["jobId"] for each in submitted}
        leases = await claiming
        assert 1 <= len(leases) <= 2
        leases += await claim_until(api, len(expected) - len(leases))
        assert {lease["job"]["jobId"] for lease in leases} == expected
        assert all(lease["attempt"] == 1 for lease in leases)
        await complete_all(api, leases)


async def test_a_worker_that_leaves_while_it_waits_leaves_its_polls(api: CellService) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await claim(api, waitSeconds=30)

    async def left() -> bool:
        return not any(len(node.leases.polls) for node in api.nodes)

    await eventually(left)
    [job_id] = await submit(api, 1)
    lease = await claim_one(api)
    assert lease["job"]["jobId"] == job_id
    await complete_all(api, [lease])


async def test_each_call_about_a_lease_reaches_its_cell(api: CellService) -> None:
    for _ in range(4):
        [job_id] = await submit(api, 1)
        lease = await claim_one(api)
        answer = await post(api, lease, "heartbeat", {"progress": 50, "message": "half"})
        assert answer.status_code == 200, answer.text
        assert (await post(api, lease, "steps/reserve", {"result": 1})).status_code < 300
        children = await post(api, lease, "jobs", {"jobs": [{"type": "echo", "parameters": {}}]})
        assert children.status_code == 202, children.text
        [child] = children.json()["jobIds"]
        assert api.cell_of(child) == api.cell_of(children.json()["batchId"]) == api.cell_of(job_id)
        assert (await post(api, lease, "release")).status_code == 200
        await complete_all(api, await claim_until(api, 2))
        for each in (job_id, child):
            assert (await api.job(each))["status"] == "completed"


async def test_a_worker_that_runs_a_job_of_one_cell_is_a_worker_for_those_of_the_others(
    api: CellService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leased_types, "BETWEEN_CLAIMS_SECONDS", -1)  # so that only the lease counts
    await submit(api, CELLS)
    lease = await claim_one(api)
    waiting = await submit(api, CELLS, queue="waiting")

    async def workers() -> list[int | None]:
        await api.beat()
        paths = [f"/api/v1/jobs/{job_id}/why" for job_id in waiting]
        return [(await api.request("GET", path)).json()["data"].get("workers") for path in paths]

    assert await workers() == [1] * CELLS
    api.node.parts.leased_types._until.clear()  # as in a process that the worker has not claimed from
    assert await workers() == [None] * CELLS
    assert (await post(api, lease, "heartbeat")).status_code == 200
    assert await workers() == [1] * CELLS
    await complete_all(api, [lease, *await claim_until(api, 2 * CELLS - 1)])


async def test_heartbeats_of_leases_of_several_cells_are_answered_in_order(api: CellService) -> None:
    await submit(api, 4)
    leases = await claim_until(api, 4)
    ids = [lease["leaseId"] for lease in reversed(leases)]
    ids.insert(2, "unknown")
    answer = await api.client.post(f"{LEASES}/heartbeat", json={"leaseIds": ids})
    items = answer.json()["leases"]
    assert [item["leaseId"] for item in items] == ids
    assert items[2]["error"]["code"] == "NOT_FOUND"
    assert all(item["cancelRequested"] is False for index, item in enumerate(items) if index != 2)
    await complete_all(api, leases)


async def test_results_keep_their_numbers_as_they_are_sent(api: CellService) -> None:
    await submit(api, 4)
    leases = await claim_until(api, 4)
    items = ",".join(f'{{"leaseId":"{lease["leaseId"]}","result":0.10}}' for lease in leases)
    headers = {"Content-Type": "application/json"}
    answer = await api.client.post(f"{LEASES}/complete", content=f'{{"leases":[{items}]}}', headers=headers)
    assert answer.status_code == 200, answer.text
    for lease in leases:
        text = (await api.client.get(f"/api/v1/jobs/{lease['job']['jobId']}")).text
        assert '"result":0.10' in text


async def test_an_invalid_list_of_leases_changes_nothing(api: CellService) -> None:
    await submit(api, 2)
    leases = await claim_until(api, 2)
    body = {"leases": [{"leaseId": lease["leaseId"], "result": 1} for lease in leases] + [{"lease": 1}]}
    answer = await api.client.post(f"{LEASES}/complete", json=body)
    assert answer.status_code == 422
    for lease in leases:
        assert (await api.job(lease["job"]["jobId"]))["status"] == "running"
    await complete_all(api, leases)


async def test_a_child_job_with_a_tie_to_another_cell_is_refused(api: CellService) -> None:
    [job_id] = await submit(api, 1)
    lease = await claim_one(api)
    cell = api.cell_of(job_id)
    other = (cell + 1) % CELLS
    ties: list[tuple[dict[str, Any], str]] = [
        ({"uniqueKey": key_in(other)}, "jobs[0].uniqueKey"),
        ({"concurrencyKey": key_in(other)}, "jobs[0].concurrencyKey"),
        ({"dependsOn": [str(api.nodes[other].clock.ids.new())]}, "jobs[0].dependsOn[0]"),
    ]
    for members, path in ties:
        answer = await post(api, lease, "jobs", {"jobs": [{"type": "echo", "parameters": {}, **members}]})
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["error"]["details"]["errors"]
        assert error["path"] == path
        assert f"belongs to cell {other} of 4, and its parent to cell {cell}" in error["message"]
    own = {"type": "echo", "parameters": {}, "uniqueKey": key_in(cell)}
    assert (await post(api, lease, "jobs", {"jobs": [own]})).status_code == 202
    await complete_all(api, [lease, await claim_one(api)])
