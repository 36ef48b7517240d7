"""Unique keys: while a job of a type and key is unfinished, submitting returns that job; debouncing merges into it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.handlers import gate, has_entered
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


async def hold(service: Service, name: str, **members: Any) -> dict[str, Any]:
    job = await service.submit("wait-for-gate", {"name": name}, **members)
    async with asyncio.timeout(60):
        await has_entered(name).wait()
    return job


async def test_a_second_submission_returns_the_unfinished_job(start_service: StartService) -> None:
    service = await start_service()
    first = await hold(service, "one", uniqueKey="k")
    second = await service.submit("wait-for-gate", {"name": "other"}, uniqueKey="k")
    assert second["jobId"] == first["jobId"]
    assert second["deduplicated"] is True
    assert "deduplicated" not in first
    gate("one").set()
    await service.ended(first["jobId"])


async def test_the_key_is_free_the_moment_its_job_has_ended(start_service: StartService) -> None:
    service = await start_service()
    for _ in range(20):
        job = await service.submit("echo", uniqueKey="again")
        assert "deduplicated" not in job
        await service.ended(job["jobId"])


@pytest.mark.parametrize("how", ["cancelled", "expired", "failed"])
async def test_however_it_ended(start_service: StartService, how: str) -> None:
    service = await start_service()
    members: dict[str, dict[str, Any]] = {
        "cancelled": {"delaySeconds": 600},
        "expired": {"delaySeconds": 600, "expiresInSeconds": 0.1},
    }
    type_ = "fail" if how == "failed" else "echo"
    job = await service.submit(type_, uniqueKey="k", **members.get(how, {}))
    if how == "cancelled":
        assert (await service.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")).status_code == 200
    assert (await service.ended(job["jobId"]))["status"] == ("cancelled" if how == "cancelled" else "failed")
    assert (await service.submit(type_, uniqueKey="k"))["jobId"] != job["jobId"]


async def test_other_types_and_other_keys_have_jobs_of_their_own(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    jobs = [
        await service.submit("echo", uniqueKey="a"),
        await service.submit("echo", uniqueKey="b"),
        await service.submit("plain", uniqueKey="a"),
        await service.submit("echo"),
    ]
    assert len({job["jobId"] for job in jobs}) == 4


async def test_a_hundred_at_once_make_one_job(start_service: StartService) -> None:
    services = [await start_service(roles=("api",)) for _ in range(2)]
    answers = await asyncio.gather(
        *(services[n % 2].submit("echo", {"n": n}, uniqueKey="same") for n in range(100)),
    )
    assert len({answer["jobId"] for answer in answers}) == 1
    assert sum("deduplicated" not in answer for answer in answers) == 1
    assert await services[0].total("select count(*) from jobs") == 1


async def test_a_job_between_two_attempts_keeps_its_key(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("raise-later", uniqueKey="k")
    await service.until(job["jobId"], lambda view: view["waitingFor"] == "retry")
    assert (await service.submit("raise-later", uniqueKey="k"))["jobId"] == job["jobId"]


async def test_debouncing_runs_once_with_the_newest_parameters(start_service: StartService) -> None:
    service = await start_service()
    answers = [await service.submit("echo", {"n": number}, uniqueKey="d", debounceSeconds=600) for number in range(5)]
    assert len({answer["jobId"] for answer in answers}) == 1
    await service.make_due()
    job = await service.ended(answers[0]["jobId"])
    assert (job["status"], job["result"], job["parameters"]) == ("completed", {"n": 4}, {"n": 4})
    assert (await service.event_types(job["jobId"])).count("JobRequeued") == 4


async def test_a_debounced_job_starts_after_its_longest_wait(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("echo", {"n": 0}, uniqueKey="d", debounceSeconds=600, debounceMaxSeconds=600)
    await service.sql("update jobs set created_at = created_at - interval '601 seconds'")
    await service.submit("echo", {"n": 1}, uniqueKey="d", debounceSeconds=600, debounceMaxSeconds=600)
    assert (await service.ended(job["jobId"]))["result"] == {"n": 1}


async def test_what_comes_while_it_runs_makes_a_new_job(start_service: StartService) -> None:
    service = await start_service()
    first = await hold(service, "busy", uniqueKey="d")
    second = await service.submit("wait-for-gate", {"name": "next"}, uniqueKey="d", debounceSeconds=0.05)
    assert second["jobId"] != first["jobId"]
    third = await service.submit("wait-for-gate", {"name": "next"}, uniqueKey="d")
    assert third["jobId"] == second["jobId"]
    gate("busy").set()
    gate("next").set()
    for job in (first, second):
        assert (await service.ended(job["jobId"]))["status"] == "completed"
    assert await service.sql("select * from unique_keys") == []


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"debounceSeconds": 1}, "debounceSeconds"),
        ({"uniqueKey": "k", "debounceMaxSeconds": 1}, "debounceMaxSeconds"),
        ({"uniqueKey": "k", "debounceSeconds": 1, "debounceMaxSeconds": 0.999}, "debounceMaxSeconds"),
        ({"uniqueKey": "k", "debounceSeconds": 1, "delaySeconds": 3}, "delaySeconds"),
        ({"uniqueKey": ""}, "uniqueKey"),
        ({"uniqueKey": "x" * 256}, "uniqueKey"),
        ({"concurrencyKey": 3}, "concurrencyKey"),
        ({"expiresInSeconds": 0}, "expiresInSeconds"),
    ],
)
async def test_what_does_not_fit_is_refused(start_service: StartService, members: dict[str, Any], path: str) -> None:
    service = await start_service(roles=("api",))
    answer = await service.client.post("/api/v1/jobs", json={"type": "echo", **members})
    assert answer.status_code == 422
    assert [error["path"] for error in answer.json()["error"]["details"]["errors"]] == [path]
