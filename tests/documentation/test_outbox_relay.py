"""The example of an outbox and its relay, on real databases: the application's own, and that of a service."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from tests.support.database_pool import TestDatabases
from tests.support.service import Service

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "outbox-relay"


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _imported("outbox", monkeypatch)


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return _imported("relay", monkeypatch)


def _imported(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE)
    __import__(name)
    return sys.modules[name]


@pytest.fixture
async def shop(databases: TestDatabases) -> AsyncIterator[Any]:
    """The application's database, with a table of orders beside the outbox."""
    async with databases.empty() as url, asyncpg.create_pool(url, min_size=1, max_size=2) as pool:
        await pool.execute((EXAMPLE / "schema.sql").read_text("utf-8"))
        await pool.execute("create table orders (number text primary key, job_id uuid not null)")
        yield pool


async def order(shop: Any, outbox: ModuleType, number: str, **options: Any) -> UUID:
    async with shop.acquire() as connection, connection.transaction():
        job_id: UUID = await outbox.add_job(connection, "echo", {"order": number}, **options)
        await connection.execute("insert into orders values ($1, $2)", number, job_id)
    return job_id


async def test_a_job_is_submitted_once_its_transaction_has_committed(
    service: Service, shop: Any, outbox: ModuleType, relay: ModuleType
) -> None:
    job_id = await order(shop, outbox, "1", labels={"order": "1"})
    assert await relay.relay_once(shop, service.client) == 1
    ended = await service.ended(str(job_id))
    assert (ended["result"], ended["labels"]) == ({"order": "1"}, {"order": "1"})
    assert await shop.fetchval("select count(*) from job_outbox") == 0


async def test_nothing_is_submitted_for_a_transaction_that_is_rolled_back(
    service: Service, shop: Any, outbox: ModuleType, relay: ModuleType
) -> None:
    await order(shop, outbox, "1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await order(shop, outbox, "1")
    assert await relay.relay_once(shop, service.client) == 1
    assert await relay.relay_once(shop, service.client) == 0
    assert len((await service.client.get("/api/v1/jobs")).json()["items"]) == 1


async def test_a_relay_that_dies_after_submitting_makes_no_second_job(
    service: Service, shop: Any, outbox: ModuleType, relay: ModuleType
) -> None:
    job_id = await order(shop, outbox, "1")
    row = await shop.fetchrow("select * from job_outbox")
    await relay.relay_once(shop, service.client)
    # As if the relay had died before it deleted the row, and its claim had run out.
    await shop.execute("insert into job_outbox (job_id, submission) values ($1, $2)", row["job_id"], row["submission"])
    assert await relay.relay_once(shop, service.client) == 1
    assert [job["jobId"] for job in (await service.client.get("/api/v1/jobs")).json()["items"]] == [str(job_id)]


async def test_rows_wait_while_the_service_is_away(shop: Any, outbox: ModuleType, relay: ModuleType) -> None:
    await order(shop, outbox, "1")
    async with httpx.AsyncClient(base_url="http://127.0.0.1:1") as nothing:
        for _ in range(2):
            with pytest.raises(relay.NotNow):
                await relay.relay_once(shop, nothing)
    assert await shop.fetchval("select count(*) from job_outbox where refused is null") == 1


async def test_a_row_older_than_a_day_is_submitted_under_a_new_id(
    service: Service, shop: Any, outbox: ModuleType, relay: ModuleType
) -> None:
    old = UUID("01890000-0000-7000-8000-000000000000")
    await shop.execute("""insert into job_outbox (job_id, submission) values ($1, '{"type": "echo"}')""", old)
    assert await relay.relay_once(shop, service.client) == 1
    job_id = await shop.fetchval("select job_id from job_outbox")
    assert await relay.relay_once(shop, service.client) == 1
    assert (await service.ended(str(job_id)))["status"] == "completed"


async def test_a_refused_submission_is_kept_with_the_reason_and_holds_up_no_other(
    service: Service, shop: Any, outbox: ModuleType, relay: ModuleType
) -> None:
    await order(shop, outbox, "1", priority=1000)
    job_id = await order(shop, outbox, "2")
    assert await relay.relay_once(shop, service.client) == 2
    assert await relay.relay_once(shop, service.client) == 0
    assert (await service.ended(str(job_id)))["status"] == "completed"
    assert "priority" in await shop.fetchval("select refused from job_outbox")
