"""`POST /api/v1/jobs/batch`: many jobs in one transaction, or none of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from duly.api.models import AcceptedBatchBody
from tests.support.answers import TIME
from tests.support.service import Service, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATH = "/api/v1/jobs/batch"


async def post(service: Service, *jobs: dict[str, Any], **members: Any) -> Any:
    return await service.client.post(PATH, json={"jobs": list(jobs), **members})


async def recorded(service: Service, label: str) -> int:
    rows = await service.sql("select count(*) from jobs where labels @> jsonb_build_object('batch', $1::text)", label)
    return int(rows[0][0])


async def test_all_are_recorded_in_order_and_run(contract: Service) -> None:
    answer = await post(contract, *({"type": "echo", "parameters": {"n": n}} for n in range(5)))
    assert answer.status_code == 202
    body = answer.json()
    AcceptedBatchBody.model_validate(body, strict=True)
    assert list(body) == ["batchId", "jobIds", "status", "createdAt"]
    assert (body["status"], len(set(body["jobIds"]))) == ("pending", 5)
    assert UUID(body["batchId"]).version == 7
    assert TIME.fullmatch(body["createdAt"])
    views = [await contract.ended(job_id) for job_id in body["jobIds"]]
    assert [view["parameters"] for view in views] == [{"n": n} for n in range(5)]
    assert {view["status"] for view in views} == {"completed"}
    assert {view["createdAt"] for view in views} == {body["createdAt"]}


async def test_all_members_of_a_submission_count_in_a_batch(contract: Service) -> None:
    job = {
        "type": "echo",
        "parameters": {"a": 1},
        "queue": "night",
        "priority": 7,
        "delaySeconds": 3600,
        "timeoutSeconds": 5,
        "maxAttempts": 2,
        "labels": {"customer": "c-1"},
    }
    headers = {"X-Correlation-Id": "from-a-batch"}
    answer = await contract.client.post(PATH, json={"jobs": [job, {"type": "echo"}]}, headers=headers)
    first, second = [(await contract.job(job_id)) for job_id in answer.json()["jobIds"]]
    assert {name: first[name] for name in ("type", "parameters", "queue", "priority", "maxAttempts", "labels")} == {
        name: job[name] for name in ("type", "parameters", "queue", "priority", "maxAttempts", "labels")
    }
    assert first["waitingFor"] == "time"
    assert (first["correlationId"], second["correlationId"]) == ("from-a-batch", "from-a-batch")


async def test_ten_thousand_are_taken_and_one_more_is_not(contract: Service) -> None:
    label = {"type": "echo", "labels": {"batch": "large"}, "delaySeconds": 3600, "parameters": {"text": "x" * 200}}
    answer = await post(contract, *[label] * 10_000)
    assert answer.status_code == 202, answer.text[:300]
    assert len(answer.json()["jobIds"]) == 10_000
    assert await recorded(contract, "large") == 10_000
    answer = await post(contract, *[{"type": "echo"}] * 10_001)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["path"] == "jobs"


async def test_one_bad_job_and_nothing_is_recorded_and_each_is_named(contract: Service) -> None:
    good = {"type": "echo", "labels": {"batch": "bad"}}
    answer = await post(
        contract,
        good,
        {**good, "type": "ecoh"},
        good,
        {**good, "callbackUrl": "ftp://example.com"},
        {**good, "type": "tell-at-gates", "parameters": {"steps": "many"}},
        {**good, "runAt": "2027-01-01T00:00:00Z", "delaySeconds": 1},
    )
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "VALIDATION_FAILED"
    places = [(each["index"], each["path"]) for each in error["details"]["errors"]]
    assert places == [
        (1, "jobs[1].type"),
        (3, "jobs[3].callbackUrl"),
        (4, "jobs[4].parameters.steps"),
        (5, "jobs[5].delaySeconds"),
    ]
    assert "echo" in error["details"]["errors"][0]["message"]
    assert await recorded(contract, "bad") == 0


async def test_what_no_submission_has_is_refused_by_its_place(contract: Service) -> None:
    answer = await post(contract, {"type": "echo"}, {"type": "echo", "priorty": 3}, {"type": 7})
    assert answer.status_code == 422
    errors = answer.json()["error"]["details"]["errors"]
    assert [(each["index"], each["path"]) for each in errors] == [(1, "jobs[1].priorty"), (2, "jobs[2].type")]
    assert errors[0]["message"] == "is no member of a submission; did you mean priority?"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": [3]}, "jobs[0]"),
        ({"jobs": [{"type": "echo"}], "job": 1}, "job"),
        ({"jobs": [{"type": "echo"}], "then": {"type": "echo"}}, "then"),
        ({"jobs": [{"type": "echo"}], "name": "nightly"}, "name"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused(contract: Service, body: Any, path: str) -> None:
    answer = await contract.client.post(PATH, json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["errors"][0]["path"] == path


async def test_text_that_cannot_be_stored_is_named_by_its_place(contract: Service) -> None:
    answer = await post(contract, {"type": "echo"}, {"type": "echo", "parameters": {"name": "a\0b"}})
    assert answer.status_code == 422
    [error] = answer.json()["error"]["details"]["errors"]
    assert (error["index"], error["path"]) == (1, "jobs[1].parameters.name")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 422),
        (b'{"jobs":[{"type":"echo"}]}', {"Content-Type": "text/plain"}, 415),
        (b'{"jobs":[{"type":"echo"}]}', {"Content-Type": "application/json", "Idempotency-Key": "k"}, 422),
    ],
)
async def test_what_is_no_json_or_asks_for_more_than_there_is(
    contract: Service, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert (await contract.client.post(PATH, content=content, headers=headers)).status_code == status


async def test_it_takes_no_query(contract: Service) -> None:
    answer = await contract.client.post(f"{PATH}?wait=1", json={"jobs": [{"type": "echo"}]})
    assert answer.status_code == 422


async def test_others_are_answered_while_a_large_batch_is_read(contract: Service) -> None:
    large = asyncio.create_task(post(contract, *[{"type": "echo", "delaySeconds": 3600}] * 5_000))
    answers = 0
    while not large.done():
        assert (await contract.client.get("/healthz")).status_code == 200
        answers += 1
    assert large.result().status_code == 202
    assert answers > 3


@pytest.mark.asyncio(loop_scope="function")
async def test_a_larger_body_than_allowed_is_refused(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(batch_body_limit=2048, body_limit=1024)
    small = {"type": "echo", "parameters": {"text": "x" * 1500}, "delaySeconds": 60}
    assert (await post(service, small)).status_code == 202
    assert (await service.client.post("/api/v1/jobs", json=small)).status_code == 413
    assert (await post(service, small, small)).status_code == 413
    assert (await service.sql("select count(*) from jobs"))[0][0] == 1


@pytest.mark.asyncio(loop_scope="function")
async def test_jobs_of_a_batch_are_taken_up_at_once(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(worker_slots=4)
    await post(service, *[{"type": "echo"}] * 50)
    await eventually(lambda: service.sql("select from events where kind >= 10 having count(*) = 50"), seconds=5)
