"""Concurrency keys: one job of a key runs at a time, in order of submission, on any node."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_TENANT, Flow, NewBatch, NewJob
from duly.lifecycle.end.follow_ups import FollowUps
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]

OVERLAPS = """
with runs as (
    select s.job_id, j.concurrency_key as key, s.occurred_at as began,
           (select min(e.occurred_at) from events e where e.job_id = s.job_id and e.sequence > s.sequence) as ended
    from events s join jobs j on j.job_id = s.job_id where s.kind = 1 and j.concurrency_key is not null
)
select a.job_id, b.job_id from runs a join runs b on a.key = b.key and a.job_id < b.job_id
where a.began < b.ended and b.began < a.ended
"""
STARTS = """
select e.job_id from events e join jobs j on j.job_id = e.job_id
where e.kind = 1 and j.concurrency_key = $1 order by e.occurred_at, e.job_id
"""


async def test_one_at_a_time_in_the_order_of_submission_on_two_nodes(start_service: StartService) -> None:
    services = [await start_service(worker_slots=8) for _ in range(2)]
    jobs = [await services[n % 2].submit("echo", {"n": n}, concurrencyKey=f"key-{n % 3}") for n in range(45)]
    for job in jobs:
        assert (await services[0].ended(job["jobId"]))["status"] == "completed"
    assert await services[0].sql(OVERLAPS) == []
    for number in range(3):
        started = [str(row[0]) for row in await services[0].sql(STARTS, f"key-{number}")]
        assert started == [job["jobId"] for job in jobs[number::3]]
    await eventually(lambda: none_left(services[0]))


async def none_left(service: Service) -> bool:
    return await service.sql("select * from concurrency") == [] and await service.sql("select * from endings") == []


async def test_the_next_waits_and_says_for_what(start_service: StartService) -> None:
    service = await start_service()
    first = await service.submit("wait-for-gate", {"name": "held"}, concurrencyKey="k")
    async with asyncio.timeout(60):
        await has_entered("held").wait()
    second = await service.submit("echo", concurrencyKey="k")
    other = await service.submit("echo", concurrencyKey="other")
    assert (await service.ended(other["jobId"]))["status"] == "completed"
    view = await service.job(second["jobId"])
    assert (view["status"], view["waitingFor"]) == ("pending", "concurrency")
    gate("held").set()
    for job in (first, second):
        assert (await service.ended(job["jobId"]))["status"] == "completed"


async def test_a_job_between_two_attempts_keeps_its_key(start_service: StartService) -> None:
    service = await start_service()
    first = await service.submit("raise-later", concurrencyKey="k")
    await service.until(first["jobId"], lambda view: view["waitingFor"] == "retry")
    second = await service.submit("echo", concurrencyKey="k")
    assert (await service.job(second["jobId"]))["waitingFor"] == "concurrency"
    assert (await service.client.post(f"/api/v1/jobs/{first['jobId']}/cancel")).status_code == 200
    assert (await service.ended(second["jobId"]))["status"] == "completed"


async def test_a_job_for_later_takes_its_key_when_it_is_due(start_service: StartService) -> None:
    service = await start_service()
    later = await service.submit("echo", concurrencyKey="k", delaySeconds=3600)
    sooner = await service.run("echo", concurrencyKey="k")
    await service.make_due()
    for job in (sooner, later):
        assert (await service.ended(job["jobId"]))["status"] == "completed"
    started = [str(row[0]) for row in await service.sql(STARTS, "k")]
    assert started == [sooner["jobId"], later["jobId"]]


async def test_one_that_is_cancelled_while_it_waits_is_passed_over(start_service: StartService) -> None:
    service = await start_service()
    first = await service.submit("wait-for-gate", {"name": "held"}, concurrencyKey="k")
    async with asyncio.timeout(60):
        await has_entered("held").wait()
    second, third = [await service.submit("echo", concurrencyKey="k") for _ in range(2)]
    assert (await service.client.post(f"/api/v1/jobs/{second['jobId']}/cancel")).status_code == 200
    gate("held").set()
    assert (await service.ended(third["jobId"]))["status"] == "completed"
    assert (await service.job(second["jobId"]))["status"] == "cancelled"
    await service.ended(first["jobId"])


async def test_ten_thousand_that_wait_for_one_key_are_not_looked_at_by_claims(start_service: StartService) -> None:
    service = await start_service()
    held = await service.submit("wait-for-gate", {"name": "held"}, concurrencyKey="busy")
    async with asyncio.timeout(60):
        await has_entered("held").wait()
    flow = Flow(concurrency_key="busy")
    batch = NewBatch(DEFAULT_TENANT, new_job_id())
    waiting = [
        NewJob(DEFAULT_TENANT, new_job_id(), "echo", "default", 0, "{}", 60, 1, batch_id=batch.batch_id, flow=flow)
        for _ in range(10_000)
    ]
    await service.node.submitter.submit_all(batch, waiting)
    assert await service.total("select count(*) from blocked") == 10_000
    assert await service.total("select count(*) from ready") == 0
    for _ in range(3):
        assert (await service.run("echo", {"n": 1}))["status"] == "completed"
    assert await service.node.canceller.cancel_many(DEFAULT_TENANT, [job.job_id for job in waiting]) == 10_000
    gate("held").set()
    await service.ended(held["jobId"])


async def test_a_job_set_going_again_before_its_end_was_followed_keeps_its_key(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow = asyncio.Event()
    original = FollowUps.step

    async def held_back(self: FollowUps) -> float:
        await follow.wait()
        return await original(self)

    monkeypatch.setattr(FollowUps, "step", held_back)
    service = await start_service()
    first = await service.run("fail", concurrencyKey="k")
    second = await service.submit("echo", concurrencyKey="k")
    await service.client.post("/api/v1/queues/default/pause")
    assert (await service.client.post(f"/api/v1/jobs/{first['jobId']}/retry")).status_code == 202
    follow.set()
    await eventually(lambda: nothing_to_follow(service))
    assert [str(row[0]) for row in await service.sql("select job_id from concurrency")] == [first["jobId"]]
    assert (await service.job(second["jobId"]))["waitingFor"] == "concurrency"
    await service.client.post("/api/v1/queues/default/resume")
    for job in (first, second):
        await service.ended(job["jobId"])


async def nothing_to_follow(service: Service) -> bool:
    return await service.sql("select * from endings") == []
