"""Finding what is due, and forgetting what is old, cost the same with many schedules and a long record."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from duly.store.postgres.database import Connection, Database
from duly.store.queue.schedules import (
    DELETE_OLD_RUNS,
    LIST_SCHEDULES,
    READ_NEXT_DUE,
    RECORD_RUNS,
    TAKE_DUE,
    delete_old_runs,
)
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.query_plans import explained, vacuum

FILL = """
insert into schedules (tenant_id, name, cron, timezone, submission, overlap, catch_up, paused, next_run_at)
select 1, 's' || n, '* * * * *', 'UTC', '{"asked": {}, "job": {}}', 0, 0, n % 10 = 0, now() + n * interval '1 second'
from generate_series(-20, 20000) n
"""
# Of twenty names; the last 400 minutes of each are older than 30 days.
FILL_RECORD = """
insert into schedule_runs (tenant_id, name, due_at)
select 1, 's' || n % 20, now() - (n / 20) * interval '18 minutes' from generate_series(0, 49999) n
"""
# Another session's snapshot would keep what a vacuum is to remove.
UNATTENDED = """
alter table schedules set (autovacuum_enabled = false);
alter table schedule_runs set (autovacuum_enabled = false)
"""
NOBODY: tuple[list[int], list[str]] = ([], [])


@pytest.fixture(scope="module")
async def filled(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Connection]:
    """A connection such as the scheduler's, on tables that hold much. No test changes them."""
    async with databases_of(server).lent(fresh=True) as url, filled_at(url) as connection:
        yield connection


@pytest.fixture
async def filled_for_one(database_url: str) -> AsyncIterator[Connection]:
    """A connection like `filled`, for a test that changes the tables."""
    async with filled_at(database_url) as connection:
        yield connection


@asynccontextmanager
async def filled_at(url: str) -> AsyncIterator[Connection]:
    database = Database(url)
    async with database.connection() as connection:
        await connection.execute(UNATTENDED)
        await connection.execute(FILL)
        await connection.execute(FILL_RECORD)
        await connection.execute("analyze schedules, schedule_runs")
        yield connection
    await database.close()


async def plan_of(connection: Connection, statement: str, *arguments: object) -> dict[str, Any]:
    """Returns the plan of a statement with its reads; its writes are rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        return await explained(connection, statement, *arguments, analyze=True)
    finally:
        await transaction.rollback()


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each table that is read, and the index by which."""
    if str(plan.get("Relation Name", "")).startswith("schedule") and "Scan" in plan["Node Type"]:
        yield plan["Relation Name"], plan.get("Index Name", "-")
    for below in plan.get("Plans", ()):
        yield from scans(below)


def pages(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize(
    ("statement", "arguments"), [(READ_NEXT_DUE, NOBODY), (TAKE_DUE, (*NOBODY, 100)), (TAKE_DUE, ([1], ["s-5"], 100))]
)
async def test_what_is_due_is_found_by_its_time(filled: Connection, statement: str, arguments: tuple[Any, ...]) -> None:
    plan = await plan_of(filled, statement, *arguments)
    assert set(scans(plan)) == {("schedules", "schedules_due")}
    assert pages(plan) < 100


async def test_a_page_of_schedules_is_read_by_name(filled: Connection) -> None:
    plan = await plan_of(filled, LIST_SCHEDULES, 1, "s15", 50)
    assert set(scans(plan)) == {("schedules", "schedules_pkey")}
    assert pages(plan) < 200


@pytest.mark.fresh_database
async def test_old_runs_are_found_without_reading_what_is_kept(filled_for_one: Connection) -> None:
    rows = await filled_for_one.fetchval("select count(*) from schedule_runs where due_at < now() - interval '30 days'")
    assert rows > 500
    while await delete_old_runs(filled_for_one, limit=500) == 500:
        pass
    await vacuum(filled_for_one, "schedule_runs")
    plan = await plan_of(filled_for_one, DELETE_OLD_RUNS, 50)
    assert {index for _, index in scans(plan)} == {"schedule_runs_pkey"}
    assert pages(plan) < 200
    kept = await filled_for_one.fetchval("select pg_relation_size('schedule_runs') / 8192")
    assert kept > 250


async def test_a_run_is_recorded_by_its_key(filled: Connection) -> None:
    columns = [[1], ["s1"], [await filled.fetchval("select now()")], [None]]
    assert pages(await plan_of(filled, RECORD_RUNS, *columns)) < 20
