"""`PUT /api/v1/jobs/{jobId}`: a submission under an id of the client's may be repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from duly.api.contract.response_models import AcceptedBody, JobBody
from duly.api.jobs.submit_job import id_refusal
from duly.domain.ids import new_job_id
from duly.lifecycle.submit import tied_placement
from duly.store.postgres.database import DatabaseOutage
from duly.store.ties import placement
from tests.support.handlers import gate
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

ECHO = {"type": "echo", "parameters": {"a": 1, "b": [2]}}


def held(name: str) -> dict[str, Any]:
    """Returns a job that runs until its gate is opened."""
    return {"type": "wait-for-gate", "parameters": {"name": name}}


async def put(service: Service, job_id: object, job: object = None, **headers: str) -> httpx.Response:
    return await service.client.put(f"/api/v1/jobs/{job_id}", json=job or ECHO, headers=headers)


def id_made(age: timedelta) -> UUID:
    """Returns an id whose time is this long ago."""
    milliseconds = int((datetime.now(UTC) - age).timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (new_job_id().int & ((1 << 80) - 1)))


async def is_running(service: Service, job_id: str) -> dict[str, Any]:
    return await service.until(job_id, lambda view: view["status"] == "running")


async def starts_of(service: Service, job_id: str) -> int:
    return (await service.event_types(job_id)).count("JobStarted")


async def test_a_new_id_is_answered_as_any_submission(contract: Service) -> None:
    job_id = new_job_id()
    response = await put(contract, job_id)

    assert response.status_code == 202
    AcceptedBody.model_validate(response.json(), strict=True)
    assert response.json()["jobId"] == str(job_id)
    assert response.headers["Location"] == f"/api/v1/jobs/{job_id}"
    assert response.headers["Retry-After"] == "1"
    assert (await contract.ended(str(job_id)))["result"] == ECHO["parameters"]


async def test_the_same_submission_again_gets_the_job_as_it_stands(contract: Service) -> None:
    job_id = str(new_job_id())
    await put(contract, job_id, held("put"))
    running = await is_running(contract, job_id)
    again = await put(contract, job_id, held("put"))
    assert (again.status_code, again.json()) == (200, running)
    assert again.headers["ETag"] == f'"{running["sequence"]}"'
    assert "Idempotency-Replayed" not in again.headers

    gate("put").set()
    await contract.ended(job_id)
    ended = await put(contract, job_id, held("put"))
    JobBody.model_validate_json(ended.content, strict=True)
    assert (ended.status_code, ended.json()["status"]) == (200, "completed")
    assert await starts_of(contract, job_id) == 1


async def test_the_same_body_written_otherwise_is_the_same_submission(contract: Service) -> None:
    job_id = str(new_job_id())
    await put(contract, job_id)
    body = b' { "parameters" : {"b":[2],"a":1}, "type" : "\\u0065cho" } '
    again = await contract.client.put(
        f"/api/v1/jobs/{job_id.upper()}", content=body, headers={"Content-Type": "application/json"}
    )
    assert (again.status_code, again.json()["jobId"]) == (200, job_id)


@pytest.mark.parametrize("other", [{"type": "echo"}, ECHO | {"priority": 1}, ECHO | {"queue": "night"}])
async def test_another_body_under_the_same_id_is_refused(contract: Service, other: dict[str, Any]) -> None:
    job_id = str(new_job_id())
    await put(contract, job_id)
    before = await contract.ended(job_id)
    error = refused(await put(contract, job_id, other), 409, "JOB_EXISTS")
    assert error["details"]["retryable"] is False
    assert await contract.job(job_id) == before


async def test_an_id_that_the_service_made_is_taken_too(contract: Service) -> None:
    made = await contract.submit("echo", ECHO["parameters"])
    refused(await put(contract, made["jobId"]), 409, "JOB_EXISTS")


async def test_many_at_once_make_one_job(start_service: Callable[..., Awaitable[Service]]) -> None:
    services = [await start_service(), await start_service()]
    job_id = str(new_job_id())
    responses = await asyncio.gather(*(put(services[number % 2], job_id) for number in range(40)))
    assert sorted({response.status_code for response in responses}) == [200, 202]
    assert [response.status_code for response in responses].count(202) == 1
    assert {response.json()["jobId"] for response in responses} == {job_id}
    await services[0].ended(job_id)
    assert await starts_of(services[0], job_id) == 1


async def test_of_different_bodies_at_once_one_is_taken(contract: Service) -> None:
    job_id = str(new_job_id())
    responses = await asyncio.gather(*(put(contract, job_id, ECHO | {"priority": number}) for number in range(10)))
    statuses = [response.status_code for response in responses]
    assert (statuses.count(202), statuses.count(409)) == (1, 9)


@pytest.mark.parametrize("hours", [-23.9, 0, 23.9])
async def test_an_id_of_up_to_a_day_before_or_after_is_taken_and_its_job_runs(contract: Service, hours: float) -> None:
    job_id = str(id_made(timedelta(hours=hours)))
    assert (await put(contract, job_id)).status_code == 202
    assert (await contract.ended(job_id))["status"] == "completed"
    assert (await put(contract, job_id)).status_code == 200


@pytest.mark.parametrize("hours", [24.1, -24.1, 24 * 365 * 20])
async def test_an_id_of_another_time_is_refused(contract: Service, hours: float) -> None:
    assert invalid_paths(await put(contract, id_made(timedelta(hours=hours)))) == ["jobId"]


@pytest.mark.parametrize(
    ("job_id", "time"),
    [
        ("06b0f939-2852-7a34-8000-cef416a13c57", "2203-02-21T09:01:23.410Z"),  # made as an early draft says, in 2026
        ("0199c1f0-0000-7000-8000-000000000000", "2025-10-08T03:49:15.392Z"),
        ("ffffffff-0000-7000-8000-000000000000", "after the year 9999"),
    ],
)
def test_the_time_of_a_refused_id_is_said(job_id: str, time: str) -> None:
    refusal = id_refusal(UUID(job_id), now=datetime(2026, 12, 2, tzinfo=UTC))
    assert refusal == f"must have a time within 24 hours of now, not {time}"


@pytest.mark.parametrize(
    "job_id",
    [
        "8c3f7a52-6d0c-4f0e-9a53-0c6a1b7f2d11",
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "0199c1f0-0000-1000-8000-000000000000",
        "0199c1f0-0000-7000-c000-000000000000",
    ],
)
async def test_another_kind_of_uuid_is_refused(contract: Service, job_id: object) -> None:
    response = await put(contract, job_id)
    assert invalid_paths(response) == ["jobId"]
    assert "version 7" in response.json()["error"]["message"]


@pytest.mark.parametrize("hours", [24 * 365 * 8000, 24 * 365 * 2000])
async def test_nor_is_one_of_a_year_that_no_calendar_has(contract: Service, hours: int) -> None:
    assert invalid_paths(await put(contract, UUID(int=(hours * 3_600_000 << 80) | (7 << 76) | (2 << 62)))) == ["jobId"]


@pytest.mark.parametrize(
    "job_id",
    [
        *("nonsense", "batches", "", "a/b", "why"),
        "0199c1f0000070008000000000000000",
        "{0199c1f0-0000-7000-8000-000000000000}",
    ],
)
async def test_what_is_no_id_is_nowhere(contract: Service, job_id: str) -> None:
    refused(await put(contract, job_id), 404, "NOT_FOUND")


async def test_what_is_refused_of_a_submission_is_refused_here(contract: Service) -> None:
    job_id = str(new_job_id())
    refused(await put(contract, job_id, {"type": "ecoh"}), 422, "UNKNOWN_JOB_TYPE")
    assert invalid_paths(await put(contract, job_id, ECHO | {"priorty": 1})) == ["priorty"]
    assert invalid_paths(await contract.client.put(f"/api/v1/jobs/{job_id}?wait=1", json=ECHO)) == [""]
    response = await contract.client.put(f"/api/v1/jobs/{job_id}", content=b"{", headers={"Content-Type": "text/plain"})
    refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
    refused(await contract.client.get(f"/api/v1/jobs/{job_id}"), 404, "NOT_FOUND")
    assert (await put(contract, job_id)).status_code == 202


async def test_it_may_wait_for_the_end(contract: Service) -> None:
    job_id = str(new_job_id())
    first, again = [await put(contract, job_id, Prefer="wait=60") for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == await contract.job(job_id)
    assert first.json()["status"] == "completed"
    assert {response.headers["Preference-Applied"] for response in (first, again)} == {"wait=60"}


async def test_a_key_may_come_with_it(contract: Service) -> None:
    job_id = str(new_job_id())
    key = {"Idempotency-Key": contract.key_beside(job_id, "put-1")}
    first = await put(contract, job_id, **key)
    again = await put(contract, job_id, **key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    without_key = await put(contract, job_id)
    assert (without_key.status_code, without_key.json()["jobId"]) == (200, job_id)

    refused(await put(contract, job_id, ECHO | {"priority": 1}, **key), 422, "IDEMPOTENCY_KEY_REUSED")
    other = contract.node_of(job_id).clock.ids.new()  # the id decides the cell, in which the key is known
    refused(await put(contract, other, **key), 422, "IDEMPOTENCY_KEY_REUSED")
    refused(await contract.client.post("/api/v1/jobs", json=ECHO, headers=key), 422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_key_that_came_with_a_submission_that_stood_gets_the_job_each_time(contract: Service) -> None:
    job_id, key = str(new_job_id()), {"Idempotency-Key": "put-3"}
    await put(contract, job_id)
    await contract.ended(job_id)
    first, again = [await put(contract, job_id, **key) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert first.json()["status"] == "completed"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_key_is_not_used_up_by_an_id_that_is_taken(contract: Service) -> None:
    job_id, key = str(new_job_id()), {"Idempotency-Key": "put-2"}
    await put(contract, job_id)
    refused(await put(contract, job_id, ECHO | {"priority": 1}, **key), 409, "JOB_EXISTS")
    assert (await put(contract, new_job_id(), **key)).status_code == 202


async def test_another_job_with_the_unique_key_stands_for_it(contract: Service) -> None:
    first = str(new_job_id())
    second = str(contract.node_of(first).clock.ids.new())
    unique = held("unique") | {"uniqueKey": contract.key_beside(first, "stands")}
    await put(contract, first, unique)
    await is_running(contract, first)
    response = await put(contract, second, unique)
    assert response.status_code == 202
    AcceptedBody.model_validate(response.json(), strict=True)
    assert {name: response.json()[name] for name in ("jobId", "status", "deduplicated")} == {
        "jobId": first,
        "status": "running",
        "deduplicated": True,
    }
    assert response.headers["Location"] == f"/api/v1/jobs/{first}"
    refused(await contract.client.get(f"/api/v1/jobs/{second}"), 404, "NOT_FOUND")
    keyed = await put(contract, second, unique, **{"Idempotency-Key": "put-unique"})
    assert keyed.content == response.content
    gate("unique").set()
    await contract.ended(first)
    again = await put(contract, second, unique, **{"Idempotency-Key": "put-unique"})
    assert (again.status_code, again.content) == (202, keyed.content)


async def test_what_it_once_asked_for_counts_no_more_when_it_comes_again(contract: Service) -> None:
    parent = (await contract.submit("echo"))["jobId"]
    mine, other = (str(contract.node_of(parent).clock.ids.new()) for _ in range(2))
    unique_key = contract.key_beside(parent, "one")
    requested = ECHO | {"uniqueKey": unique_key, "dependsOn": [parent]}
    await put(contract, mine, requested)
    await contract.ended(mine)
    later = {"type": "echo", "uniqueKey": unique_key, "delaySeconds": 3600}
    assert (await put(contract, other, later)).status_code == 202
    await contract.sql("delete from events where job_id = $1", UUID(parent))
    await contract.sql("delete from jobs where job_id = $1", UUID(parent))

    # The key is another's now, and the job that it waited for is long gone.
    again = await put(contract, mine, requested)
    assert (again.status_code, again.json()["jobId"], again.json()["status"]) == (200, mine, "completed")


async def test_where_the_answer_of_the_database_is_lost_one_job_stands(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    place = placement.place

    async def losing(connection: Any, standing: Any) -> None:
        await place(connection, standing)
        if not lost:
            lost.append(1)
            await connection.execute("commit")
            raise DatabaseOutage("the connection broke after the commit")

    monkeypatch.setattr(tied_placement, "place", losing)
    job_id = str(new_job_id())
    response = await put(service, job_id)
    assert lost
    assert (response.status_code, response.json()["jobId"]) == (200, job_id)
    assert (await service.ended(job_id))["status"] == "completed"
