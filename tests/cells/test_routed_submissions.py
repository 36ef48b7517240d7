"""A submission is recorded in the cell of its ids and keys, or in the next one that serves."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from duly.client import AsyncClient
from tests.support.cells import CellService, key_in
from tests.support.service import eventually

JOBS, BATCH = "/api/v1/jobs", "/api/v1/jobs/batch"


def echo(**members: Any) -> dict[str, Any]:
    return {"type": "echo", "parameters": {}, **members}


async def submit(
    cells: CellService, value: Any, headers: dict[str, str] | None = None, *, status: int = 202
) -> dict[str, Any]:
    answer = await answered(lambda: cells.client.post(JOBS, json=value, headers=headers))
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def answered(post: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Returns an answer, once no cell is taken for one that is away: on a busy machine, its answer may be late."""

    async def once() -> httpx.Response | None:
        answer = await post()
        return None if answer.status_code == 503 else answer

    answer: httpx.Response = await eventually(once)
    return answer


def errors_in(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 422, answer.text
    errors: list[dict[str, Any]] = answer.json()["error"]["details"]["errors"]
    return errors


async def test_submissions_without_a_key_go_to_all_cells_in_turns(shared_cells: CellService) -> None:
    found: list[int] = []
    while set(found) != {0, 1, 2, 3}:
        found.append(shared_cells.cell_of((await submit(shared_cells, echo()))["jobId"]))
        assert len(found) < 40


@pytest.mark.parametrize("member", ["concurrencyKey", "uniqueKey", "Idempotency-Key"])
async def test_a_key_decides_the_cell(shared_cells: CellService, member: str) -> None:
    for cell in range(4):
        key = key_in(cell, beside=member)
        header = {member: key} if member == "Idempotency-Key" else {}
        accepted = await submit(shared_cells, echo() if header else echo(**{member: key}), header)
        assert shared_cells.cell_of(accepted["jobId"]) == cell


async def test_twenty_identical_requests_with_a_key_make_one_job(shared_cells: CellService) -> None:
    async def one() -> str:
        while True:
            answer = await shared_cells.client.post(JOBS, json=echo(), headers={"Idempotency-Key": "the-same"})
            if answer.status_code != 409:
                assert answer.status_code == 202, answer.text
                job_id: str = answer.json()["jobId"]
                return job_id

    assert len(set(await asyncio.gather(*(one() for _ in range(20))))) == 1


async def test_another_body_under_the_same_key_is_refused(shared_cells: CellService) -> None:
    await submit(shared_cells, echo(), headers={"Idempotency-Key": "reused"})
    refused = await submit(shared_cells, echo(priority=1), status=422, headers={"Idempotency-Key": "reused"})
    assert refused["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_a_job_lives_beside_the_one_that_it_depends_on(shared_cells: CellService) -> None:
    for _ in range(4):
        parent = (await submit(shared_cells, echo()))["jobId"]
        child = (await submit(shared_cells, echo(dependsOn=[parent])))["jobId"]
        assert shared_cells.cell_of(child) == shared_cells.cell_of(parent)
        assert (await shared_cells.ended(child))["status"] == "completed"


async def test_a_dependency_on_jobs_of_two_cells_is_refused(shared_cells: CellService) -> None:
    parents = [str(shared_cells.nodes[cell].clock.ids.new()) for cell in (1, 2)]
    answer = await shared_cells.client.post(JOBS, json=echo(dependsOn=parents))
    (error,) = errors_in(answer)
    assert error["path"] == "dependsOn[1]"
    assert "lives in cell 2 of 4" in error["message"]


async def test_a_client_made_id_decides_and_a_key_that_disagrees_is_refused(shared_cells: CellService) -> None:
    job_id = str(shared_cells.nodes[2].clock.ids.new())
    refused = await shared_cells.request("PUT", f"{JOBS}/{job_id}", json=echo(uniqueKey=key_in(1)))
    (error,) = errors_in(refused)
    assert error["path"] == "uniqueKey"
    for status in (202, 200):
        answer = await shared_cells.request("PUT", f"{JOBS}/{job_id}", json=echo(uniqueKey=key_in(2, beside="put")))
        assert answer.status_code == status, answer.text
    other = await shared_cells.request("PUT", f"{JOBS}/{job_id}", json=echo(priority=3))
    assert other.json()["error"]["code"] == "JOB_EXISTS"


async def test_a_wait_for_the_end_is_answered_by_the_jobs_cell(shared_cells: CellService) -> None:
    for cell in range(4):
        accepted = await submit(
            shared_cells, echo(uniqueKey=key_in(cell, beside="wait")), {"Prefer": "wait=20"}, status=200
        )
        assert accepted["status"] == "completed"
        assert shared_cells.cell_of(accepted["jobId"]) == cell


@pytest.mark.parametrize("form", ["json", "lines"])
async def test_a_batch_is_whole_in_the_cell_of_its_keys(shared_cells: CellService, form: str) -> None:
    for cell in range(4):
        jobs = [echo(), echo(concurrencyKey=key_in(cell, beside=form)), echo()]
        accepted = (await send_batch(shared_cells, jobs, form)).json()
        ids = [accepted["batchId"], *accepted["jobIds"]]
        assert {shared_cells.cell_of(each) for each in ids} == {cell}
        view = (await shared_cells.request("GET", f"/api/v1/batches/{accepted['batchId']}")).json()
        assert view["total"] == 3


@pytest.mark.parametrize("form", ["json", "lines"])
async def test_a_batch_whose_jobs_belong_to_different_cells_is_refused(shared_cells: CellService, form: str) -> None:
    jobs = [echo(), echo(uniqueKey=key_in(0, beside="a")), echo(uniqueKey=key_in(3, beside="b"))]
    (error,) = errors_in(await send_batch(shared_cells, jobs, form))
    assert error["path"] == "jobs[2].uniqueKey"
    assert error["index"] == 2
    assert "submit them apart" in error["message"]


@pytest.mark.parametrize("form", ["json", "lines"])
async def test_the_key_of_a_batch_decides_where_no_job_does(shared_cells: CellService, form: str) -> None:
    for cell in range(4):
        headers = {"Idempotency-Key": key_in(cell, beside=form)}
        first = await send_batch(shared_cells, [echo(), echo()], form, **headers)
        again = await send_batch(shared_cells, [echo(), echo()], form, **headers)
        assert first.json() == again.json()
        assert again.headers["Idempotency-Replayed"] == "true"
        assert shared_cells.cell_of(first.json()["batchId"]) == cell


async def test_an_invalid_batch_names_all_its_errors(shared_cells: CellService) -> None:
    jobs = [echo(priority="high"), {"type": "no-such-type"}, echo(uniqueKey=7)]
    paths = [error["path"] for error in errors_in(await send_batch(shared_cells, jobs, "json"))]
    assert paths == ["jobs[0].priority", "jobs[1].type", "jobs[2].uniqueKey"]


async def test_a_follow_up_of_a_batch_that_belongs_to_another_cell_is_refused(shared_cells: CellService) -> None:
    jobs = [echo(uniqueKey=key_in(0, beside="then"))]
    value = {"jobs": jobs, "then": echo(concurrencyKey=key_in(1))}
    (error,) = errors_in(await shared_cells.client.post(BATCH, json=value))
    assert error["path"] == "then.concurrencyKey"


@pytest.mark.parametrize("body", [b"{", b"null", b'{"type":"echo","type":"sum"}', b"[]"])
async def test_a_body_that_cannot_be_read_is_refused_as_by_one_cell(shared_cells: CellService, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for path in (JOBS, BATCH):
        answer = await shared_cells.client.post(path, content=body, headers=headers)
        assert answer.status_code in {400, 422}, answer.text
        assert (await shared_cells.client.post(path, content=b"{}")).status_code == 415


async def test_retries_and_cancels_by_filter_act_in_all_cells(shared_cells: CellService) -> None:
    labels = {"labels": {"bulk": "yes"}, "delaySeconds": 600}
    for _ in range(8):
        await submit(shared_cells, echo(**labels))
    query = {"label": "bulk:yes"}
    counted = await shared_cells.client.post(f"{JOBS}/cancel", params=query | {"dryRun": "true"})
    assert counted.json() == {"count": 8, "complete": True}
    answer = await shared_cells.client.post(f"{JOBS}/cancel", params=query)
    assert (answer.status_code, answer.json()) == (202, {"cancelled": 8})
    answer = await shared_cells.client.post(f"{JOBS}/retry", params=query | {"status": "cancelled"})
    assert (answer.status_code, answer.json()) == (202, {"retried": 8})
    assert (await shared_cells.client.post(f"{JOBS}/cancel")).status_code == 422


async def test_the_python_client_needs_no_change(shared_cells: CellService) -> None:
    async with AsyncClient(shared_cells.url) as client:
        accepted = [await client.submit("echo", {"n": n}) for n in range(4)]
        jobs = [await client.wait(each["jobId"]) for each in accepted]
        assert [job["result"] for job in jobs] == [{"n": n} for n in range(4)]
        assert await client.retry_many(statuses=["failed"]) == {"retried": 0}


async def send_batch(cells: CellService, jobs: list[Any], form: str, **headers: str) -> httpx.Response:
    """Submits a batch as JSON or as lines."""
    if form == "json":
        return await answered(lambda: cells.client.post(BATCH, json={"jobs": jobs}, headers=headers))
    content = b"\n".join(json.dumps(job).encode() for job in jobs)
    typed = {"Content-Type": "application/x-ndjson", **headers}
    return await answered(lambda: cells.client.post(BATCH, content=content, headers=typed))


async def test_an_address_without_an_id_is_none_whatever_is_sent(shared_cells: CellService) -> None:
    for path in ("/api/v1/jobs/", "/api/v1/jobs/no-id"):
        answer = await shared_cells.request("PUT", path, content=b"no JSON")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
