"""Prefetching: brisk jobs are claimed a round ahead; long ones are not."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from duly.domain.job import ClaimedJob
from duly.worker import prefetch
from duly.worker.prefetch import Prefetch
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually


def claimed() -> ClaimedJob:
    return ClaimedJob(1, uuid4(), 1, 1, 1, 0, "echo", "default", 0, 10.0, 5, "{}", None, None, None, False)


def run_brisk_jobs(waiting: Prefetch) -> None:
    for _ in range(200):
        waiting.observe(0.001)


def brisk(slots: int) -> Prefetch:
    waiting = Prefetch(slots)
    run_brisk_jobs(waiting)
    return waiting


def test_slow_jobs_are_claimed_for_free_slots_only() -> None:
    waiting = Prefetch(10)
    assert [waiting.room(free) for free in (0, 1, 10)] == [0, 1, 10]


def test_brisk_jobs_are_claimed_one_round_ahead_and_many_at_once() -> None:
    waiting = brisk(10)
    assert waiting.room(10) == 20
    waiting.put([claimed() for _ in range(10)])
    assert waiting.room(0) == 0  # a whole round waits
    for _ in range(6):
        waiting.take()
    assert waiting.room(0) == 6  # more than half a round is missing
    assert brisk(1).room(0) == 1


def test_what_waits_is_taken_in_order_or_by_name() -> None:
    waiting = brisk(3)
    jobs = [claimed() for _ in range(3)]
    waiting.put(jobs)
    assert waiting.take_one(jobs[1].job_id) == jobs[1]
    assert waiting.take_one(jobs[1].job_id) is None
    assert [waiting.take(), waiting.take(), waiting.take()] == [jobs[0], jobs[2], None]


def test_what_finds_no_slot_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "STALE_SECONDS", 60.0)
    waiting = brisk(3)
    jobs = [claimed(), claimed()]
    waiting.put(jobs)
    assert waiting.take_stale() == []
    monkeypatch.setattr(prefetch, "STALE_SECONDS", 0.0)
    assert waiting.take_stale() == jobs
    assert waiting.room(0) == 0  # no longer brisk


async def test_jobs_that_wait_behind_long_ones_run_elsewhere_and_are_not_charged(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    crowded = await start_service(worker_slots=2)
    run_brisk_jobs(crowded.node.worker.pool._prefetch)
    held = [await crowded.submit("wait-for-gate", {"name": f"gate-{number}"}) for number in range(2)]
    async with asyncio.timeout(60):
        for number in range(2):
            await has_entered(f"gate-{number}").wait()
    behind = [await crowded.submit("echo", {"late": number}) for number in range(2)]
    idle = await start_service(worker_slots=2)
    for job in behind:
        assert (await idle.ended(job["jobId"]))["attempt"] == 1
    for number in range(2):
        gate(f"gate-{number}").set()
    for job in held:
        await crowded.ended(job["jobId"])
    await eventually(lambda: crowded.sql("select from running having count(*) = 0"))


async def test_a_job_that_waits_for_a_slot_can_be_cancelled(start_service: Callable[..., Awaitable[Service]]) -> None:
    service = await start_service(worker_slots=1)
    run_brisk_jobs(service.node.worker.pool._prefetch)
    first = await service.submit("wait-for-gate", {"name": "first"})
    async with asyncio.timeout(60):
        await has_entered("first").wait()
    second = await service.submit("echo")
    await service.client.post(f"/api/v1/jobs/{second['jobId']}/cancel")
    assert (await service.ended(second["jobId"]))["status"] == "cancelled"
    gate("first").set()
    assert (await service.ended(first["jobId"]))["status"] == "completed"
