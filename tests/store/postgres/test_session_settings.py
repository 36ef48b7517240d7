"""Session settings: statements complete regardless of the timeouts that are set for a role or a database."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from duly.lifecycle.maintenance.check import check
from duly.lifecycle.maintenance.repair import repair
from duly.store.postgres.database import IDLE_IN_TRANSACTION_SECONDS, PINNED_PLANS, Database
from duly.store.schema.migrations import differences, migrate
from tests.support.service import eventually, running_service

# A session has them until its first statement, which a slow machine may delay.
THEIRS = {
    "statement_timeout": "'1s'",
    "lock_timeout": "'1s'",
    "idle_in_transaction_session_timeout": "'1s'",
    "idle_session_timeout": "'1s'",
    "transaction_timeout": "'1s'",
    "default_transaction_isolation": "'serializable'",
    "plan_cache_mode": "'force_generic_plan'",
}
OURS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "default_transaction_isolation": "read committed",
}


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


@pytest.fixture
async def dba(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Session of an operator who has set short timeouts for all others."""
    connection = await asyncpg.connect(database_url)
    known = {
        row[0] for row in await connection.fetch("select name from pg_settings where name = any($1)", list(THEIRS))
    }
    for name, value in THEIRS.items():
        if name in known:
            await connection.execute(f"alter database {_name(database_url)} set {name} = {value}")
    yield connection
    await connection.execute(f"alter database {_name(database_url)} reset all")
    await connection.close()


async def test_each_of_our_sessions_has_settings_of_its_own(database_url: str, dba: asyncpg.Connection) -> None:
    database = Database(database_url)
    own = await database.connect()
    async with database.connection() as pooled, database.hot().use() as hot:
        # A hot session that stands still in a transaction ends: others wait for what it holds.
        bounded = OURS | {"idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS * 1000:.0f}"}
        for connection, expected in ((own, OURS), (pooled, OURS), (hot, bounded)):
            rows = await connection.fetch("select name, setting from pg_settings where name = any($1)", list(OURS))
            assert {row[0]: row[1] for row in rows}.items() <= expected.items()
            assert len(rows) >= 5
        assert await pooled.fetchval("show plan_cache_mode") == "force_custom_plan"
        assert await hot.fetchval("show plan_cache_mode") == PINNED_PLANS["plan_cache_mode"]
    await own.close()
    await database.close()


async def test_a_long_statement_an_idle_transaction_and_an_idle_session_are_not_cut(
    database_url: str, dba: asyncpg.Connection
) -> None:
    database = Database(database_url)
    async with database.own().use() as busy, database.own().use() as between, database.own().use() as idle:
        async with between.transaction():
            await between.fetchval("select 1")
            await busy.fetchval("select pg_sleep(1.2)")  # the others are idle meanwhile
            assert await between.fetchval("select 2") == 2
        assert await idle.fetchval("select 3") == 3
    await database.close()


async def test_migrating_checking_and_repairing_are_not_cut(database_url: str, dba: asyncpg.Connection) -> None:
    database = Database(database_url)
    await migrate(database)
    assert await differences(database) == []
    assert (await check(database)).clean
    assert (await repair(database)).report.clean
    await database.close()


async def test_a_service_serves(database_url: str, dba: asyncpg.Connection) -> None:
    async with running_service(database_url) as service:
        assert (await service.run("progress", {"steps": 3}))["result"] == "done"
        await dba.fetchval("select pg_sleep(1.2)")  # its sessions are idle, the one that listens too
        assert await eventually(service.is_ready)
        assert (await service.run("echo", 5))["result"] == 5
        metrics = (await service.client.get("/metrics")).text
        assert "duly_database_errors_total{" not in metrics


async def test_a_session_that_is_reset_keeps_its_settings(database_url: str) -> None:
    database = Database(database_url, schema="public")
    connection = await database.connect(PINNED_PLANS)
    await connection.execute("set work_mem = '5MB'")
    await connection.reset()
    assert await connection.fetchval("show work_mem") != "5MB"
    assert await connection.fetchval("show plan_cache_mode") == PINNED_PLANS["plan_cache_mode"]
    assert await connection.fetchval("show search_path") == "public"
    await connection.close()
    await database.close()


async def test_no_session_starts_with_more_than_its_name(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler refuses any other start-up parameter."""
    given: list[object] = []
    real: Any = asyncpg.connect

    async def connect(*arguments: object, **named: object) -> object:
        given.append(named.get("server_settings"))
        return await real(*arguments, **named)

    monkeypatch.setattr(asyncpg, "connect", connect)
    for pooling, settings in ((False, {"application_name": "duly"}), (True, None)):
        database = Database(database_url, transaction_pooling=pooling)
        async with database.connection(), database.hot().use():
            pass
        assert given == [settings] * (3 if pooling else 2)  # the first one asks how the pooler treats statements
        given.clear()
        await database.close()
