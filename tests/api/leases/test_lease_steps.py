"""Steps and waits of workers over HTTP: recorded once, found by the next attempt; a parked job has no lease."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from duly.api.leases.models import LeasesBody
from duly.domain.timestamps import rfc3339
from duly.handlers.step_calls import RESULT_LIMIT
from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service


async def _leased(service: Service, **members: Any) -> dict[str, Any]:
    await service.submit("echo", {"a": 1}, **members)
    return await claim_one(service)


def _names(lease: dict[str, Any]) -> list[tuple[str, str, str, Any]]:
    LeasesBody.model_validate({"leases": [lease]})
    return [(step["name"], step["kind"], step["status"], step["result"]) for step in lease["steps"]]


async def test_a_step_is_recorded_once_and_found_by_the_next_attempt(api: Service) -> None:
    lease = await _leased(api)
    assert lease["steps"] == []
    done = {"result": {"charge": "ch_42", "amount": 1.10}, "compensation": {"type": "echo", "parameters": {"b": 2}}}
    for _ in range(2):
        recorded = await post(api, lease, "steps/charge", done)
        assert (recorded.status_code, recorded.json()) == (200, {"jobId": lease["job"]["jobId"], "name": "charge"})
    refused(await post(api, lease, "steps/charge", {"result": None}), 409, "STEP_ALREADY_RECORDED")
    assert (await post(api, lease, "steps/mail-1", {})).status_code == 200
    await post(api, lease, "release")

    again = await claim_one(api)
    assert again["job"]["jobId"] == lease["job"]["jobId"]
    assert _names(again) == [
        ("charge", "step", "completed", {"charge": "ch_42", "amount": 1.1}),
        ("mail-1", "step", "completed", None),
    ]
    assert [step["compensable"] for step in again["steps"]] == [True, False]
    refused(await post(api, lease, "steps/late", {}), 409, "LEASE_LOST")
    await post(api, again, "complete", {"result": 1})
    types = await api.event_types(lease["job"]["jobId"])
    assert types.count("JobStepCompleted") == 2


async def test_steps_at_once_are_all_recorded(api: Service) -> None:
    lease = await _leased(api)
    names = [f"part-{number}" for number in range(20)]
    answers = await asyncio.gather(*(post(api, lease, f"steps/{name}", {"result": name}) for name in names))
    assert {answer.status_code for answer in answers} == {200}
    await post(api, lease, "release")
    again = await claim_one(api)
    assert sorted(step["result"] for step in again["steps"]) == sorted(names)
    await post(api, again, "complete")


async def test_an_invalid_step_is_refused(api: Service) -> None:
    lease = await _leased(api)
    assert invalid_paths(await post(api, lease, "steps/Charge", {})) == ["name"]
    assert invalid_paths(await post(api, lease, "steps/charge", {"results": 1})) == ["results"]
    assert invalid_paths(await post(api, lease, "steps/charge", [])) == [""]
    unknown = {"compensation": {"type": "ecko"}}
    refused(await post(api, lease, "steps/charge", unknown), 422, "UNKNOWN_JOB_TYPE")
    misfit = {"compensation": {"type": "sleep", "parameters": {"seconds": "x"}}}
    assert invalid_paths(await post(api, lease, "steps/charge", misfit)) == ["compensation.parameters.seconds"]
    refused(await post(api, lease, "steps/charge", {"result": "x" * RESULT_LIMIT}), 413, "BODY_TOO_LARGE")
    refused(await api.client.post(f"{LEASES}/unknown/steps/charge", json={}), 404, "NOT_FOUND")
    await post(api, lease, "complete")


async def test_a_job_parks_until_its_signal_and_the_next_lease_has_the_body(api: Service) -> None:
    lease = await _leased(api, maxAttempts=1)
    job_id, wait = lease["job"]["jobId"], {"signal": "approval", "timeoutSeconds": 3600}
    parked = await post(api, lease, "park", wait)
    assert (parked.status_code, parked.json()["status"]) == (200, "pending")
    again = await post(api, lease, "park", wait)
    assert (again.status_code, again.json()) == (200, parked.json())
    refused(await post(api, lease, "park", {"signal": "other"}), 409, "LEASE_LOST")
    refused(await post(api, lease, "heartbeat"), 409, "LEASE_LOST")
    view = await api.job(job_id)
    assert (view["waitingFor"], view["attempt"]) == ("signal", 0)
    assert await claim(api, waitSeconds=0) == []

    await api.client.post(f"/api/v1/jobs/{job_id}/signals/approval", json={"by": "Ann"})
    resumed = await claim_one(api)
    assert (resumed["job"]["jobId"], resumed["attempt"]) == (job_id, 1)
    assert _names(resumed) == [("approval", "signal", "completed", {"by": "Ann"})]
    await post(api, resumed, "complete", {"result": "done"})
    assert (await api.job(job_id))["result"] == "done"


@pytest.mark.parametrize("during", [True, False], ids=["during the attempt", "before the claim"])
async def test_a_signal_that_came_first_resumes_the_job_at_once(api: Service, *, during: bool) -> None:
    job_id = (await api.submit("echo"))["jobId"]
    path = f"/api/v1/jobs/{job_id}/signals/approval"
    if not during:
        await api.client.post(path, json="early")
    lease = await claim_one(api)
    if during:
        await api.client.post(path, json="early")
    parked = await post(api, lease, "park", {"signal": "approval"})
    assert (parked.status_code, parked.json()["status"]) == (200, "pending")
    resumed = await claim_one(api)
    assert _names(resumed) == [("approval", "signal", "completed", "early")]
    await post(api, resumed, "complete")


async def test_a_job_parks_until_a_time(api: Service) -> None:
    lease = await _leased(api)
    until = api.node.clock.now() + timedelta(milliseconds=300)
    parked = await post(api, lease, "park", {"until": rfc3339(until)})
    assert parked.status_code == 200
    resumed = await claim_one(api)
    assert api.node.clock.now() >= until - timedelta(milliseconds=2)
    [step] = resumed["steps"]
    assert (step["kind"], step["status"]) == ("timer", "completed")
    await post(api, resumed, "complete")


async def test_a_signal_that_does_not_arrive_times_out(api: Service) -> None:
    lease = await _leased(api)
    await post(api, lease, "park", {"signal": "approval", "timeoutSeconds": 0.1})
    resumed = await claim_one(api)
    assert _names(resumed) == [("approval", "signal", "timed_out", None)]
    await post(api, resumed, "complete")


async def test_a_job_that_was_cancelled_does_not_park(api: Service) -> None:
    lease = await _leased(api)
    job_id = lease["job"]["jobId"]
    assert (await api.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    for _ in range(2):
        parked = await post(api, lease, "park", {"signal": "approval"})
        assert (parked.status_code, parked.json()["status"]) == (200, "cancelled")
    assert (await api.job(job_id))["status"] == "cancelled"


async def test_an_invalid_wait_is_refused(api: Service) -> None:
    lease = await _leased(api)
    until = "2100-01-01T00:00:00.000Z"
    for body, path in (
        ({}, ""),
        ({"until": until, "signal": "a"}, ""),
        ({"until": until, "timeoutSeconds": 1}, ""),
        ({"until": until}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"signal": "A b"}, "signal"),
        ({"signal": "a", "timeoutSeconds": -1}, "timeoutSeconds"),
    ):
        assert invalid_paths(await post(api, lease, "park", body)) == [path]
    await post(api, lease, "complete")
