"""Prepared statements behind a pooler in transaction mode: by name only where the pooler keeps them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import asyncpg
import pytest

from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.store.postgres.pooler_probe import PROBE_NAME, keeps_statements
from duly.store.postgres.session_settings import PooledConnection
from tests.support.postgres_proxy import postgres_proxy

# Simulates a pooler that renames the statements of its clients, by which the probe recognises it.
RENAMES = {PROBE_NAME.encode(): b"pool_1_pr3"}
OURS = "select name from pg_prepared_statements where statement like 'select 40 +%'"


@pytest.fixture
async def keeping_url(database_url: str) -> AsyncIterator[str]:
    """URL of a pooler that keeps statements. It has one server connection for each client, and so does keep them."""
    async with postgres_proxy(database_url, renames=RENAMES) as proxy:
        yield proxy.url


async def _connect(url: str) -> PooledConnection:
    connection: PooledConnection = await asyncpg.connect(url, connection_class=PooledConnection, statement_cache_size=0)
    return connection


async def test_a_server_that_knows_the_name_of_the_client_is_not_behind_such_a_pooler(database_url: str) -> None:
    connection = await _connect(database_url)
    assert not await keeps_statements(connection)
    assert await connection.fetch("select name from pg_prepared_statements") == []
    await connection.close()


async def test_a_pooler_that_renames_statements_keeps_them(keeping_url: str) -> None:
    connection = await _connect(keeping_url)
    assert await keeps_statements(connection)
    await connection.close()


@pytest.mark.parametrize("keeps", [False, True], ids=["loses them", "keeps them"])
async def test_statements_have_names_where_the_pooler_keeps_them(
    database_url: str, keeping_url: str, keeps: bool
) -> None:
    database = Database(keeping_url if keeps else database_url, connections=2, transaction_pooling=True)
    async with database.connection() as pooled, database.hot().use() as hot:
        for connection in (pooled, hot):
            assert await connection.fetchval("select 40 + $1::int", 2) == 42
            assert len(await connection.fetch(OURS)) == (1 if keeps else 0)
    await database.close()


@pytest.mark.parametrize("keeps", [False, True], ids=["loses them", "keeps them"])
async def test_a_cursor_reads_a_query_with_parameters(database_url: str, keeping_url: str, keeps: bool) -> None:
    database = Database(keeping_url if keeps else database_url, connections=1, transaction_pooling=True)
    for most in (3, 5):  # the second time with a statement that is prepared
        async with database.connection() as connection, connection.transaction():
            rows = connection.cursor("select n from generate_series(1, $1::int) as n", most, prefetch=2)
            assert [row["n"] async for row in rows] == list(range(1, most + 1))
    await database.close()


async def _use_a_lost_statement(use: Callable[[], AbstractAsyncContextManager[Connection]]) -> None:
    """Uses a statement that the session has lost."""
    async with use() as connection:
        await connection.execute("deallocate all")
        await connection.fetchval("select 40 + $1::int", 2)


async def test_a_pooler_that_lost_a_statement_is_asked_again(keeping_url: str) -> None:
    database = Database(keeping_url, connections=2, transaction_pooling=True)
    flow = database.hot()
    async with flow.use() as connection:
        assert await connection.fetchval("select 40 + $1::int", 2) == 42
    assert await database._connector._keeps_statements()
    with pytest.raises(DatabaseOutage, match="prepared statement") as lost:
        await _use_a_lost_statement(flow.use)
    assert lost.value.error_class.code == "DATABASE_TRANSACTION_POOLER"
    assert database._connector._statements_kept is None
    async with flow.use() as connection:
        assert await connection.fetchval("select 40 + $1::int", 2) == 42
    await database.close()


async def test_a_pooled_connection_without_its_statements_is_not_used_again(keeping_url: str) -> None:
    database = Database(keeping_url, connections=1, transaction_pooling=True)
    async with database.connection() as connection:
        assert await connection.fetchval("select 40 + $1::int", 2) == 42
    with pytest.raises(DatabaseOutage):
        await _use_a_lost_statement(database.connection)
    async with database.connection() as connection:
        assert await connection.fetchval("select 40 + $1::int", 2) == 42
    await database.close()
