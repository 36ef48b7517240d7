"""Pausing a queue is durable, and applies on every node when the call returns."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from duly.domain.ids import SMALLEST
from duly.domain.job import Lane
from duly.lifecycle.claim import set_flow_control
from duly.store.postgres.database import Connection
from duly.store.queue.flow_control import read_version, transactions_that_may_start_jobs
from duly.store.queue.ready import LaneStart, claim_ready
from tests.support import flow_control_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import BOUND_SECONDS, Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.flow_control_handlers")


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    flow_control_handlers.forget_counts()


async def pause(service: Service, queue: str = "default") -> dict[str, Any]:
    answer = await service.client.post(f"/api/v1/queues/{queue}/pause")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def resume(service: Service, queue: str = "default") -> dict[str, Any]:
    answer = await service.client.post(f"/api/v1/queues/{queue}/resume")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_paused_queue_takes_jobs_and_starts_none_until_it_is_resumed(start_service: StartService) -> None:
    service = await start_service()
    await pause(service)
    single = await service.submit("echo")
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}] * 5})
    elsewhere = await service.run("echo", queue="other")
    assert elsewhere["status"] == "completed"
    for job_id in (single["jobId"], *answer.json()["jobIds"]):
        view = await service.job(job_id)
        assert (view["status"], view["waitingFor"]) == ("pending", "paused")
    await resume(service)
    for job_id in (single["jobId"], *answer.json()["jobIds"]):
        assert (await service.ended(job_id))["status"] == "completed"


async def test_what_runs_goes_on(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("wait-for-gate", {"name": "held"})
    await has_entered("held").wait()
    await pause(service)
    gate("held").set()
    assert (await service.ended(job["jobId"]))["status"] == "completed"


async def test_once_it_is_answered_no_node_starts_anything_not_even_at_once(start_service: StartService) -> None:
    # They hear no hints: one of them believes for up to a second what held before.
    services = [await start_service(handlers=HANDLERS, worker_slots=10, transaction_pooling=True) for _ in range(2)]
    going_on = True

    async def submitting(service: Service) -> None:
        while going_on:
            await service.submit("count-a")
            await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "count-b"}] * 5})

    paused: list[tuple[Any, Any]] = []
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(submitting(service))
        for number in range(4):
            before = flow_control_handlers.started["counted"]
            await eventually(partial(_more_than, before + 10))
            await pause(services[number % 2])
            [[answered]] = await services[0].sql_in_one("select now()")
            jobs = await services[0].sql("select count(*) from jobs")
            await eventually(partial(_more_jobs, services[0], jobs[0][0] + 10))
            [[resumed]] = await services[0].sql_in_one("select now()")
            paused.append((answered, resumed))
            await resume(services[(number + 1) % 2])
        going_on = False
    for answered, resumed in paused:
        started = "select from events where kind = 1 and occurred_at > $1 and occurred_at < $2"
        assert await services[0].sql(started, answered, resumed) == []
    unended = "select from jobs j where not exists (select from events where job_id = j.job_id and kind >= 10)"
    await eventually(lambda: _none(services[0], unended))


async def _more_than(count: int) -> bool:
    return flow_control_handlers.started["counted"] > count


async def _more_jobs(service: Service, count: int) -> bool:
    return bool(await service.total("select count(*) from jobs") > count)


async def _none(service: Service, statement: str) -> bool:
    return not await service.sql(statement)


@pytest.mark.parametrize("patience", [BOUND_SECONDS, 0.0], ids=["in time", "after the machine stood still"])
async def test_starts_under_way_are_over_before_it_is_answered(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(set_flow_control, "PATIENCE_SECONDS", patience)
    monkeypatch.setattr(set_flow_control, "LEAST_LOOKS", 1_200)  # at the longest pause between them, a minute
    looks = 0

    async def looked(connection: Connection) -> set[str]:
        nonlocal looks
        looks += 1
        return await transactions_that_may_start_jobs(connection)

    async def looked_often() -> bool:
        return looks > 5

    monkeypatch.setattr(set_flow_control, "transactions_that_may_start_jobs", looked)
    service = await start_service(roles=("api",))
    await service.submit("echo")
    database = service.database()
    async with database.hot().use() as node, node.transaction():
        lanes = [LaneStart(Lane(1, "default", "echo", 0), SMALLEST)]
        claimed = await claim_ready(
            node,
            lanes,
            limit=1,
            node_id=service.node.node_id,
            source="worker:test",
            version=await read_version(node),
        )
        assert len(claimed) == 1
        pausing = asyncio.create_task(pause(service))
        await eventually(looked_often)
        assert await service.sql("select from queues where paused_at is not null")
        assert not pausing.done()
    assert (await pausing)["paused"]
    await database.close()


async def test_a_pause_outlives_the_service(start_service: StartService) -> None:
    first = await start_service(roles=("api",))
    await pause(first, "nightly")
    job = await first.submit("echo", queue="nightly")
    second = await start_service()
    assert (await second.run("echo"))["status"] == "completed"
    assert (await second.job(job["jobId"]))["waitingFor"] == "paused"
    await resume(second, "nightly")
    assert (await second.ended(job["jobId"]))["status"] == "completed"


async def test_the_next_attempt_of_a_job_waits_too(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS)
    flow_control_handlers.trouble["unguarded"] = "BROKEN"
    job = await service.submit("unguarded", {"name": "first"}, queue="nightly")
    await has_entered("first").wait()
    await pause(service, "nightly")
    gate("first").set()
    await service.until(job["jobId"], lambda view: view["waitingFor"] == "retry")
    await service.sql("update scheduled set run_at = now()")
    waiting = await eventually(lambda: _waiting_for(service, job["jobId"], "paused"))
    assert waiting["attempt"] == 1
    flow_control_handlers.trouble.clear()
    await resume(service, "nightly")
    assert (await service.ended(job["jobId"]))["attempt"] == 2


async def _waiting_for(service: Service, job_id: str, reason: str) -> dict[str, Any] | None:
    view = await service.job(job_id)
    return view if view["waitingFor"] == reason else None


async def test_a_node_that_hears_no_hints_learns_of_it_too(start_service: StartService) -> None:
    deaf = await start_service(transaction_pooling=True, roles=("worker", "sweeper"))
    service = await start_service(roles=("api",))
    await pause(service)
    job = await service.submit("echo")
    other = await service.run("echo", queue="other")
    assert other["status"] == "completed"
    assert (await service.job(job["jobId"]))["waitingFor"] == "paused"
    await resume(service)
    assert (await service.ended(job["jobId"]))["status"] == "completed"
    assert deaf.node.worker.claimer.version == 3  # a pause, and its end


async def test_a_paused_job_can_be_cancelled(start_service: StartService) -> None:
    service = await start_service()
    await pause(service)
    job = await service.submit("echo")
    answer = await service.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")
    assert answer.status_code == 200
    assert (await service.job(job["jobId"]))["status"] == "cancelled"


async def test_a_node_with_a_paused_queue_full_of_jobs_rests(start_service: StartService) -> None:
    service = await start_service()
    await pause(service)
    await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}] * 20})
    lane = Lane(1, "default", "echo", 0)
    claimer = service.node.worker.claimer

    async def known() -> bool:
        return lane in set(claimer.lanes.known({"echo"}))

    await eventually(known)
    assert not claimer.may_find_jobs
    assert claimer.rest_seconds > 0.5
    assert not claimer.may_start(lane)
