"""Statements of a life, from `pg_stat_statements`: those with an effect run in the cell of the job only."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.support import handlers as test_handlers
from tests.support.cells import CELLS, CellDatabase, CellService, running_cells
from tests.support.database_pool import TestDatabases
from tests.support.lives_in_a_cell import run_whole_lives
from tests.support.postgres_proxy import postgres_proxy
from tests.support.postgres_servers import Server
from tests.support.stoppable_server import own_server
from tests.support.webhook_receiver import Receiver

CELL = 2
OF_A_JOB = "jobs|events|ready|scheduled|running|deliveries|delivery_attempts|idempotency_keys|dependencies|steps"
# Statements of a cell's role that name a table of jobs and have written something.
EFFECTS = rf"""
select r.rolname, s.query, s.calls, s.rows, s.wal_records
from pg_stat_statements s join pg_roles r on r.oid = s.userid
where s.wal_records > 0 and s.query ~* '(insert into|update|delete from)\s+({OF_A_JOB})\M'
"""  # noqa: S608  # constants


@pytest.fixture(scope="module")
async def counting_server() -> AsyncIterator[Server]:
    """A server that counts the statements of each role, and has one for each cell."""
    with own_server() as own:
        await _run(own.server, "alter system set shared_preload_libraries = pg_stat_statements")
        await own.stop()
        await own.start()
        await _run(own.server, "create extension pg_stat_statements")
        for cell in range(CELLS):
            await _run(own.server, f"create role {role_of(cell)} superuser login")
        yield own.server


def role_of(cell: int) -> str:
    return f"role_of_cell_{cell}"


async def _run(server: Server, statement: str) -> list[Any]:
    connection = await asyncpg.connect(server.url_of("postgres"))
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


@pytest.fixture
async def cells(counting_server: Server) -> AsyncIterator[CellService]:
    """Running process with four cells, each with a role of its own."""
    test_handlers.forget()
    databases = TestDatabases(counting_server)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.close)
        url = await stack.enter_async_context(databases.cells(CELLS))
        proxies = [
            await stack.enter_async_context(postgres_proxy(url.replace("//postgres@", f"//{role_of(cell)}@")))
            for cell in range(CELLS)
        ]
        found = CellDatabase(url, tuple(proxies))
        async with running_cells(found) as running:
            yield running
        assert await found.violations() == []


async def test_the_statements_of_a_life_write_in_one_cell_only(
    cells: CellService, counting_server: Server, receiver: Receiver
) -> None:
    await run_whole_lives(cells, CELL, receiver)  # what a start rehearses is over
    await _run(counting_server, "select pg_stat_statements_reset()")
    await run_whole_lives(cells, CELL, receiver)
    effects = await _run(counting_server, EFFECTS)
    assert {row["rolname"] for row in effects} == {role_of(CELL)}
    written = " ".join(row["query"] for row in effects).lower()
    for table in ("jobs", "events", "ready", "running", "deliveries", "delivery_attempts"):
        assert f"insert into {table}" in written, table
