"""A slow database stops claims for a while, and only for a while."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from duly.worker import pool
from tests.support.service import Service, eventually


async def test_ends_that_wait_for_the_database_hold_claims_back_only_until_they_are_recorded(
    start_service: Callable[..., Awaitable[Service]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "UNRECORDED_LIMIT", 3)
    service = await start_service(worker_slots=20)
    jobs = [await service.submit("echo", {"n": number}) for number in range(100)]
    async with asyncio.timeout(60):
        for job in jobs:
            assert (await service.ended(job["jobId"]))["status"] == "completed"
    await eventually(lambda: service.sql("select from running having count(*) = 0"))
