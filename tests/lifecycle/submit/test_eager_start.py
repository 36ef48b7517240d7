"""Eager start: a job that may run at once is recorded as running in its own transaction, and is never lost."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.lifecycle.claim import claim
from duly.lifecycle.submit import insert
from duly.store.postgres.database import DatabaseOutage
from duly.worker import orphaned_attempts, pool
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Awaitable[Service]]

TRANSACTIONS = """
select j.tx = e.tx from jobs j join events e on e.job_id = j.job_id and e.kind = 1 where j.job_id = $1::text::uuid
"""


async def hold(service: Service, name: str) -> dict[str, Any]:
    """A job that keeps its slot until its gate is opened."""
    job = await service.submit("wait-for-gate", {"name": name})
    async with asyncio.timeout(60):
        await has_entered(name).wait()
    return job


async def in_ready(service: Service) -> list[str]:
    return [str(row[0]) for row in await service.sql("select job_id from ready order by job_id")]


def lose_answers(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """The first answer of this statement is lost after its commit; counts how often it was sent."""
    original = getattr(module, name)
    sent: list[int] = []

    async def losing(*arguments: Any, **named: Any) -> Any:
        answer = await original(*arguments, **named)
        if answer or name == "record_jobs":
            sent.append(1)
            if len(sent) == 1:
                raise DatabaseOutage("the connection broke after the commit")
        return answer

    monkeypatch.setattr(module, name, losing)
    monkeypatch.setattr(orphaned_attempts, "OLD_ENOUGH_SECONDS", 0.0)
    return sent


async def test_a_job_that_may_run_at_once_is_recorded_and_started_in_one_transaction(
    start_service: StartService,
) -> None:
    service = await start_service()
    job = await service.run("echo", {"n": 1})
    assert (job["status"], job["attempt"], job["result"]) == ("completed", 1, {"n": 1})
    assert await service.event_types(job["jobId"]) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    assert [row[0] for row in await service.sql(TRANSACTIONS, job["jobId"])] == [True]


async def test_its_start_is_told_by_webhook_as_that_of_any_other(
    start_service: StartService, receiver: Receiver
) -> None:
    service = await start_service()
    await service.submit("echo", callbackUrl=receiver.url, callbackEvents=["job.started"])
    told = await receiver.next()
    body = json.loads(told.body)
    assert (body["type"], body["sequence"]) == ("job.started", 1)


async def test_without_a_free_slot_it_waits_its_turn(start_service: StartService) -> None:
    service = await start_service(worker_slots=1)
    first = await hold(service, "only")
    behind = await service.submit("echo")
    assert await in_ready(service) == [behind["jobId"]]
    gate("only").set()
    for job in (first, behind):
        assert (await service.ended(job["jobId"]))["status"] == "completed"
    assert [row[0] for row in await service.sql(TRANSACTIONS, behind["jobId"])] == [False]


async def test_it_does_not_overtake_older_work(start_service: StartService) -> None:
    waiting = await start_service(roles=("api",))
    older = [await waiting.submit("in-order", {"n": number}) for number in range(3)]
    service = await start_service(worker_slots=1)
    newer = await service.submit("in-order", {"n": 3})
    for job in (*older, newer):
        await service.ended(job["jobId"])
    started = await service.sql("select job_id from events where kind = 1 order by occurred_at, job_id")
    assert [str(row[0]) for row in started] == [job["jobId"] for job in (*older, newer)]


async def test_nor_what_stood_there_before_its_node_began(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await start_service(roles=("api",))
    older = await waiting.submit("in-order", {"n": 0})
    may_claim = asyncio.Event()
    original = pool.Pool.step

    async def held_back(self: pool.Pool) -> float:
        await may_claim.wait()
        return await original(self)

    monkeypatch.setattr(pool.Pool, "step", held_back)
    service = await start_service(worker_slots=1)
    newer = await service.submit("in-order", {"n": 1})
    assert await in_ready(service) == [older["jobId"], newer["jobId"]]
    may_claim.set()
    for job in (older, newer):
        await service.ended(job["jobId"])


@pytest.mark.parametrize("members", [{"delaySeconds": 3600}, {"runAt": "2100-01-01T00:00:00.000Z"}])
async def test_a_job_for_later_is_not_started(start_service: StartService, members: dict[str, Any]) -> None:
    service = await start_service()
    job = await service.submit("echo", **members)
    assert (await service.job(job["jobId"]))["waitingFor"] == "time"
    assert await service.sql("select from running") == []


async def test_a_node_without_a_worker_starts_none(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    job = await service.submit("echo")
    assert await in_ready(service) == [job["jobId"]]


async def test_no_more_start_than_there_are_slots(start_service: StartService) -> None:
    service = await start_service(worker_slots=3)
    names = [f"held-{number}" for number in range(8)]
    jobs = await asyncio.gather(*(service.submit("wait-for-gate", {"name": name}) for name in names))
    await eventually(lambda: service.sql("select from running having count(*) = 3"))
    assert len(await in_ready(service)) == 5
    for name in names:
        gate(name).set()
    for job in jobs:
        assert (await service.ended(job["jobId"]))["status"] == "completed"


async def test_where_the_answer_to_the_submission_is_lost_the_job_runs_all_the_same(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service()
    sent = lose_answers(monkeypatch, insert, "record_jobs")
    job = await service.run("echo", {"n": 7})
    assert (job["status"], job["result"], job["attempt"]) == ("completed", {"n": 7}, 1)
    types = await service.event_types(job["jobId"])
    assert types == ["JobSubmitted", "JobStarted", "JobRequeued", "JobStarted", "JobCompleted"]
    assert sent == [1]


async def test_where_the_answer_to_a_claim_is_lost_the_job_runs_all_the_same(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await start_service(roles=("api",))
    job = await waiting.submit("echo", {"n": 7})
    sent = lose_answers(monkeypatch, claim, "claim_ready")
    service = await start_service()
    ended = await service.ended(job["jobId"])
    assert (ended["status"], ended["attempt"]) == ("completed", 1)
    types = await service.event_types(job["jobId"])
    assert types == ["JobSubmitted", "JobStarted", "JobRequeued", "JobStarted", "JobCompleted"]
    assert len(sent) == 2


async def test_what_runs_here_is_no_stray(start_service: StartService, monkeypatch: pytest.MonkeyPatch) -> None:
    service = await start_service(worker_slots=2)
    held = await hold(service, "held")
    lose_answers(monkeypatch, insert, "record_jobs")
    lost = await service.run("echo")
    assert "JobRequeued" in await service.event_types(lost["jobId"])
    gate("held").set()
    assert (await service.ended(held["jobId"]))["status"] == "completed"
    assert await service.event_types(held["jobId"]) == ["JobSubmitted", "JobStarted", "JobCompleted"]
