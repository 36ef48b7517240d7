"""`POST /api/v1/jobs/{jobId}/signals/{name}`: the first signal of a name is kept, and resumes a job that waits."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.api.jobs.signals import SignalBody
from duly.domain.ids import new_job_id
from duly.domain.steps import SIGNAL_LIMIT
from tests.support import handlers as test_handlers
from tests.support.keys import OWN, audit_log, bearer
from tests.support.parked_jobs import LATER, parked_job
from tests.support.response_checks import JSON, invalid_paths, refused
from tests.support.service import Service


async def _send(service: Service, job_id: str, name: str = "approval", body: Any = None) -> httpx.Response:
    response = await service.client.post(f"/api/v1/jobs/{job_id}/signals/{name}", json=body)
    if response.is_success:
        SignalBody.model_validate_json(response.content, strict=True)
        assert (response.json()["jobId"], response.json()["name"]) == (job_id, name)
    return response


async def _data(service: Service, job_id: str, event_type: str) -> list[dict[str, Any]]:
    return [event["data"] for event in await service.events(job_id) if event["eventType"] == event_type]


async def test_a_signal_to_a_job_that_does_not_wait_for_it_is_kept(contract: Service) -> None:
    name = str(new_job_id())
    running = (await contract.submit("wait-for-gate", {"name": name}))["jobId"]
    await asyncio.wait_for(test_handlers.has_entered(name).wait(), 60)
    later = (await contract.submit("echo", runAt=LATER))["jobId"]
    dependent = (await contract.submit("echo", dependsOn=[running]))["jobId"]
    other = await parked_job(contract, "another")

    for job_id in (running, later, dependent, other):
        before = await contract.job(job_id)
        sent = await _send(contract, job_id, body={"by": "Ann", "total": 1.50})
        assert sent.status_code == 202
        after = await contract.job(job_id)
        assert sent.json()["sequence"] == after["sequence"] == before["sequence"] + 1
        assert after == before | {"sequence": after["sequence"]}
        [data] = await _data(contract, job_id, "JobSignalled")
        assert data == {"attempt": after["attempt"], "signal": "approval", "body": {"by": "Ann", "total": 1.5}}
    test_handlers.gate(name).set()
    assert (await contract.ended(dependent))["status"] == "completed"
    for job_id in (later, other):
        await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_a_signal_resumes_the_job_that_waits_for_it(contract: Service) -> None:
    job_id = await parked_job(contract, "payment", "approval")
    assert (await contract.job(job_id))["waitingFor"] == "signal"
    assert (await _send(contract, job_id)).status_code == 202

    assert (await contract.ended(job_id))["status"] == "completed"
    types = await contract.event_types(job_id)
    assert types[2:] == ["JobParked", "JobSignalled", "JobResumed", "JobStarted", "JobCompleted"]
    assert await _data(contract, job_id, "JobResumed") == [{"attempt": 0, "reason": "signal", "signal": "approval"}]


async def test_the_first_signal_of_a_name_is_kept_also_after_the_end(contract: Service) -> None:
    job_id = await parked_job(contract, "approval")
    first = await _send(contract, job_id, body={"approved": True, "by": "Ann"})
    for when in ("before", "after"):
        again = await contract.client.post(
            f"/api/v1/jobs/{job_id}/signals/approval", content='{"by":"Ann","approved":true}', headers=JSON
        )
        assert (again.status_code, again.json()) == (200, first.json()), when
        error = refused(await _send(contract, job_id, body={"approved": False}), 409, "SIGNAL_ALREADY_SENT")
        assert '"approval"' in error["message"]
        await contract.ended(job_id)
    error = refused(await _send(contract, job_id, "another"), 409, "JOB_ALREADY_ENDED")
    assert "completed" in error["message"]
    assert len(await _data(contract, job_id, "JobSignalled")) == 1


async def test_of_signals_at_the_same_moment_one_is_recorded(contract: Service) -> None:
    job_id = (await contract.submit("echo", runAt=LATER))["jobId"]
    different = await asyncio.gather(*(_send(contract, job_id, body=number) for number in range(8)))
    assert sorted(each.status_code for each in different) == [202, *[409] * 7]
    same = await asyncio.gather(*(_send(contract, job_id, "paid", body="yes") for _ in range(8)))
    assert sorted(each.status_code for each in same) == [*[200] * 7, 202]
    assert await contract.event_types(job_id) == ["JobSubmitted", "JobSignalled", "JobSignalled"]
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_a_signal_without_a_body_is_null(contract: Service) -> None:
    job_id = (await contract.submit("echo", runAt=LATER))["jobId"]
    sent = await contract.client.post(f"/api/v1/jobs/{job_id}/signals/paid")
    assert sent.status_code == 202
    assert (await _data(contract, job_id, "JobSignalled"))[0]["body"] is None
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_a_body_keeps_its_numbers(contract: Service) -> None:
    job_id = (await contract.submit("echo", runAt=LATER))["jobId"]
    path = f"/api/v1/jobs/{job_id}/signals/price"
    await contract.client.post(path, content='{"amount": 0.10, "id": 123456789012345678901234567890}', headers=JSON)
    history = (await contract.client.get(f"/api/v1/jobs/{job_id}/events")).text
    assert '"amount":0.10' in history
    assert '"id":123456789012345678901234567890' in history
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize("name", ["Approval", "a b", "x" * 101, "ü"])
async def test_an_invalid_name_is_refused(contract: Service, name: str) -> None:
    assert invalid_paths(await contract.client.post(f"/api/v1/jobs/{new_job_id()}/signals/{name}")) == ["name"]


async def test_a_large_body_and_one_that_is_not_json_are_refused(contract: Service) -> None:
    job_id = (await contract.submit("echo", runAt=LATER))["jobId"]
    error = refused(await _send(contract, job_id, body="x" * SIGNAL_LIMIT), 413, "BODY_TOO_LARGE")
    assert "65,536" in error["message"]
    assert (await _send(contract, job_id, body="x" * (SIGNAL_LIMIT - 2))).status_code == 202
    path = f"/api/v1/jobs/{job_id}/signals/other"
    refused(await contract.client.post(path, content="{", headers=JSON), 400, "INVALID_JSON")
    refused(await contract.client.post(path, content="a=b"), 415, "UNSUPPORTED_MEDIA_TYPE")
    assert invalid_paths(await contract.client.post(path, content=r'{"a":"\u0000"}', headers=JSON)) == ["a"]
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize("job_id", [str(UUID(int=1)), "unknown"])
async def test_an_unknown_job_gets_no_signal(contract: Service, job_id: str) -> None:
    refused(await _send(contract, job_id), 404, "NOT_FOUND")


async def test_the_audit_log_names_the_sender(start_service: Any) -> None:
    service = await start_service(api_key=OWN)
    service.client.headers.update(bearer(OWN))
    job_id = (await service.submit("echo", runAt=LATER))["jobId"]
    sent = await _send(service, job_id, body={"secret": "of the body"})
    await _send(service, job_id, body={"secret": "of the body"})
    [entry] = [entry for entry in await audit_log(service) if entry["action"] == "signal.sent"]
    assert (entry["actor"], entry["subject"], entry["before"]) == ("DULY_API_KEY", job_id, None)
    assert entry["after"] == {"signal": "approval", "sequence": sent.json()["sequence"]}
    assert entry["requestId"] == sent.headers["X-Request-Id"]


async def test_a_signal_to_one_node_resumes_the_job_on_another(start_service: Any) -> None:
    worker = await start_service(roles=("worker", "sweeper"))
    api = await start_service(roles=("api",))
    job_id = await parked_job(api, "approval")
    assert (await _send(api, job_id)).status_code == 202
    ended = await api.ended(job_id)
    [started] = [event for event in (await api.events(job_id))[3:] if event["eventType"] == "JobStarted"]
    assert (ended["status"], started["metadata"]["source"]) == ("completed", f"worker:{worker.node.name}")
