"""Connections of an idle service, also after a burst."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duly.store.postgres import connection_pool, hot_sessions
from tests.support.service import eventually

MOST_WHEN_IDLE = 6


async def test_a_service_holds_six_connections_when_idle_also_after_a_burst(
    start_service: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (connection_pool, hot_sessions):
        monkeypatch.setattr(module, "IDLE_SECONDS", 2.0)
    service = await start_service(database_connections=16)  # a pool that no other test has opened

    async def holds_few() -> bool:
        return bool(2 < service.node.database.open_connections <= MOST_WHEN_IDLE)

    await eventually(holds_few)
    jobs = (service.run("progress", {"steps": 3}) for _ in range(60))
    reads = (service.client.get("/api/v1/jobs") for _ in range(30))
    burst = asyncio.gather(*jobs, *reads)
    most = 0
    while not burst.done():
        most = max(most, service.node.database.open_connections)
        await asyncio.sleep(0)
    await burst
    assert most > MOST_WHEN_IDLE
    await eventually(holds_few)
