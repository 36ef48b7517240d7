"""`POST /api/v1/jobs/{jobId}/retry`: failed and cancelled jobs run again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx

from duly.api.contract.response_models import JobBody
from tests.support.handlers import calls, gate, has_entered
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


async def retry(service: Service, job_id: str) -> httpx.Response:
    response = await service.client.post(f"/api/v1/jobs/{job_id}/retry")
    if response.is_success:
        JobBody.model_validate_json(response.content, strict=True)
        assert response.json()["jobId"] == job_id
    return response


async def cancelled(service: Service, type_: str, parameters: Any = None, **members: Any) -> str:
    """Returns a job that was cancelled while it waited."""
    job_id: str = (await service.submit(type_, parameters, delaySeconds=3600, **members))["jobId"]
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    return job_id


async def failed(service: Service, **members: Any) -> str:
    return str((await service.run("fail", **members))["jobId"])


async def test_a_failed_job_runs_again_with_fresh_attempts(contract: Service) -> None:
    parameters = {"name": "fresh", "text": "no"}
    job_id = (await contract.run("raise", parameters, maxAttempts=2))["jobId"]
    before = await contract.job(job_id)
    assert (before["status"], before["attempt"], calls["fresh"]) == ("failed", 2, [1, 2])

    response = await retry(contract, job_id)
    assert response.status_code == 202
    assert response.headers["ETag"] == f'"{response.json()["sequence"]}"'
    view = await contract.until(job_id, lambda view: view["sequence"] > before["sequence"] + 3)
    view = await contract.ended(job_id)
    assert (view["status"], view["attempt"], view["maxAttempts"]) == ("failed", 2, 2)
    assert calls["fresh"] == [1, 2, 1, 2]
    attempt = ["JobStarted", "JobRetryScheduled", "JobStarted", "JobFailed"]
    assert await contract.event_types(job_id) == ["JobSubmitted", *attempt, "JobRequeued", *attempt]


async def test_a_cancelled_job_runs_after_all(contract: Service) -> None:
    job_id = await cancelled(contract, "echo", {"n": 7})
    assert (await retry(contract, job_id)).status_code == 202
    view = await contract.ended(job_id)
    assert (view["status"], view["result"], view["error"]) == ("completed", {"n": 7}, None)


async def test_between_the_retry_and_its_start_a_job_is_pending(contract: Service) -> None:
    await contract.submit("wait-for-gate", {"name": "holder"}, concurrencyKey="retried")
    job_id = await cancelled(contract, "echo", concurrencyKey="retried")
    body = (await retry(contract, job_id)).json()
    assert {name: body[name] for name in ("status", "attempt", "error", "result", "completedAt", "waitingFor")} == {
        "status": "pending",
        "attempt": 0,
        "error": None,
        "result": None,
        "completedAt": None,
        "waitingFor": "concurrency",
    }
    gate("holder").set()
    assert (await contract.ended(job_id))["status"] == "completed"


async def test_what_did_not_fail_is_not_retried(contract: Service) -> None:
    waiting = (await contract.submit("echo", delaySeconds=3600))["jobId"]
    running = (await contract.submit("wait-for-gate", {"name": "not-failed"}))["jobId"]
    await contract.until(running, lambda view: view["status"] == "running")
    completed = (await contract.run("echo"))["jobId"]
    for job_id in (waiting, running, completed):
        before = await contract.job(job_id)
        error = refused(await retry(contract, job_id), 409, "JOB_NOT_RETRYABLE")
        assert error["details"]["retryable"] is False
        assert await contract.job(job_id) == before
    gate("not-failed").set()


async def test_a_job_that_does_not_exist_is_not_retried(contract: Service) -> None:
    for job_id in ("0199c1f0-0000-7000-8000-000000000000", "nonsense"):
        refused(await retry(contract, job_id), 404, "NOT_FOUND")


async def test_a_misspelt_query_does_not_pass_in_silence(contract: Service) -> None:
    job_id = await failed(contract)
    assert invalid_paths(await contract.client.post(f"/api/v1/jobs/{job_id}/retry?attempts=3")) == ["attempts"]
    assert (await contract.job(job_id))["status"] == "failed"


async def test_while_another_job_has_its_unique_key_it_waits(contract: Service) -> None:
    job_id = await failed(contract, uniqueKey="once")
    other = (await contract.submit("fail", uniqueKey="once", delaySeconds=3600))["jobId"]
    assert other != job_id
    refused(await retry(contract, job_id), 409, "UNIQUE_KEY_TAKEN")
    assert (await contract.job(job_id))["status"] == "failed"

    await contract.client.post(f"/api/v1/jobs/{other}/cancel")
    assert (await retry(contract, job_id)).status_code == 202
    assert (await contract.ended(job_id))["status"] == "failed"


async def test_a_retried_job_has_its_unique_key_again(contract: Service) -> None:
    job_id = await cancelled(contract, "wait-for-gate", {"name": "again"}, uniqueKey="again")
    await retry(contract, job_id)
    body = {"type": "wait-for-gate", "parameters": {"name": "other"}, "uniqueKey": "again"}
    response = (await contract.client.post("/api/v1/jobs", json=body)).json()
    assert (response["jobId"], response["deduplicated"]) == (job_id, True)
    gate("again").set()
    await contract.ended(job_id)


async def test_many_retries_at_once_are_one(contract: Service) -> None:
    job_id = await cancelled(contract, "wait-for-gate", {"name": "many-retries"})
    responses = await asyncio.gather(*(retry(contract, job_id) for _ in range(20)))
    assert sorted(response.status_code for response in responses) == [202] + [409] * 19
    gate("many-retries").set()
    await contract.ended(job_id)
    assert (await contract.event_types(job_id)).count("JobRequeued") == 1


async def test_who_waited_for_it_in_vain_is_not_brought_back(contract: Service) -> None:
    parent = (await contract.submit("fail", delaySeconds=3600))["jobId"]
    child = (await contract.submit("echo", dependsOn=[parent]))["jobId"]
    await contract.client.post(f"/api/v1/jobs/{parent}/cancel")
    assert (await contract.ended(child))["error"]["code"] == "DEPENDENCY_FAILED"

    # Its parent has still not completed: it is answered, and fails again for the same reason.
    assert (await retry(contract, child)).status_code == 202
    assert (await contract.ended(child))["error"]["code"] == "DEPENDENCY_FAILED"


async def test_a_child_waits_once_more_for_a_parent_that_is_retried_too(contract: Service) -> None:
    parent = await cancelled(contract, "wait-for-gate", {"name": "retried-parent"})
    child = (await contract.submit("echo", dependsOn=[parent]))["jobId"]
    assert (await contract.ended(child))["status"] == "failed"
    await retry(contract, parent)
    assert (await retry(contract, child)).json()["waitingFor"] == "dependencies"
    gate("retried-parent").set()
    assert (await contract.ended(child))["status"] == "completed"


async def test_a_chain_that_is_retried_at_once_runs_in_its_order(contract: Service) -> None:
    first = await cancelled(contract, "wait-for-gate", {"name": "chained"})
    second = (await contract.submit("echo", dependsOn=[first], labels={"chain": "retried"}))["jobId"]
    third = (await contract.submit("echo", dependsOn=[second, first], labels={"chain": "retried"}))["jobId"]
    for job_id in (second, third):
        assert (await contract.ended(job_id))["status"] == "failed"
    await retry(contract, first)
    response = await contract.client.post("/api/v1/jobs/retry", params={"label": "chain:retried"})
    assert (response.status_code, response.json()["retried"]) == (202, 2), response.text
    assert [(await contract.job(job_id))["waitingFor"] for job_id in (second, third)] == ["dependencies"] * 2
    gate("chained").set()
    for job_id in (second, third):
        assert (await contract.ended(job_id))["status"] == "completed"


async def test_it_runs_on_whichever_node_has_a_slot(start_service: StartService) -> None:
    api = await start_service(roles=("api", "sweeper"))
    job_id = await cancelled(api, "wait-for-gate", {"name": "elsewhere"})
    assert (await retry(api, job_id)).json()["waitingFor"] == "worker"
    worker = await start_service()
    await asyncio.wait_for(has_entered("elsewhere").wait(), 60)
    gate("elsewhere").set()
    assert (await worker.ended(job_id))["status"] == "completed"


async def test_who_ran_it_before_cannot_change_it_any_more(start_service: StartService) -> None:
    service = await start_service()
    job_id = (await service.submit("stubborn", {"name": "zombie"}))["jobId"]
    await asyncio.wait_for(has_entered("zombie").wait(), 60)
    token = (await service.sql("select token from running where job_id = $1", UUID(job_id)))[0][0]
    await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    # Its node does not stop it in time: the cancellation is recorded without it.
    await service.sql(
        "update running set cancel_requested_at = now() - interval '1 hour' where job_id = $1", UUID(job_id)
    )
    await eventually(lambda: _is(service, job_id, "cancelled"))
    assert (await retry(service, job_id)).status_code == 202
    await service.until(job_id, lambda view: view["status"] == "running")
    assert (await service.sql("select token from running where job_id = $1", UUID(job_id)))[0][0] == token + 1
    gate("zombie").set()
    view = await service.ended(job_id)
    assert (view["status"], view["result"]) == ("completed", "at last")
    assert (await service.event_types(job_id)).count("JobCompleted") == 1


async def _is(service: Service, job_id: str, status: str) -> bool:
    return bool((await service.job(job_id))["status"] == status)
