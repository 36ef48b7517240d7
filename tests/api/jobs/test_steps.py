"""`GET /api/v1/jobs/{jobId}/steps`: steps, timers and signals of a job, page by page."""

from typing import Any
from uuid import UUID

import httpx

from duly.api.jobs.steps import StepPage
from duly.domain.cursor import encode_cursor
from duly.domain.ids import new_job_id
from duly.domain.steps import StepStatus
from tests.support.keys import OWN, bearer, make_key
from tests.support.parked_jobs import LATER, parked_job
from tests.support.response_checks import TIME, invalid_paths, refused
from tests.support.service import Service


async def _steps(service: Service, job_id: str, **query: Any) -> dict[str, Any]:
    answer = await service.client.get(f"/api/v1/jobs/{job_id}/steps", params=query)
    assert answer.status_code == 200, answer.text
    StepPage.model_validate_json(answer.content, strict=True)
    page: dict[str, Any] = answer.json()
    return page


async def _signal(service: Service, job_id: str, name: str, body: Any) -> httpx.Response:
    return await service.client.post(f"/api/v1/jobs/{job_id}/signals/{name}", json=body)


async def test_waits_are_listed_with_their_state_and_signals_with_their_body(contract: Service) -> None:
    job_id = await parked_job(contract, "approval", "payment", until=LATER)
    await _signal(contract, job_id, "hint", {"a": 1})
    items = (await _steps(contract, job_id))["items"]
    assert [(each["name"], each["kind"], each["status"]) for each in items] == [
        ("approval", "signal", "waiting"),
        ("payment", "signal", "waiting"),
        ("hint", "signal", "completed"),
    ]
    assert [(each["until"], each["completedAt"], each["result"]) for each in items[:2]] == [(LATER, None, None)] * 2
    assert (items[2]["result"], items[2]["until"]) == ({"a": 1}, None)
    assert TIME.fullmatch(items[2]["completedAt"])

    await contract.sql(
        f"update steps set status = {StepStatus.TIMED_OUT:d} where job_id = $1 and name = 'payment'",  # noqa: S608
        UUID(job_id),
    )
    assert [each["status"] for each in (await _steps(contract, job_id))["items"]] == [
        "waiting",
        "timed_out",
        "completed",
    ]
    await contract.sql(f"update steps set status = {StepStatus.WAITING:d} where job_id = $1", UUID(job_id))  # noqa: S608
    await _signal(contract, job_id, "approval", "yes")
    await contract.ended(job_id)
    items = (await _steps(contract, job_id))["items"]
    assert [(each["name"], each["status"], each["result"]) for each in items] == [
        ("payment", "waiting", None),
        ("hint", "completed", {"a": 1}),
        ("approval", "completed", "yes"),
    ]


async def test_pages_have_every_item_once(contract: Service) -> None:
    names = [f"w{number}" for number in range(5)]
    job_id = await parked_job(contract, *names)
    found: list[str] = []
    cursor = None
    while True:
        page = await _steps(contract, job_id, limit=2, **({"cursor": cursor} if cursor else {}))
        found += [each["name"] for each in page["items"]]
        if (cursor := page["nextCursor"]) is None:
            break
    assert found == names
    for position in ("x", "1 9 a", "99999999999 1 a", "1 1 a\0"):
        forged = encode_cursor(f"steps of {job_id}", position.encode())
        answer = await contract.client.get(f"/api/v1/jobs/{job_id}/steps", params={"cursor": forged})
        assert invalid_paths(answer) == ["cursor"]
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")


async def test_a_job_without_steps_has_none_and_an_unknown_one_is_not_found(contract: Service) -> None:
    job_id = (await contract.submit("echo"))["jobId"]
    assert await _steps(contract, job_id) == {"items": [], "nextCursor": None}
    refused(await contract.client.get(f"/api/v1/jobs/{new_job_id()}/steps"), 404, "NOT_FOUND")


async def test_without_jobs_payload_results_are_null(start_service: Any) -> None:
    service = await start_service(api_key=OWN, roles=("api",))
    reader = bearer((await make_key(service, "jobs:read"))["key"])
    service.client.headers.update(bearer(OWN))
    job_id = (await service.submit("echo", runAt=LATER))["jobId"]
    await _signal(service, job_id, "approval", "secret")
    assert (await _steps(service, job_id))["items"][0]["result"] == "secret"
    for path in ("steps", "events", "why"):
        seen = await service.client.get(f"/api/v1/jobs/{job_id}/{path}", headers=reader)
        assert seen.status_code == 200
        assert "secret" not in seen.text
    [step] = (await service.client.get(f"/api/v1/jobs/{job_id}/steps", headers=reader)).json()["items"]
    assert (step["name"], step["status"], step["result"]) == ("approval", "completed", None)


async def test_why_names_the_signal_and_the_time(contract: Service) -> None:
    expected = {
        ("approval",): 'It waits for the signal "approval".',
        ("a", "b"): 'It waits for one of the signals "a" or "b".',
    }
    for names, message in expected.items():
        job_id = await parked_job(contract, *names)
        why = (await contract.client.get(f"/api/v1/jobs/{job_id}/why")).json()
        assert (why["cause"], why["waitingFor"], why["message"]) == ("SIGNAL", "signal", message)
        assert why["data"] == {"signals": list(names), "runAt": None}
        await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
    job_id = await parked_job(contract, "approval", until=LATER)
    why = (await contract.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert why["message"] == f'It waits for the signal "approval", until {LATER} at the latest.'
    assert (await contract.job(job_id))["runAt"] == LATER
    await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")
