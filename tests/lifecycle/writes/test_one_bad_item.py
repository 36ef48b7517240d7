"""One item that the database rejects delays no other, in any bulk statement."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from duly import loop
from duly.lifecycle.claim import claim
from duly.lifecycle.end import finish
from duly.lifecycle.maintenance import sweep
from duly.lifecycle.run import progress
from duly.lifecycle.writes import round_size
from tests.support import handlers as support
from tests.support.refusing_triggers import refusing
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
NO_WORKER = ("api", "dispatcher", "sweeper")


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens the pauses of loops, the delays before retries, and the waits for rows that are locked."""
    monkeypatch.setattr(claim, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(sweep, "LONGEST_LOOK_SECONDS", 0.2)
    monkeypatch.setattr(loop, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(round_size, "FIRST_SECONDS", 0.2)
    for module in (progress, finish):
        monkeypatch.setattr(module, "LOCK_SECONDS", 0.3)


async def submitted(service: Service, type_: str = "echo", parameters: Any = None, **members: Any) -> str:
    job_id: str = (await service.submit(type_, parameters, **members))["jobId"]
    return job_id


async def started(service: Service, name: str, **members: Any) -> str:
    job_id = await submitted(service, "wait-for-gate", {"name": name}, **members)
    await support.has_entered(name).wait()
    return job_id


def refused(service: Service, statement: str) -> float:
    return sum(float(node.metrics.items_refused.labels(statement)._value.get()) for node in service.nodes)


async def is_refused(service: Service, statement: str, count: int = 1) -> None:
    async def look() -> bool:
        return refused(service, statement) == count

    await eventually(look)


async def test_a_job_that_cannot_be_started_holds_up_no_claim(start_service: StartService) -> None:
    api = await start_service(roles=NO_WORKER)
    first, bad, *others = [await submitted(api) for _ in range(12)]
    with capture_logs() as logs:
        async with refusing(api, "events", f"new.job_id = '{bad}' and new.kind = 1"):
            worker = await start_service(roles=("api", "worker"))
            for job_id in (first, *others):
                assert (await worker.ended(job_id))["status"] == "completed"
            await is_refused(worker, "claim")

            async def shown() -> bool:
                why = (await api.client.get(f"/api/v1/jobs/{bad}/why")).json()
                return bool(why["cause"] == "SET_ASIDE" and why["data"]["what"] == "start")

            await eventually(shown)
        assert (await worker.ended(bad))["status"] == "completed"
    assert [entry["item"] for entry in logs if entry["action"] == "item_set_aside"] == [bad]


async def test_under_limits_too_a_job_that_cannot_be_started_holds_up_no_claim(start_service: StartService) -> None:
    api = await start_service(roles=NO_WORKER)
    answer = await api.client.put("/api/v1/queues/default/limits", json={"concurrency": 5})
    assert answer.status_code == 200, answer.text
    bad, *others = [await submitted(api) for _ in range(6)]
    async with refusing(api, "events", f"new.job_id = '{bad}' and new.kind = 1"):
        worker = await start_service(roles=("api", "worker"))
        for job_id in others:
            assert (await worker.ended(job_id))["status"] == "completed"
        await is_refused(worker, "claim")
    assert (await worker.ended(bad))["status"] == "completed"


async def test_a_job_that_cannot_be_released_holds_up_no_other(start_service: StartService) -> None:
    service = await start_service()
    bad, *others = [await submitted(service, delaySeconds=600) for _ in range(8)]
    keyed, other = [await submitted(service, delaySeconds=600, concurrencyKey=key) for key in "ab"]
    async with refusing(service, "ready", f"new.job_id in ('{bad}', '{keyed}')"):
        await service.sql("update scheduled set run_at = now() - interval '1 minute'")
        for node in service.nodes:
            await node.sweeper.release()
        for job_id in (*others, other):
            assert (await service.ended(job_id))["status"] == "completed"
        await is_refused(service, "release", 2)
    for job_id in (bad, keyed):
        assert (await service.ended(job_id))["status"] == "completed"


async def test_a_job_that_cannot_expire_holds_up_no_other(start_service: StartService) -> None:
    service = await start_service(roles=NO_WORKER)
    bad, *others = [await submitted(service, expiresInSeconds=600) for _ in range(5)]
    async with refusing(service, "events", f"new.job_id = '{bad}'"):
        await service.sql("update ready set expires_at = now() - interval '1 minute'")
        for job_id in others:
            assert (await service.ended(job_id))["error"]["code"] == "EXPIRED"
        await is_refused(service, "expire")
    assert (await service.ended(bad))["error"]["code"] == "EXPIRED"


async def test_an_end_that_cannot_be_followed_holds_up_no_other(service: Service) -> None:
    parent, good = await started(service, "parent"), await started(service, "good")
    child = await submitted(service, dependsOn=[parent])
    others = [await submitted(service, dependsOn=[good]) for _ in range(3)]
    async with refusing(service, "ready", f"new.job_id = '{child}'"):
        support.gate("parent").set()
        await is_refused(service, "follow-up")
        support.gate("good").set()
        for job_id in others:
            assert (await service.ended(job_id))["status"] == "completed"
        why = (await service.client.get(f"/api/v1/jobs/{parent}/why")).json()
        assert (why["status"], why["cause"], why["data"]["what"]) == ("completed", "SET_ASIDE", "follow-up")
    assert (await service.ended(child))["status"] == "completed"

    async def forgotten() -> bool:
        why = (await service.client.get(f"/api/v1/jobs/{parent}/why")).json()
        return bool(why["cause"] == "ENDED")

    await eventually(forgotten)


async def test_a_batch_that_cannot_be_counted_holds_up_no_other(service: Service) -> None:
    async def batch(name: str) -> str:
        jobs = [{"type": "wait-for-gate", "parameters": {"name": "batches"}}] * 2
        then = {"type": "echo", "parameters": {"of": name}}
        answer = await service.client.post("/api/v1/jobs/batch", json={"name": name, "jobs": jobs, "then": then})
        batch_id: str = answer.json()["batchId"]
        return batch_id

    bad, *others = [await batch(name) for name in "abcd"]
    async with refusing(service, "batches", f"new.batch_id = '{bad}'", on="update"):
        support.gate("batches").set()
        await is_refused(service, "batch-count")
        for batch_id in others:
            assert await follows(service, batch_id)
    assert await follows(service, bad)


async def follows(service: Service, batch_id: str) -> str:
    async def look() -> Any:
        return (await service.client.get(f"/api/v1/batches/{batch_id}")).json()["thenJobId"]

    found: str = await eventually(look)
    return found


async def test_progress_that_is_refused_holds_up_no_other_and_fails_no_job(service: Service) -> None:
    bad, good = [await submitted(service, "tell-when-let", {"name": name}, maxAttempts=1) for name in ("bad", "good")]
    async with refusing(service, "events", f"new.job_id = '{bad}' and new.kind = 2"):
        for name in ("bad", "good"):
            support.gate(name).set()
        assert [(await service.ended(job_id))["status"] for job_id in (bad, good)] == ["completed"] * 2
        assert "JobProgressed" in await service.event_types(good)
        assert refused(service, "progress") == 1


async def test_progress_of_a_job_that_somebody_locks_holds_up_no_other(service: Service) -> None:
    bad, good = [await submitted(service, "tell-when-let", {"name": name}, maxAttempts=1) for name in ("bad", "good")]

    async def running() -> bool:
        return len(await service.sql("select from running")) == 2

    await eventually(running)
    async with service.connection(bad) as holder, holder.transaction():
        await holder.execute("select from running where job_id = $1 for update", UUID(bad))
        for name in ("bad", "good"):
            support.gate(name).set()
        assert (await service.ended(good))["status"] == "completed"
    assert (await service.ended(bad))["status"] == "completed"


async def test_a_batch_of_submissions_that_is_refused_fails_alone(service: Service) -> None:
    async def submit(queue: str) -> int:
        body = {"jobs": [{"type": "echo", "queue": queue}] * 3}
        return (await service.client.post("/api/v1/jobs/batch", json=body)).status_code

    async with refusing(service, "jobs", "new.queue = 'bad'"):
        codes = await asyncio.gather(*(submit("bad" if n == 3 else f"q{n}") for n in range(8)))
    assert [code == 202 for code in codes] == [n != 3 for n in range(8)]
    count = await service.total("select count(*) from jobs")
    assert count == 21


async def test_where_every_job_is_refused_it_is_said_once_and_all_go_on_when_it_ends(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_size, "LAST_SECONDS", 1.0)
    api = await start_service(roles=NO_WORKER)
    jobs = [await submitted(api) for _ in range(40)]
    with capture_logs() as logs:
        async with refusing(api, "events", "new.kind = 1", error="insufficient_privilege"):
            worker = await start_service(roles=("api", "worker"))

            async def said() -> bool:
                return any(entry["action"] == "all_refused" for entry in logs)

            await eventually(said)
        for job_id in jobs:
            assert (await worker.ended(job_id))["status"] == "completed"
    assert len([entry for entry in logs if entry["action"] == "item_set_aside"]) < 10
    assert [entry["statement"] for entry in logs if entry["action"] == "all_refused"] == ["claim"]


async def test_many_that_are_refused_hold_up_none_behind_them(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_size, "LAST_SECONDS", 8.0)  # a slow machine takes seconds to find them all
    api = await start_service(roles=NO_WORKER)
    bad = [await submitted(api) for _ in range(30)]
    good = [await submitted(api) for _ in range(5)]
    names = ", ".join(f"'{job_id}'" for job_id in bad)
    async with refusing(api, "events", f"new.kind = 1 and new.job_id in ({names})"):
        worker = await start_service(roles=("api", "worker"))
        for job_id in good:
            assert (await worker.ended(job_id))["status"] == "completed"
    for job_id in bad:
        assert (await worker.ended(job_id))["status"] == "completed"
