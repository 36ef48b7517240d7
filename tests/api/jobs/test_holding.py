"""`onExhausted: "hold"`: a job whose attempts are used up waits for a retry by hand."""

from collections.abc import Awaitable, Callable

import pytest

from duly import HandlerError, Handlers
from tests.support.handlers import calls, gate, has_entered
from tests.support.response_checks import invalid_paths
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


async def held(service: Service, name: str, **members: object) -> str:
    """Returns a job that used up its attempts and is held."""
    submission = {"onExhausted": "hold", "maxAttempts": 2, **members}
    job_id = str((await service.submit("raise", {"name": name, "succeed_on": 9}, **submission))["jobId"])
    await service.until(job_id, lambda view: view["waitingFor"] == "held")
    return job_id


async def test_exhausted_attempts_hold_the_job(contract: Service) -> None:
    job_id = await held(contract, "exhausted")
    view = await contract.job(job_id)
    assert (view["status"], view["attempt"], view["runAt"], view["completedAt"]) == ("pending", 2, None, None)
    assert view["error"]["code"] == "TASK_FAILED"
    assert await contract.event_types(job_id) == [
        *("JobSubmitted", "JobStarted", "JobRetryScheduled", "JobStarted", "JobHeld")
    ]
    why = (await contract.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert why["cause"] == "HELD"
    assert "TASK_FAILED" in why["message"]


async def test_a_held_job_runs_again_with_fresh_attempts_when_it_is_retried(contract: Service) -> None:
    job_id = await held(contract, "again")
    assert (await contract.client.post(f"/api/v1/jobs/{job_id}/retry")).status_code == 202
    await contract.until(job_id, lambda view: view["sequence"] == 9)
    assert (await contract.job(job_id))["waitingFor"] == "held"
    assert calls["again"] == [1, 2, 1, 2]


async def test_cancelling_ends_a_held_job(contract: Service) -> None:
    job_id = await held(contract, "ended")
    response = await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")


async def test_a_held_job_keeps_its_concurrency_key(contract: Service) -> None:
    job_id = await held(contract, "key", concurrencyKey="held")
    other = (await contract.submit("echo", concurrencyKey="held"))["jobId"]
    assert (await contract.job(other))["waitingFor"] == "concurrency"
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (await contract.ended(other))["status"] == "completed"


async def test_an_error_that_is_not_retried_fails_the_job_all_the_same(contract: Service) -> None:
    view = await contract.run("fail", onExhausted="hold")
    assert view["status"] == "failed"


async def test_a_cancel_request_during_the_last_attempt_precedes_the_hold(contract: Service) -> None:
    job_id = (await contract.submit("wait-for-gate", {"name": "asked"}, onExhausted="hold", maxAttempts=1))["jobId"]
    await has_entered("asked").wait()
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (await contract.ended(job_id))["status"] == "cancelled"
    gate("asked").set()


async def test_a_type_may_hold_its_jobs_unless_the_submission_says_otherwise(contract: Service) -> None:
    job_id = (await contract.submit("raise-and-hold"))["jobId"]
    await contract.until(job_id, lambda view: view["waitingFor"] == "held")
    assert (await contract.run("raise-and-hold", onExhausted="fail"))["status"] == "failed"
    shown = (await contract.client.get("/api/v1/job-types/raise-and-hold")).json()
    assert shown["defaults"]["onExhausted"] == "hold"
    event = (await contract.client.get(f"/api/v1/jobs/{job_id}/events")).json()["items"][0]
    assert event["data"]["onExhausted"] == "hold"


async def test_a_declared_type_may_hold_its_jobs(contract: Service) -> None:
    declaration = {"onExhausted": "hold", "maxAttempts": 1}
    response = await contract.client.put("/api/v1/job-types/holding", json=declaration)
    assert (response.status_code, response.json()["defaults"]["onExhausted"]) == (201, "hold")
    job_id = (await contract.submit("holding"))["jobId"]
    claimed = await contract.client.post("/api/v1/leases", json={"types": ["holding"], "waitSeconds": 5})
    [lease] = claimed.json()["leases"]
    ended = await contract.client.post(
        f"/api/v1/leases/{lease['leaseId']}/fail", json={"error": {"code": "X", "message": "no"}, "retryable": True}
    )
    assert (ended.status_code, ended.json()["status"]) == (200, "pending")
    view = await contract.job(job_id)
    assert (view["waitingFor"], view["error"]["code"]) == ("held", "X")


async def test_only_fail_and_hold_are_known(contract: Service) -> None:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo", "onExhausted": "wait"})
    assert invalid_paths(response) == ["onExhausted"]
    with pytest.raises(HandlerError, match="on_exhausted='wait' must be fail or hold"):
        Handlers().register("a", on_exhausted="wait")  # type: ignore[arg-type]  # as a caller without a type checker


async def test_a_retry_from_an_unknown_step_names_the_recorded_ones(contract: Service) -> None:
    job_id = await held(contract, "unknown-step")
    response = await contract.client.post(f"/api/v1/jobs/{job_id}/retry", json={"fromStep": "charge"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "STEP_UNKNOWN")
    assert response.json()["error"]["details"]["steps"] == []
    assert (await contract.job(job_id))["waitingFor"] == "held"
