"""Expiry: a job that has not started in time ends as failed, in every state of waiting."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.handlers import gate, has_entered
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver

StartService = Callable[..., Awaitable[Service]]


@pytest.mark.parametrize("where", ["ready", "scheduled", "blocked"])
async def test_a_job_that_did_not_start_in_time_fails(start_service: StartService, where: str) -> None:
    service = await start_service(worker_slots=1)
    held = await service.submit("wait-for-gate", {"name": "held"}, concurrencyKey="k")
    async with asyncio.timeout(60):
        await has_entered("held").wait()
    members: dict[str, Any] = {"ready": {}, "scheduled": {"delaySeconds": 60}, "blocked": {"concurrencyKey": "k"}}
    job = await service.ended((await service.submit("echo", expiresInSeconds=0.3, **members[where]))["jobId"])
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "EXPIRED", 0)
    assert await service.event_types(job["jobId"]) == ["JobSubmitted", "JobFailed"]
    gate("held").set()
    await service.ended(held["jobId"])


async def test_an_expired_job_is_not_started_though_nobody_has_ended_it_yet(start_service: StartService) -> None:
    waiting = await start_service(roles=("api",))
    job = await waiting.submit("echo", expiresInSeconds=0.05)
    await waiting.sql("select pg_sleep(0.1)")
    worker = await start_service(roles=("api", "worker"))
    assert (await worker.run("echo"))["status"] == "completed"
    assert await worker.event_types(job["jobId"]) == ["JobSubmitted"]
    sweeper = await start_service(roles=("api", "sweeper"))
    assert (await sweeper.ended(job["jobId"]))["error"]["code"] == "EXPIRED"


async def test_a_job_that_has_started_does_not_expire(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("raise-later", expiresInSeconds=600)
    await service.until(job["jobId"], lambda view: view["waitingFor"] == "retry")
    assert await service.sql("select expires_at from scheduled") == [(None,)]
    await service.sql("update jobs set expires_at = now() - interval '1 minute'")
    await service.node.sweeper.expire()
    assert (await service.job(job["jobId"]))["status"] == "pending"


async def test_its_end_is_told_by_webhook(start_service: StartService, receiver: Receiver) -> None:
    service = await start_service()
    job = await service.submit("echo", delaySeconds=60, expiresInSeconds=0.1, callbackUrl=receiver.url)
    told = json.loads((await receiver.next()).body)
    assert (told["type"], told["jobId"], told["error"]["code"]) == ("job.failed", job["jobId"], "EXPIRED")
