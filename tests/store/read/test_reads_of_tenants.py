"""Reads of a tenant's ready jobs cost no more where another tenant has many in a queue of the same name."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from duly.domain.ids import LARGEST, new_job_id
from duly.domain.job import NewJob
from duly.store.postgres.database import Connection, Database
from duly.store.queue.ready import lanes_of_tenant
from duly.store.read.access_paths import PLANS
from duly.store.read.explain import COUNT_AHEAD
from duly.store.read.queue_stats import COUNT_LANES, READ_OLDEST_AGES, read_queues
from duly.store.submit.jobs import record_jobs
from duly.store.submit.submission_limits import COUNT_WAITING, count_waiting
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

HEAVY, LIGHT = 1, 2
JOBS = 5_000
# Each with its parameters, for the second tenant.
READS: Sequence[tuple[str, tuple[object, ...]]] = (
    (f"{lanes_of_tenant('$1')} table lane", (LIGHT,)),
    (COUNT_LANES, (LIGHT, 1_000)),
    (READ_OLDEST_AGES, (LIGHT,)),
    (COUNT_AHEAD, (LIGHT, "mail", 0, LARGEST, 10_000)),
    (COUNT_WAITING, (LIGHT, "mail", 10_000)),
)
MOST_PAGES = 30


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url)
    async with database.connection() as opened:
        for _ in range(JOBS // 500):
            await record_jobs(opened, jobs_of(HEAVY, 500))
        await record_jobs(opened, jobs_of(LIGHT, 2))
        await opened.execute("analyze ready")
        yield opened
    await database.close()


def jobs_of(tenant: int, count: int) -> list[NewJob]:
    return [NewJob(tenant, new_job_id(), "echo", "mail", 0, "{}", 60.0, 5) for _ in range(count)]


async def test_each_read_finds_the_tenants_jobs_by_its_lanes(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(PLANS)
        for statement, parameters in READS:
            nodes = list(nodes_of(await explained(connection, statement, *parameters, analyze=True)))
            used = {node["Index Name"] for node in nodes if str(node.get("Index Name")).startswith("ready")}
            assert used == {"ready_lanes"}, statement
            assert sum(_pages(node) for node in nodes if node.get("Relation Name") == "ready") <= MOST_PAGES, statement


def _pages(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"] + node["Shared Read Blocks"])


async def test_each_tenant_counts_its_own_jobs(connection: Connection) -> None:
    depths = {tenant: (await read_queues(connection, tenant))["mail"].ready for tenant in (HEAVY, LIGHT)}
    assert depths == {HEAVY: JOBS, LIGHT: 2}
    assert await count_waiting(connection, LIGHT, "mail", up_to=100) == 2
    assert await count_waiting(connection, HEAVY, "mail", up_to=100) == 100
