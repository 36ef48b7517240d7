"""Fan-in: the job that follows a batch is submitted exactly once, when the last job of the batch has ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.api.contract.response_models import BatchBody
from duly.lifecycle.end import follow_ups
from duly.lifecycle.submit import insert
from duly.store.postgres.database import DatabaseOutage
from tests.support.handlers import gate
from tests.support.service import Service, eventually

NO_JOB = "0199c1f0-0000-7000-8000-000000000000"
StartService = Callable[..., Awaitable[Service]]


async def submit(service: Service, jobs: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs, **members})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return accepted


FOLLOWERS = "select job_id, parameters from jobs where batch_id is null order by job_id"


async def follower(service: Service) -> dict[str, Any]:
    found = await eventually(lambda: service.sql(FOLLOWERS))
    return await service.ended(str(found[0][0]))


async def test_the_job_that_follows_is_told_what_the_batch_came_to(start_service: StartService) -> None:
    service = await start_service()
    jobs: list[dict[str, Any]] = [{"type": "echo"}, {"type": "echo"}, {"type": "fail"}]
    jobs.append({"type": "echo", "delaySeconds": 600})
    batch = await submit(service, jobs, name="nightly", then={"type": "echo", "parameters": {"n": 1}})
    for job_id in batch["jobIds"][:3]:
        await service.ended(job_id)
    assert await service.sql(FOLLOWERS) == []
    await service.client.post(f"/api/v1/jobs/{batch['jobIds'][3]}/cancel")
    told = {"batchId": batch["batchId"], "completed": 2, "failed": 1, "cancelled": 1}
    assert (await follower(service))["result"] == {"n": 1, "batch": told}
    rows = await service.sql("select name, total, completed, failed, cancelled, then_job_id is not null from batches")
    assert [tuple(row) for row in rows] == [("nightly", 4, 2, 1, 1, True)]


async def test_it_is_submitted_once_when_the_last_two_end_at_the_same_instant(start_service: StartService) -> None:
    services = [await start_service(worker_slots=4) for _ in range(2)]
    for number in range(10):
        jobs = [{"type": "wait-for-gate", "parameters": {"name": f"pair-{number}"}}] * 2
        await submit(services[number % 2], jobs, then={"type": "echo", "parameters": {"n": number}})
        gate(f"pair-{number}").set()

    async def all_followed() -> bool:
        return len(await services[0].sql(FOLLOWERS)) >= 10

    await eventually(all_followed)
    for job_id, _ in await services[0].sql(FOLLOWERS):
        assert (await services[0].ended(str(job_id)))["status"] == "completed"
    assert len(await services[0].sql(FOLLOWERS)) == 10


async def test_it_is_submitted_once_though_the_answer_of_the_commit_was_lost(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = insert.wake_for_submitted
    lost: list[int] = []

    def losing(*arguments: Any, **named: Any) -> int:
        if not lost:
            lost.append(1)
            raise DatabaseOutage("after the commit")
        return original(*arguments, **named)

    service = await start_service()
    monkeypatch.setattr(follow_ups, "wake_for_submitted", losing)
    await submit(service, [{"type": "echo"}], then={"type": "echo"})
    assert (await follower(service))["status"] == "completed"
    await submit(service, [{"type": "echo"}])
    assert len(await service.sql(FOLLOWERS)) == 1
    assert lost


async def test_jobs_that_were_merged_into_others_do_not_count(start_service: StartService) -> None:
    service = await start_service()
    standing = await service.submit("echo", delaySeconds=600, uniqueKey="k")
    batch = await submit(service, [{"type": "echo", "uniqueKey": "k"}] * 2, then={"type": "echo"})
    assert batch["jobIds"] == [standing["jobId"]] * 2
    found = await eventually(
        lambda: service.sql("select then_job_id from batches where then_job_id is not null and total = 0")
    )
    assert (await service.ended(str(found[0][0])))["status"] == "completed"


async def test_a_batch_is_recorded_once_for_an_idempotency_key(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    body = {"jobs": [{"type": "echo", "parameters": {"n": n}} for n in range(5)]}
    headers = {"Idempotency-Key": "nightly"}
    answers = await asyncio.gather(
        *(service.client.post("/api/v1/jobs/batch", json=body, headers=headers) for _ in range(10))
    )
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.text for answer in accepted}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in accepted) == 1
    assert await service.total("select count(*) from jobs") == 5
    other = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}]}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("then", "path"),
    [
        ({"type": "unheard-of"}, "then.type"),
        ({"type": "echo", "parameters": [1]}, "then.parameters"),
        ({"type": "wait-for-gate", "parameters": {"name": 1}}, "then.parameters.name"),
        ({"type": "echo", "priority": 1000}, "then.priority"),
        ({"type": "echo", "uniqueKey": "k"}, "then.uniqueKey"),
        ({"type": "echo", "uniqueKey": "k", "debounceSeconds": 1}, "then.uniqueKey"),
        ({"type": "echo", "dependsOn": ["nonsense"]}, "then.dependsOn[0]"),
        ({"type": "echo", "dependsOn": [NO_JOB]}, "then.dependsOn[0]"),
    ],
)
async def test_a_follower_that_does_not_fit_is_refused(
    start_service: StartService, then: dict[str, Any], path: str
) -> None:
    service = await start_service(roles=("api",))
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}], "then": then})
    assert answer.status_code == 422
    assert path in [error["path"] for error in answer.json()["error"]["details"]["errors"]]
    assert await service.total("select count(*) from batches") == 0


async def test_all_that_the_ledger_refuses_is_named_at_once_and_leaves_the_key_unused(
    start_service: StartService,
) -> None:
    service = await start_service(roles=("api",))
    parent = (await service.submit("echo", delaySeconds=600))["jobId"]
    then = {"type": "echo", "dependsOn": [parent, NO_JOB]}
    jobs = [{"type": "echo"}, {"type": "echo", "dependsOn": [NO_JOB]}]
    headers = {"Idempotency-Key": "k"}
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs, "then": then}, headers=headers)
    paths = [error["path"] for error in answer.json()["error"]["details"]["errors"]]
    assert (answer.status_code, paths) == (422, ["jobs[1].dependsOn[0]", "then.dependsOn[1]"])
    then = {"type": "echo", "dependsOn": [parent]}
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs[:1], "then": then}, headers=headers)
    assert answer.status_code == 202


async def test_a_follower_that_is_refused_when_it_is_due_shows_on_its_batch(start_service: StartService) -> None:
    service = await start_service()
    parent = (await service.submit("echo"))["jobId"]
    await service.ended(parent)
    batch = await submit(
        service, [{"type": "wait-for-gate", "parameters": {"name": "b"}}], then={"type": "echo", "dependsOn": [parent]}
    )
    await service.drop(parent)
    gate("b").set()
    body = await _completed(service, batch["batchId"])
    BatchBody.model_validate(body, strict=True)
    assert body["thenJobId"] is None
    assert body["thenError"]["code"] == "VALIDATION_FAILED"
    assert body["thenError"]["details"]["errors"] == [
        {"path": "dependsOn[0]", "message": f"no job has the id {parent}"}
    ]

    async def counted() -> bool:  # after the error can be read
        metrics = (await service.client.get("/metrics")).text
        return 'duly_kept_submissions_refused_total{of="then"} 1.0' in metrics

    await eventually(counted)


async def test_a_follower_kept_by_an_earlier_release_is_a_job_of_its_own_despite_its_unique_key(
    start_service: StartService,
) -> None:
    service = await start_service()
    holder = await service.submit("echo", uniqueKey="k", delaySeconds=600)
    batch = await submit(service, [{"type": "wait-for-gate", "parameters": {"name": "c"}}], then={"type": "echo"})
    flow = '{"unique_key":"k","depends_on":[],"despite_failure":false}'
    await service.sql("update batches set then_job = jsonb_set(then_job::jsonb, '{flow}', $1::text::jsonb)::json", flow)
    gate("c").set()
    body = await _completed(service, batch["batchId"])
    assert (await service.ended(body["thenJobId"]))["status"] == "completed"
    assert body["thenJobId"] != holder["jobId"]


async def _completed(service: Service, batch_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        body: dict[str, Any] = (await service.client.get(f"/api/v1/batches/{batch_id}")).json()
        return body if body["status"] == "completed" else None

    body: dict[str, Any] = await eventually(look)
    return body
