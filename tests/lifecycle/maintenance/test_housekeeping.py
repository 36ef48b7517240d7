"""Housekeeping of a node: days past retention are dropped, on a connection that is opened only for them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from duly.store.postgres.database import Connection, Database
from duly.store.postgres.partitions import PARTITIONED, READ_TODAY, _make, list_partitions, partition_name
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
RETENTION_DAYS = 30


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """A service whose own loop does no housekeeping meanwhile."""
    return await start_service(roles=("api",))


@pytest.fixture
def opened(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Dedicated connections that the node opens from now on."""
    found: list[Connection] = []
    connect = service.node.database.connect

    async def counted(*arguments: Any, **more: Any) -> Connection:
        found.append(await connect(*arguments, **more))
        return found[-1]

    monkeypatch.setattr(service.node.database, "connect", counted)
    return found


async def keep_house(service: Service) -> None:
    await service.node.sweeper.run_housekeeping(retention_days=RETENTION_DAYS)


async def test_a_day_past_retention_is_dropped(service: Service, opened: list[Connection]) -> None:
    database: Database = service.node.database
    async with database.connection() as connection:
        day = await connection.fetchval(READ_TODAY) - timedelta(days=RETENTION_DAYS + 1)
        for table in PARTITIONED:
            await _make(connection, table, day)
        await keep_house(service)
        left = await list_partitions(connection)
    assert not [table for table in PARTITIONED if partition_name(table, day) in left[table]]
    assert len(opened) == 1


async def test_without_such_a_day_no_connection_is_opened(service: Service, opened: list[Connection]) -> None:
    await keep_house(service)
    assert opened == []
