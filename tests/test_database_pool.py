"""Databases of the tests: reused if they can be made equal to a migrated one, else dropped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.support.database_pool import TestDatabase, TestDatabases

WRITES = (
    "insert into tenants (name) values ('another')",
    "update tenants set retention_days = 3",
    "update control set version = version + 1",
)


@asynccontextmanager
async def used(databases: TestDatabases, *statements: str) -> AsyncIterator[TestDatabase]:
    """Yields a database after a test that executed these statements in it has given it back."""
    lent = await databases.lend()
    connection = await asyncpg.connect(lent.url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
    assert await databases.take_back(lent) == []
    yield lent


async def contents(lent: TestDatabase) -> list[Any]:
    connection = await asyncpg.connect(lent.url)
    found = await connection.fetch("select version from control union all select tenant_id from tenants")
    await connection.close()
    return [row[0] for row in found]


@pytest.mark.parametrize("statements", [(), *((each,) for each in WRITES), WRITES])
async def test_a_database_that_a_test_wrote_to_is_cleared_and_lent_again(
    databases: TestDatabases, statements: tuple[str, ...]
) -> None:
    async with used(databases, *statements) as before:
        again = await databases.lend()
        assert again is before
        assert set(await contents(again)) == {1}
        assert await databases.take_back(again) == []


@pytest.mark.parametrize(
    "statement",
    [
        "create table another (id int)",
        "alter table ready set (fillfactor = 90)",
        "alter function duly_make_partition(text, date) cost 99",
        "grant usage on schema public to pg_monitor",
        "delete from control where id = 3",
        "update tenants set name = 'renamed'",
    ],
)
async def test_a_database_that_cannot_be_cleared_is_dropped(databases: TestDatabases, statement: str) -> None:
    async with used(databases, statement) as before:
        again = await databases.lend()
        assert again is not before
        assert await databases.take_back(again) == []
