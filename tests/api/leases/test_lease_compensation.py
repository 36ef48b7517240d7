"""Steps of workers over HTTP are undone by the jobs that the workers named, the newest first."""

import asyncio
from typing import Any

import pytest

from tests.support.lease_worker import claim, claim_one, post
from tests.support.response_checks import refused
from tests.support.service import Service

ERROR = {"error": {"code": "NO_SEAT", "message": "All seats are taken."}, "retryable": False}


async def _with_steps(service: Service, *names: str) -> tuple[str, dict[str, Any]]:
    """Submits a job and records these steps, each with a compensation, and one without. Returns its id and lease."""
    job_id = (await service.submit("plain"))["jobId"]
    lease = await claim_one(service, "plain")
    for name in names:
        undo = {"type": "echo", "parameters": {"undo": name}}
        assert (await post(service, lease, f"steps/{name}", {"result": name, "compensation": undo})).status_code == 200
    await post(service, lease, "steps/mail", {"result": None})
    return job_id, lease


async def _undone(service: Service, name: str) -> dict[str, Any]:
    """Claims the job that undoes a step."""
    lease = await claim_one(service, "echo")
    assert lease["job"]["parameters"] == {"undo": name}
    return lease


async def _statuses(service: Service, job_id: str) -> dict[str, str]:
    items = (await service.client.get(f"/api/v1/jobs/{job_id}/steps")).json()["items"]
    return {step["name"]: step["status"] for step in items}


async def test_a_failed_job_ends_once_its_steps_are_undone_by_jobs(api: Service) -> None:
    job_id, lease = await _with_steps(api, "reserve", "charge")
    assert (await post(api, lease, "fail", ERROR)).json()["status"] == "running"
    assert await claim(api, "plain") == []  # kept by the service
    for name in ("charge", "reserve"):
        view = await api.job(job_id)
        assert (view["status"], view["compensating"]) == ("running", True)
        await post(api, await _undone(api, name), "complete")
    ended = await api.ended(job_id)
    assert (ended["status"], ended["error"]["code"], "compensating" in ended) == ("failed", "NO_SEAT", False)
    assert await _statuses(api, job_id) == {"reserve": "compensated", "charge": "compensated", "mail": "completed"}
    undone = [event["data"] for event in await api.events(job_id) if event["eventType"] == "JobStepCompensated"]
    assert [data["step"] for data in undone] == ["charge", "reserve"]
    assert (await api.job(undone[0]["jobId"]))["status"] == "completed"


async def test_a_job_that_is_cancelled_while_it_is_parked_is_compensated(api: Service) -> None:
    job_id, lease = await _with_steps(api, "reserve")
    await post(api, lease, "park", {"signal": "approval"})
    await api.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert await claim(api, "plain") == []
    await post(api, await _undone(api, "reserve"), "complete")
    assert (await api.ended(job_id))["status"] == "cancelled"


async def test_a_compensation_that_fails_names_the_steps_left_and_is_retried_by_hand(api: Service) -> None:
    job_id, lease = await _with_steps(api, "reserve", "charge")
    await post(api, lease, "fail", ERROR)
    assert await claim(api, "plain") == []
    await post(api, await _undone(api, "charge"), "fail", ERROR)
    failed = await api.ended(job_id)
    assert failed["error"]["code"] == "COMPENSATION_FAILED"
    assert failed["error"]["details"]["steps"] == ["charge", "reserve"]

    assert (await api.client.post(f"/api/v1/jobs/{job_id}/retry")).status_code == 202
    assert await claim(api, "plain") == []
    for name in ("charge", "reserve"):
        await post(api, await _undone(api, name), "complete")
    assert (await api.ended(job_id))["error"]["code"] == "NO_SEAT"


async def test_an_interrupted_compensation_goes_on_with_the_same_jobs(api: Service) -> None:
    job_id, lease = await _with_steps(api, "reserve")
    await post(api, lease, "fail", ERROR)
    assert await claim(api, "plain") == []
    undoing = await _undone(api, "reserve")
    await api.node.leases.compensator.close()
    assert await claim(api, "plain") == []
    await post(api, undoing, "complete")
    assert (await api.ended(job_id))["error"]["code"] == "NO_SEAT"
    assert await api.total("select count(*) from jobs where type = 'echo'") == 1


@pytest.mark.parametrize("verb", ["steps/late", "park"])
async def test_a_worker_adds_nothing_to_a_job_that_compensates(api: Service, verb: str) -> None:
    job_id, lease = await _with_steps(api, "reserve")
    await post(api, lease, "fail", ERROR)
    body = {"signal": "approval"} if verb == "park" else {"result": 1}
    refused(await post(api, lease, verb, body), 409, "LEASE_LOST")
    others = asyncio.create_task(claim(api, "plain"))
    await post(api, await _undone(api, "reserve"), "complete")
    assert await others == []
    assert (await api.ended(job_id))["status"] == "failed"
