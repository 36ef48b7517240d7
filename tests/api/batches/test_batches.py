"""Batches: many jobs in one transaction or none of them, and their common status."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from duly.api.contract.response_models import AcceptedBatchBody, BatchBody
from duly.lifecycle.end import bulk_actions
from duly.store.submit import idempotency
from tests.support.handlers import gate, has_entered
from tests.support.response_checks import TIME, refused
from tests.support.service import Service, eventually

PATH = "/api/v1/jobs/batch"
# Ends a request that hangs. Ten thousand jobs take seconds on an idle machine.
LARGE_SECONDS = 300.0


async def post(service: Service, *jobs: dict[str, Any], **members: Any) -> Any:
    return await service.client.post(PATH, json={"jobs": list(jobs), **members}, timeout=LARGE_SECONDS)


async def recorded(service: Service, label: str) -> int:
    counted = "select count(*) from jobs where labels @> jsonb_build_object('batch', $1::text)"
    return await service.total(counted, label)


async def test_all_are_recorded_in_order_and_run(contract: Service) -> None:
    response = await post(contract, *({"type": "echo", "parameters": {"n": n}} for n in range(5)))
    assert response.status_code == 202
    body = response.json()
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
    response = await contract.client.post(PATH, json={"jobs": [job, {"type": "echo"}]}, headers=headers)
    first, second = [(await contract.job(job_id)) for job_id in response.json()["jobIds"]]
    assert {name: first[name] for name in ("type", "parameters", "queue", "priority", "maxAttempts", "labels")} == {
        name: job[name] for name in ("type", "parameters", "queue", "priority", "maxAttempts", "labels")
    }
    assert first["waitingFor"] == "time"
    assert (first["correlationId"], second["correlationId"]) == ("from-a-batch", "from-a-batch")


async def test_ten_thousand_are_taken_and_one_more_is_not(contract: Service) -> None:
    label = {"type": "echo", "labels": {"batch": "large"}, "delaySeconds": 3600, "parameters": {"text": "x" * 200}}
    response = await post(contract, *[label] * 10_000)
    assert response.status_code == 202, response.text[:300]
    assert len(response.json()["jobIds"]) == 10_000
    assert await recorded(contract, "large") == 10_000
    response = await post(contract, *[{"type": "echo"}] * 10_001)
    assert response.status_code == 422
    assert response.json()["error"]["details"]["errors"][0]["path"] == "jobs"


async def test_one_bad_job_and_nothing_is_recorded_and_each_is_named(contract: Service) -> None:
    good = {"type": "echo", "labels": {"batch": "bad"}}
    response = await post(
        contract,
        good,
        {**good, "type": "ecoh"},
        good,
        {**good, "callbackUrl": "ftp://example.com"},
        {**good, "type": "tell-at-gates", "parameters": {"steps": "many"}},
        {**good, "runAt": "2027-01-01T00:00:00Z", "delaySeconds": 1},
    )
    assert response.status_code == 422
    error = response.json()["error"]
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
    response = await post(contract, {"type": "echo"}, {"type": "echo", "priorty": 3}, {"type": 7})
    assert response.status_code == 422
    errors = response.json()["error"]["details"]["errors"]
    assert [(each["index"], each["path"]) for each in errors] == [(1, "jobs[1].priorty"), (2, "jobs[2].type")]
    assert errors[0]["message"] == 'unknown field; did you mean "priority"?'


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {}}, "jobs"),
        ({"jobs": [3]}, "jobs[0]"),
        ({"jobs": [{"type": "echo"}], "job": 1}, "job"),
        ({"jobs": [{"type": "echo"}], "name": 7}, "name"),
        ({"jobs": [{"type": "echo"}], "name": "x" * 201}, "name"),
        ({"jobs": [{"type": "echo"}], "name": "a\0b"}, "name"),
        ({"jobs": [{"type": "echo"}], "then": [{"type": "echo"}]}, "then"),
        ({"jobs": [{"type": "echo"}], "then": {"type": "ecoh"}}, "then.type"),
        ({"jobs": [{"type": "echo"}], "then": {"type": "echo", "priorty": 1}}, "then.priorty"),
        ({"jobs": [{"type": "echo"}], "then": {"type": "echo", "parameters": [1]}}, "then.parameters"),
        ({"jobs": [{"type": "echo"}], "then": {"type": "in-order", "parameters": {"n": 1}}}, "then.parameters.batch"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused(contract: Service, body: Any, path: str) -> None:
    response = await contract.client.post(PATH, json=body)
    assert response.status_code == 422
    assert response.json()["error"]["details"]["errors"][0]["path"] == path


def faulty(kind: str) -> str:
    """Returns a submission with an error of one kind, as JSON text."""
    return {
        "form": '{"type":"echo","priority":"high"}',
        "unknown member": '{"type":"echo","priorty":1}',
        "no object": "3",
        "unknown type": '{"type":"ecoh"}',
        "misfit": '{"type":"wait-for-gate","parameters":{"name":1}}',
        "together": '{"type":"echo","delaySeconds":1,"runAt":"2100-01-01T00:00:00Z"}',
        "text": '{"type":"echo","parameters":{"a":"\\u0000"}}',
        "twice": '{"type":"echo","type":"echo"}',
        "too large": '{"type":"echo","parameters":"' + "x" * 300_000 + '"}',
    }[kind]


FAULTS = ["form", "unknown member", "no object", "unknown type", "misfit", "together", "text", "twice", "too large"]
AT = ["priority", "priorty", "", "type", "parameters.name", "delaySeconds", "parameters.a", "type", "parameters"]


@pytest.mark.parametrize("hidden", FAULTS)
async def test_no_fault_of_an_item_hides_those_of_others(contract: Service, hidden: str) -> None:
    good = '{"type":"echo"}'
    kinds = [*FAULTS, hidden]
    items = [text for kind in kinds for text in (faulty(kind), good)]
    then = faulty("misfit") if hidden == "form" else good
    body = f'{{"jobs":[{",".join(items)}],"nam":"x","then":{then}}}'
    response = await contract.client.post(PATH, content=body.encode(), headers={"Content-Type": "application/json"})
    errors = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    named = [(each.get("index"), each["path"].rpartition("]")[2].removeprefix(".")) for each in errors]
    expected = [(2 * place, AT[FAULTS.index(kind)]) for place, kind in enumerate(kinds)]
    assert [each for each in named if each[0] is not None] == expected
    beside = {path for index, path in named if index is None}
    assert beside == ({"nam", "then.parameters.name"} if hidden == "form" else {"nam"})


async def test_a_hundred_faults_are_named_at_most(contract: Service) -> None:
    items = [faulty("form"), faulty("unknown type")] * 100
    body = f'{{"jobs":[{",".join(items)}]}}'
    response = await contract.client.post(PATH, content=body.encode(), headers={"Content-Type": "application/json"})
    errors = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert [error["index"] for error in errors] == list(range(100))


@pytest.mark.parametrize("member", ['"then":{"type":"echo","parameters":"\\ud800"}', '"name":"\\ud800"', '"then":NaN'])
async def test_what_comes_after_a_hundred_faults_does_no_harm(contract: Service, member: str) -> None:
    body = f'{{"jobs":[{",".join([faulty("text")] * 150)}],{member}}}'
    response = await contract.client.post(PATH, content=body.encode(), headers={"Content-Type": "application/json"})
    errors = refused(response, 422, "VALIDATION_FAILED")["details"]["errors"]
    assert [error["index"] for error in errors] == list(range(100))


async def test_text_that_cannot_be_stored_is_named_by_its_place(contract: Service) -> None:
    response = await post(contract, {"type": "echo"}, {"type": "echo", "parameters": {"name": "a\0b"}})
    assert response.status_code == 422
    [error] = response.json()["error"]["details"]["errors"]
    assert (error["index"], error["path"]) == (1, "jobs[1].parameters.name")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[]", {"Content-Type": "application/json"}, 422),
        (b'{"jobs":[{"type":"echo"}]}', {"Content-Type": "text/plain"}, 415),
        (b'{"jobs":[{"type":"echo"}]}', {"Content-Type": "application/json", "Idempotency-Key": ""}, 422),
    ],
)
async def test_what_is_no_json_or_has_no_readable_key(
    contract: Service, content: bytes, headers: dict[str, str], status: int
) -> None:
    assert (await contract.client.post(PATH, content=content, headers=headers)).status_code == status


async def test_it_takes_no_query(contract: Service) -> None:
    response = await contract.client.post(f"{PATH}?wait=1", json={"jobs": [{"type": "echo"}]})
    assert response.status_code == 422


async def test_others_are_answered_while_a_large_batch_is_read(contract: Service) -> None:
    large = asyncio.create_task(post(contract, *[{"type": "echo", "delaySeconds": 3600}] * 5_000))
    responses = 0
    while not large.done():
        assert (await contract.client.get("/healthz")).status_code == 200
        responses += 1
    assert large.result().status_code == 202
    assert responses > 3


async def test_the_same_key_and_body_get_the_first_answer_again(contract: Service) -> None:
    label = {"type": "echo", "labels": {"batch": "keyed"}}
    body, key = {"jobs": [label] * 30, "name": "a"}, {"Idempotency-Key": "batch-1"}
    first, again = [await contract.client.post(PATH, json=body, headers=key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    for other in ({"jobs": [label] * 30, "name": "b"}, {"jobs": [label] * 29, "name": "a"}):
        refused(await contract.client.post(PATH, json=other, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(await contract.client.post("/api/v1/jobs", json=label, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")
    assert await recorded(contract, "keyed") == 30


@pytest.mark.parametrize("places", [[0], [2], [0, 1], [1, 3], [0, 1, 2, 3]])
async def test_a_repeat_names_the_jobs_that_stand_for_others_in_their_places(
    contract: Service, places: list[int]
) -> None:
    name = f"others-{'-'.join(map(str, places))}"
    unique = {"type": "echo", "uniqueKey": name, "delaySeconds": 3600}
    standing = (await contract.client.post("/api/v1/jobs", json=unique)).json()["jobId"]
    jobs = [unique if place in places else {"type": "echo"} for place in range(4)]
    key = {"Idempotency-Key": name}
    first = await contract.client.post(PATH, json={"jobs": jobs}, headers=key)
    await contract.client.post(f"/api/v1/jobs/{standing}/cancel")
    again = await contract.client.post(PATH, json={"jobs": jobs}, headers=key)
    assert [place for place, job_id in enumerate(first.json()["jobIds"]) if job_id == standing] == places
    assert len(first.json()["jobIds"]) == len(jobs)
    assert again.content == first.content
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_repeat_names_a_job_as_often_as_it_stood_for_submissions_of_its_own_batch(contract: Service) -> None:
    unique = {"type": "echo", "uniqueKey": "within", "delaySeconds": 3600}
    body, key = {"jobs": [unique, {"type": "echo"}, unique]}, {"Idempotency-Key": "batch-within"}
    first, again = [await contract.client.post(PATH, json=body, headers=key) for _ in range(2)]
    one, _, three = first.json()["jobIds"]
    assert one == three
    assert again.content == first.content


async def test_identical_batches_at_once_are_one(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", "set local lock_timeout = '60s'")  # a slow machine needs longer
    body = {"jobs": [{"type": "echo", "labels": {"batch": "at-once"}}] * 100}
    key = {"Idempotency-Key": "batch-2"}

    async def answered() -> Any:
        response = await contract.client.post(PATH, json=body, headers=key)
        return response if response.status_code != 503 else None  # a busy machine is overloaded by them

    responses = await asyncio.gather(*(eventually(answered) for _ in range(20)))
    assert {response.status_code for response in responses} == {202}
    assert len({response.content for response in responses}) == 1
    assert await recorded(contract, "at-once") == 100


async def read(service: Service, batch_id: str) -> dict[str, Any]:
    response = await service.client.get(f"/api/v1/batches/{batch_id}")
    assert response.status_code == 200, response.text
    BatchBody.model_validate_json(response.content, strict=True)
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.json()
    assert sum(body[name] for name in ("pending", "running", "completed", "failed", "cancelled")) == body["total"]
    return body


async def until(service: Service, batch_id: str, **wanted: Any) -> dict[str, Any]:
    """Waits until these members of the batch have these values."""

    async def look() -> dict[str, Any] | None:
        body = await read(service, batch_id)
        return body if wanted.items() <= body.items() else None

    body: dict[str, Any] = await eventually(look)
    return body


async def test_a_batch_tells_how_its_jobs_stand(contract: Service) -> None:
    gated = [{"type": "wait-for-gate", "parameters": {"name": f"stands-{n}"}} for n in range(2)]
    later = {"type": "echo", "delaySeconds": 3600}
    response = await post(contract, *gated, later, {"type": "echo"}, {"type": "fail"}, name="nightly")
    batch_id = response.json()["batchId"]
    assert response.headers["Location"] == f"/api/v1/batches/{batch_id}"
    body = await until(contract, batch_id, running=2, completed=1, failed=1)
    assert body == {
        "batchId": batch_id,
        "name": "nightly",
        "status": "running",
        "total": 5,
        "pending": 1,
        "running": 2,
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
        "thenJobId": None,
        "thenError": None,
        "createdAt": response.json()["createdAt"],
        "completedAt": None,
    }
    gate("stands-0").set()
    gate("stands-1").set()
    await until(contract, batch_id, completed=3, running=0, pending=1, status="running")
    await contract.client.post(f"/api/v1/jobs/{response.json()['jobIds'][2]}/cancel")
    ended = await until(contract, batch_id, completed=3, failed=1, cancelled=1, status="failed")
    assert TIME.fullmatch(ended["completedAt"])


async def test_before_the_first_of_its_jobs_starts_a_batch_is_pending(contract: Service) -> None:
    response = await post(contract, *[{"type": "echo", "delaySeconds": 3600}] * 3)
    body = await read(contract, response.json()["batchId"])
    assert (body["status"], body["pending"], body["name"]) == ("pending", 3, None)


@pytest.mark.parametrize(
    ("types", "status"),
    [(["echo", "echo"], "completed"), (["echo", "fail"], "failed"), (["fail", "fail"], "failed")],
)
async def test_a_batch_ends_as_its_jobs_did(contract: Service, types: list[str], status: str) -> None:
    response = await post(contract, *({"type": type_} for type_ in types))
    body = await until(contract, response.json()["batchId"], status=status)
    assert TIME.fullmatch(body["completedAt"])


async def test_no_job_is_missing_while_ends_are_counted(contract: Service) -> None:
    response = await post(contract, *[{"type": "echo"}] * 300)
    seen = await until(contract, response.json()["batchId"], status="completed")  # each look checks the sum
    assert seen["completed"] == 300


async def test_the_job_that_follows_is_named_and_told_what_the_batch_came_to(contract: Service) -> None:
    then = {"type": "echo", "parameters": {"report": "r"}, "labels": {"customer": "c"}}
    response = await post(contract, {"type": "echo"}, {"type": "fail"}, {"type": "echo"}, then=then)
    batch_id = response.json()["batchId"]
    body = await until(contract, batch_id, status="failed")
    follower = await contract.ended(body["thenJobId"])
    counts = {"batchId": batch_id, "completed": 2, "failed": 1, "cancelled": 0}
    assert follower["result"] == {"report": "r", "batch": counts}
    assert (follower["labels"], follower["batchId"]) == ({"customer": "c"}, None)
    assert follower["jobId"] not in response.json()["jobIds"]


async def test_a_job_that_is_retried_takes_its_batch_back(contract: Service) -> None:
    failing = {"type": "raise", "maxAttempts": 1, "parameters": {"name": "batch-retry", "succeed_on": 2}}
    response = await post(contract, {"type": "echo"}, failing)
    batch_id, job_id = response.json()["batchId"], response.json()["jobIds"][1]
    await until(contract, batch_id, status="failed")
    await contract.client.post(f"/api/v1/jobs/{job_id}/retry")
    await contract.ended(job_id)
    await until(contract, batch_id, status="failed", failed=1, completed=1)


@pytest.mark.parametrize("path", ["nonsense", "0199c1f0-0000-7000-8000-000000000000", "%00"])
async def test_a_batch_that_does_not_exist(contract: Service, path: str) -> None:
    for response in (
        await contract.client.get(f"/api/v1/batches/{path}"),
        await contract.client.post(f"/api/v1/batches/{path}/cancel"),
    ):
        assert refused(response, 404, "NOT_FOUND")["message"] == "Batch not found."


async def test_a_job_is_no_batch(contract: Service) -> None:
    job_id = (await contract.submit("echo"))["jobId"]
    refused(await contract.client.get(f"/api/v1/batches/{job_id}"), 404, "NOT_FOUND")


async def test_a_misspelt_query_does_not_pass_in_silence(contract: Service) -> None:
    batch_id = (await post(contract, {"type": "echo"})).json()["batchId"]
    for response in (
        await contract.client.get(f"/api/v1/batches/{batch_id}?wait=1"),
        await contract.client.post(f"/api/v1/batches/{batch_id}/cancel?force=1"),
    ):
        refused(response, 422, "VALIDATION_FAILED")


async def cancel(service: Service, batch_id: str) -> tuple[int, dict[str, Any]]:
    response = await service.client.post(f"/api/v1/batches/{batch_id}/cancel")
    BatchBody.model_validate_json(response.content, strict=True)
    return response.status_code, response.json()


async def test_cancelling_ends_what_waits_and_tells_what_runs(contract: Service) -> None:
    parent = (await contract.submit("wait-for-gate", {"name": "parent-of-batch"}))["jobId"]
    jobs: list[dict[str, Any]] = [
        {"type": "echo"},
        {"type": "stubborn", "parameters": {"name": "in-batch"}},
        {"type": "echo", "delaySeconds": 3600},
        {"type": "echo", "dependsOn": [parent]},
        {"type": "raise-later"},
    ]
    response = await post(contract, *jobs, then={"type": "echo"})
    batch_id, job_ids = response.json()["batchId"], response.json()["jobIds"]
    await contract.until(job_ids[4], lambda view: view["waitingFor"] == "retry")
    await until(contract, batch_id, completed=1, running=1)

    status, body = await cancel(contract, batch_id)
    assert (status, body["status"], body["running"], body["cancelled"]) == (202, "running", 1, 3)
    for job_id in job_ids[2:]:
        assert (await contract.job(job_id))["status"] == "cancelled"
    await asyncio.wait_for(has_entered("in-batch:cancelled").wait(), 60)
    gate("in-batch").set()
    ended = await until(contract, batch_id, status="cancelled", completed=1, cancelled=4)
    follower = await contract.ended(ended["thenJobId"])
    assert follower["result"]["batch"] == {"batchId": batch_id, "completed": 1, "failed": 0, "cancelled": 4}
    assert (await contract.job(parent))["status"] == "running"
    gate("parent-of-batch").set()

    assert await cancel(contract, batch_id) == (200, ended)


async def test_a_large_batch_is_cancelled_page_by_page(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "PAGE", 70)
    others = [await contract.submit("echo", delaySeconds=3600)]
    response = await post(contract, *[{"type": "echo", "delaySeconds": 3600}] * 500)
    others += [await contract.submit("echo", delaySeconds=3600)]
    status, body = await cancel(contract, response.json()["batchId"])
    assert (status, body["pending"], body["cancelled"]) == (200, 0, 500)
    await until(contract, response.json()["batchId"], status="cancelled")
    assert {(await contract.job(job["jobId"]))["status"] for job in others} == {"pending"}


async def test_what_has_ended_is_shown_before_it_is_added_up(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(roles=("api", "worker"))  # no sweeper to add up counts
    response = await post(service, {"type": "echo"}, {"type": "fail"}, then={"type": "echo"})
    for job_id in response.json()["jobIds"]:
        await service.ended(job_id)
    body = await read(service, response.json()["batchId"])
    assert (body["completed"], body["failed"], body["pending"]) == (1, 1, 0)
    # Its end is announced together with the job that follows.
    assert (body["status"], body["completedAt"], body["thenJobId"]) == ("running", None, None)
    await start_service(roles=("sweeper",))
    body = await until(service, response.json()["batchId"], status="failed")
    assert body["thenJobId"]


async def test_a_larger_body_than_allowed_is_refused(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(batch_body_limit=2048, body_limit=1024)
    small = {"type": "echo", "parameters": {"text": "x" * 1500}, "delaySeconds": 60}
    assert (await post(service, small)).status_code == 202
    assert (await service.client.post("/api/v1/jobs", json=small)).status_code == 413
    assert (await post(service, small, small)).status_code == 413
    assert await service.total("select count(*) from jobs") == 1


async def test_jobs_of_a_batch_are_taken_up_at_once(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(worker_slots=4)
    await post(service, *[{"type": "echo"}] * 50)
    await eventually(lambda: service.sql("select from events where kind >= 10 having count(*) = 50"))
