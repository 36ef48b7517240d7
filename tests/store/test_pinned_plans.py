"""Rare statements that reach into the hot tables: they find their rows by whole keys too, however many there are."""

from typing import Any

import pytest

from duly.domain.events import EventKind
from duly.domain.ids import new_job_id
from duly.domain.job import NewJob
from duly.domain.outcome import cancelled_error
from duly.store.ledger.end_jobs import END_WAITING_JOBS, WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import Connection, Database
from duly.store.submit.jobs import record_jobs
from duly.store.ties.held import RELEASE_HELD
from duly.store.ties.retry import REQUEUE_JOBS
from duly.store.ties.unique_keys_and_dependencies import MARK_READY
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

TABLES = (
    "ready",
    "scheduled",
    "blocked",
    "running",
    "jobs",
    "events",
    "dependencies",
    "unique_keys",
    "checkpoints",
    "steps",
)
JOBS = 2_000


@pytest.fixture
async def database(database_url: str) -> Any:
    """With jobs that nothing is known of yet: tables grow faster than they are analysed."""
    opened = Database(database_url)
    async with opened.connection() as connection:
        for _ in range(JOBS // 500):
            jobs = [NewJob(1, new_job_id(), "echo", "default", 0, "{}", 60.0, 5) for _ in range(500)]
            await record_jobs(connection, jobs)
    yield opened
    await opened.close()


async def _scans(connection: Connection, statement: str, *arguments: object) -> list[str]:
    """The tables that the statement would read in full."""
    plan = await explained(connection, statement, *arguments)
    found = [node for node in nodes_of(plan) if node["Node Type"] == "Seq Scan"]
    return [node["Relation Name"] for node in found if str(node["Relation Name"]).startswith(TABLES)]


@pytest.mark.parametrize("count", [1, 500])
async def test_no_table_of_jobs_is_read_in_full(database: Database, count: int) -> None:
    async with database.connection() as connection:
        jobs = [row[0] for row in await connection.fetch("select job_id from ready order by job_id limit $1", count)]
    tenants = [1] * count
    ends = ([EventKind.CANCELLED] * count, [cancelled_error()] * count, False, "test", min(jobs))
    async with database.pinned() as connection:
        assert await _scans(connection, END_WAITING_JOBS, tenants, jobs, *ends) == []
        assert await _scans(connection, REQUEUE_JOBS, tenants, jobs, "test", None, None) == []
        assert await _scans(connection, RELEASE_HELD, tenants, jobs, "test", 1, "charge") == []
        assert await _scans(connection, MARK_READY, tenants, jobs) == []


async def test_what_is_pinned_is_pinned_for_the_transaction_alone(database: Database) -> None:
    names = ("plan_cache_mode", "enable_seqscan", "enable_hashjoin")

    async def settings(connection: Connection) -> list[str]:
        return [await connection.fetchval(f"show {name}") for name in names]

    async with database.connection() as connection:
        usual = await settings(connection)
    async with database.pinned() as connection:
        assert await settings(connection) == ["force_generic_plan", "off", "off"]
    with pytest.raises(ZeroDivisionError):
        async with database.pinned() as connection:
            _ = 1 / 0
    async with database.connection() as connection:
        assert await settings(connection) == usual == ["force_custom_plan", "on", "on"]


async def test_what_fails_inside_leaves_nothing(database: Database) -> None:
    async with database.connection() as connection:
        job_id = await connection.fetchval("select job_id from ready limit 1")
    end = WaitingJobEnd(1, job_id, EventKind.CANCELLED, cancelled_error())

    async def end_and_fail() -> None:
        async with database.pinned() as connection:
            assert len(await end_waiting_jobs(connection, [end], source="test")) == 1
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await end_and_fail()
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from events") == 0
        assert await connection.fetchval("select count(*) from ready") == JOBS
