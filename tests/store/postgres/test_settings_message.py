"""Behind a pooler that keeps statements, a statement and the settings of its transaction take one round trip."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import PINNED_PLANS, Connection, Database, RecordBusy
from duly.store.postgres.pooler_probe import PROBE_NAME
from duly.store.postgres.settings_message import SettingMessages, setting_query
from duly.store.schema.migrations import migrate
from tests.support.postgres_proxy import postgres_proxy
from tests.support.service import BOUND_SECONDS, running_service

ADD = "select 40 + $1::int"
RENAMES = {PROBE_NAME.encode(): b"pool_1_pr3"}
READ_PLANS = "select current_setting('plan_cache_mode')"
READ_LOCK_TIMEOUT = "select current_setting('lock_timeout')"
OF_THE_SESSION = "select name from pg_settings where source = 'session' and name = any($1)"


@pytest.fixture
async def keeping_url(database_url: str) -> AsyncIterator[str]:
    """URL of a pooler that keeps statements."""
    async with postgres_proxy(database_url, renames=RENAMES) as proxy:
        yield proxy.url


@pytest.fixture
async def database(keeping_url: str) -> AsyncIterator[Database]:
    opened = Database(keeping_url, connections=2, transaction_pooling=True)
    yield opened
    await opened.close()


def sent(connection: Connection) -> int:
    """Returns the number of statements that the connection has sent."""
    count: int = connection._protocol.queries_count  # type: ignore[union-attr]
    return count


async def test_a_prepared_statement_takes_one_round_trip(database: Database) -> None:
    async with database.hot().use() as connection:
        assert await connection.fetchval(ADD, 2) == 42  # prepared, between BEGIN and COMMIT
        for number in range(3):
            before = sent(connection)
            assert await connection.fetchval(ADD, number) == 40 + number
            assert [row[0] for row in await connection.fetch(ADD, number)] == [40 + number]
            assert only(await connection.fetchrow(ADD, number))[0] == 40 + number
            assert await connection.execute(ADD, number) == "SELECT 1"
            assert sent(connection) - before == 4
            assert not connection.is_in_transaction()


async def test_it_has_the_settings_of_its_connection_which_are_not_left_in_the_session(database: Database) -> None:
    async with database.hot().use() as hot, database.connection() as pooled:
        for _ in range(3):
            assert await hot.fetchval(READ_PLANS) == PINNED_PLANS["plan_cache_mode"]
            assert await pooled.fetchval(READ_PLANS) == "force_custom_plan"
        # In a simple query, which sets nothing.
        assert not await asyncpg.Connection.fetch(hot, OF_THE_SESSION, list(PINNED_PLANS))  # type: ignore[arg-type]


async def test_it_has_the_lock_timeout_of_the_flow(database: Database) -> None:
    patient, hasty = database.hot(), database.hot(lock_seconds=0.05)
    async with database.connection() as holder, holder.transaction():
        await holder.execute("lock table inbox")
        for _ in range(3):
            async with patient.use() as connection:
                assert await connection.fetchval(READ_LOCK_TIMEOUT) == "0"
            async with hasty.use() as connection:
                assert await connection.fetchval(READ_LOCK_TIMEOUT) == "50ms"
            with pytest.raises(RecordBusy):
                async with hasty.use() as connection:
                    await connection.fetch("select from inbox")


async def test_an_error_of_the_statement_leaves_the_connection_in_order(database: Database) -> None:
    flow = database.hot()
    async with flow.use() as connection:
        for divisor, refused in ((1, False), (0, True), (2, False), (0, True), (4, False)):
            if refused:
                with pytest.raises(asyncpg.DivisionByZeroError):
                    await connection.fetchval("select 8 / $1::int", divisor)
            else:
                assert await connection.fetchval("select 8 / $1::int", divisor) == 8 // divisor
            assert not connection.is_in_transaction()


async def test_a_parameter_that_cannot_be_sent_ends_the_connection_not_the_flow(database: Database) -> None:
    flow = database.hot()
    async with flow.use() as connection:
        assert await connection.fetchval(ADD, 1) == 41
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval(ADD, "one")
        assert connection.is_closed()  # the server waits for the end of what was sent
    async with flow.use() as connection:
        for number in range(3):
            assert await connection.fetchval(ADD, number) == 40 + number


async def test_a_cancelled_statement_ends_the_connection(database: Database) -> None:
    flow = database.hot()
    async with flow.use() as connection:
        assert await connection.fetchval("select pg_sleep($1) is null", 0) is False
    task = asyncio.create_task(_sleep(database, flow_sleeps := asyncio.Event()))
    async with asyncio.timeout(BOUND_SECONDS):
        await flow_sleeps.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with flow.use() as connection:
        assert await connection.fetchval("select pg_sleep($1) is null", 0) is False


async def _sleep(database: Database, sleeps: asyncio.Event) -> None:
    async with database.hot().use() as connection:
        assert await connection.fetchval("select pg_sleep($1) is null", 0) is False
        asyncio.get_running_loop().call_soon(sleeps.set)
        await connection.fetchval("select pg_sleep($1) is null", BOUND_SECONDS)


async def test_a_service_with_a_schema_of_its_own_works(empty_database_url: str) -> None:
    async with postgres_proxy(empty_database_url, renames=RENAMES) as proxy:
        database = Database(proxy.url, connections=2, transaction_pooling=True, schema="app")
        await migrate(database)
        async with running_service(proxy.url, transaction_pooling=True, database_schema="app") as service:
            views = await asyncio.gather(*(service.run("progress", {"steps": 2}) for _ in range(10)))
            assert {view["result"] for view in views} == {"done"}
            assert await service.sql("select from pg_class where relnamespace = 'public'::regnamespace") == []
        await database.close()


def test_values_are_quoted_and_names_differ() -> None:
    one, other = setting_query({"search_path": '"it\'s"'}), setting_query({"jit": "off", "lock_timeout": "50"})
    assert one == "select where set_config('search_path', '\"it''s\"', true) is null"
    messages = SettingMessages()
    first, second = messages.of(one), messages.of(other)
    assert b"duly_settings_1\0" in first
    assert one.encode() in first
    assert b"duly_settings_2\0" in second
    assert messages.of(one) == first[first.index(b"B") :]
