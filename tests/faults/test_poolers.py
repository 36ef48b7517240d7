"""Behind PgBouncer, in both modes: everything works, and nothing of ours is left in sessions that are anybody's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from duly.lifecycle.maintenance.check import check
from duly.lifecycle.maintenance.repair import RepairInProgress, repair
from duly.store.postgres.advisory_locks import MIGRATION, PARTITIONS, REPAIR, hold, take
from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database import Database, RecordBusy
from duly.store.postgres.partitions import ensure_partitions
from duly.store.schema.migrations import migrate
from duly.store.schema.revisions import missing_revisions
from tests.support import handlers as signals
from tests.support.pgbouncer import KEEPS_STATEMENTS, pooler, version
from tests.support.service import eventually, running_service

MODES = pytest.mark.parametrize("mode", ["transaction", "session"])
# In session mode, every session of a service has its own connection to the server until it ends.
MANY = 40
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")
NO_TIMEOUTS = dict.fromkeys(TIMEOUTS, "0")

ADVISORY = "select count(*) from pg_locks where locktype = 'advisory'"
OURS = "select name, setting from pg_settings where source = 'session' and name <> all($1) order by name"
# Settings of PgBouncer for its clients, and of the driver.
STATEMENTS = "select name from pg_prepared_statements"
# PgBouncer's names of statements of its clients, of which each session may have some.
THE_POOLERS = "PGBOUNCER_"
THEIRS = ["application_name", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings", "jit"]


@MODES
async def test_a_service_works_behind_a_pooler(database_url: str, mode: str) -> None:
    async with (
        pooler(database_url, mode=mode, connections=4 if mode == "transaction" else MANY) as url,
        running_service(url, transaction_pooling=mode == "transaction") as service,
    ):
        assert await eventually(service.is_ready)
        views = await asyncio.gather(*(service.run("progress", {"steps": 2}) for _ in range(20)))
        assert {view["result"] for view in views} == {"done"}
        batch = {"jobs": [{"type": "echo", "parameters": n} for n in range(50)]}
        assert (await service.client.post("/api/v1/jobs/batch", json=batch)).status_code == 202
        job_id = (await service.submit("wait-for-gate"))["jobId"]
        await signals.has_entered("default").wait()
        assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
        assert (await service.ended(job_id))["status"] == "cancelled"
        key = {"Idempotency-Key": "once"}
        answers = [await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=key) for _ in range(2)]
        assert answers[0].json()["jobId"] == answers[1].json()["jobId"]

        async def all_ended() -> bool:
            return await service.sql("select from ready union all select from running") == []

        await eventually(all_ended)


@MODES
async def test_migrating_checking_and_repairing_work_behind_a_pooler(empty_database_url: str, mode: str) -> None:
    pooled = mode == "transaction"
    async with pooler(empty_database_url, mode=mode) as url:
        first, second = (Database(url, connections=2, transaction_pooling=pooled) for _ in range(2))
        await asyncio.gather(migrate(first), migrate(second))
        assert await missing_revisions(first) == []
        assert (await check(first)).clean
        assert (await repair(first)).report.clean
        async with first.connection() as connection:
            assert await ensure_partitions(connection) == []
        await first.close()
        await second.close()
        other = await asyncpg.connect(url, statement_cache_size=0)
        assert [row for row in await other.fetch(STATEMENTS) if not row["name"].startswith(THE_POOLERS)] == []
        await other.close()


@MODES
async def test_a_schema_of_its_own_works_behind_a_pooler(empty_database_url: str, mode: str) -> None:
    pooled = mode == "transaction"
    signals.forget()
    async with pooler(empty_database_url, mode=mode, connections=4 if pooled else MANY) as url:
        database = Database(url, connections=2, transaction_pooling=pooled, schema="app")
        await migrate(database)
        async with running_service(url, transaction_pooling=pooled, database_schema="app") as service:
            assert (await service.run("echo", 5))["result"] == 5
            assert await service.sql("select from pg_class where relnamespace = 'public'::regnamespace") == []
        await database.close()
    # Directly: a service that stops cancels statements, over which PgBouncer 1.18 has ended.
    direct = Database(empty_database_url, connections=2, schema="app")
    assert (await check(direct)).clean
    await direct.close()


async def test_nothing_of_ours_is_left_in_a_session_that_others_use(database_url: str) -> None:
    async with pooler(database_url, mode="transaction", connections=4) as url:
        async with running_service(url, transaction_pooling=True) as service:
            assert (await service.run("echo", 5))["result"] == 5
            database = Database(url, connections=2, transaction_pooling=True)
            await migrate(database)
            await repair(database)
            await database.close()
        others = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(4)]
        for other in others:  # each holds one of the four sessions that the service used
            await other.execute("begin")
        for other in others:
            assert await other.fetch(OURS, THEIRS) == []
            assert await other.fetchval(ADVISORY) == 0
            assert [row for row in await other.fetch(STATEMENTS) if not row["name"].startswith(THE_POOLERS)] == []
        for other in others:
            await other.close()


async def test_statements_are_prepared_exactly_where_the_pooler_keeps_them(database_url: str) -> None:
    mine = "select name from pg_prepared_statements where statement like '%from ready%'"
    async with (
        pooler(database_url, mode="transaction") as url,
        running_service(url, transaction_pooling=True) as service,
    ):
        assert (await service.run("echo", 5))["result"] == 5
        others = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(4)]
        for other in others:
            await other.execute("begin")
        found = [row["name"] for other in others for row in await other.fetch(mine)]
        assert bool(found) is (version() >= KEEPS_STATEMENTS)
        for other in others:
            await other.close()


@MODES
async def test_timeouts_of_the_operator_do_not_cut_our_work(database_url: str, mode: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    dba = await asyncpg.connect(database_url)
    # A session has them until its first statement, which a slow machine may delay.
    for timeout in TIMEOUTS:
        await dba.execute(f"alter database {name} set {timeout} = '1s'")
    async with pooler(database_url, mode=mode) as url:
        database = Database(url, connections=2, transaction_pooling=mode == "transaction")
        await asyncio.gather(*(_works_slowly(flow, database_url) for flow in (database.connection, database.hot().use)))
        await database.close()
    await dba.execute(f"alter database {name} reset all")
    await dba.close()


async def _works_slowly(flow: Callable[[], AbstractAsyncContextManager[Connection]], database_url: str) -> None:
    """Runs a statement, and is idle in a transaction, for longer than the timeouts."""
    # From its start: a slow machine may delay its first statement.
    clock = await asyncpg.connect(database_url, server_settings=NO_TIMEOUTS)
    async with flow() as connection:
        await connection.fetchval("select pg_sleep(1.2)")
        async with connection.transaction():
            await connection.fetchval("select 1")
            await clock.fetchval("select pg_sleep(1.2)")  # meanwhile our transaction is idle
            assert await connection.fetchval("select 2") == 2
    await clock.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("lock", [MIGRATION, PARTITIONS, REPAIR], ids=lambda lock: lock.purpose)
async def test_a_lock_that_is_waited_for_in_vain_names_its_holder(
    database: Database, database_url: str, lock: object
) -> None:
    assert isinstance(lock, type(MIGRATION))
    leaked = await asyncpg.connect(database_url, server_settings={"application_name": "the-leaker"})
    pid = leaked.get_server_pid()
    # A session lock of an older release, on the key that it uses.
    await leaked.fetchval("select pg_advisory_lock($1)", lock.number)
    async with database.connection() as connection, connection.transaction():
        with pytest.raises(RecordBusy) as busy:
            await hold(connection, lock, seconds=0.3)
    assert f"pid {pid} (the-leaker, " in busy.value.line
    assert lock.purpose in busy.value.line
    await leaked.close()


async def test_a_lock_goes_with_the_transaction_of_its_holder(database: Database) -> None:
    async with database.connection() as one, database.connection() as other:
        async with one.transaction():
            assert await take(one, REPAIR)
            async with other.transaction():
                assert not await take(other, REPAIR)
                with pytest.raises(RepairInProgress):
                    await repair(database)
        async with other.transaction():
            assert await take(other, REPAIR)


async def test_installations_in_two_schemas_do_not_wait_for_each_other(database: Database) -> None:
    async with database.connection() as one, database.connection() as other, one.transaction(), other.transaction():
        assert await take(one, MIGRATION)
        await other.execute("create schema elsewhere; set local search_path = elsewhere")
        assert await take(other, MIGRATION)
        await other.execute("drop schema elsewhere")
