"""A claim under limits finds its rows by whole keys, and counts without reading what is not limited."""

from typing import Any

import pytest

from duly.domain.ids import SMALLEST
from duly.store.postgres.database import Connection
from duly.store.queue.claim_limited import CLAIM_LIMITED, ClaimLimits, claim_limited
from duly.store.queue.flow_control import read_version
from duly.store.queue.job_type_breakers import LOCK_BREAKERS
from duly.store.queue.limits import FlowLimits, Scope, set_limits
from duly.store.queue.ready import CLAIM, LaneStart
from duly.store.submit.jobs import record_jobs
from tests.store.test_plans import (
    LANE,
    NODE,
    STATES,
    conditions,
    new_jobs,
    plan_of,
    reads_by_place,
    scanned_in_full,
    tables,
)
from tests.store.test_plans import claim as claim_freely
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

ARGUMENTS: list[Any] = [
    [1],
    ["default"],
    ["echo"],
    [0],
    [SMALLEST],
    10,
    NODE,
    SMALLEST,
    "test",
    1,
    [1],
    ["default"],
    1,
    "echo",
    32,
]


def by_whole_key(found: list[str], *columns: str) -> bool:
    return bool(found) and all(column in condition for condition in found for column in columns)


def using(nodes: list[dict[str, Any]], index: str) -> list[str]:
    return [node["Index Cond"] for node in nodes if node.get("Index Name") == index]


@pytest.mark.parametrize("state", STATES)
async def test_a_limited_claim_reads_everything_by_its_key(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, CLAIM_LIMITED, *ARGUMENTS)
        locks = await plan_of(connection, LOCK_BREAKERS, [1], ["echo"], [True])
    assert scanned_in_full(nodes) == []
    assert [node for node in (*nodes, *locks) if node["Node Type"] == "Seq Scan"] == []
    assert reads_by_place(nodes, "ready") == 1
    assert by_whole_key(conditions(nodes, "ready"), "tenant_id", "queue", "type", "priority", "job_id")
    assert by_whole_key(conditions(nodes, "limits"), "tenant_id", "scope", "name")
    assert by_whole_key(conditions(nodes, "breakers"), "tenant_id", "type")
    assert by_whole_key(conditions(locks, "breakers"), "tenant_id", "type")
    assert by_whole_key(using(nodes, "running_limited_queue"), "tenant_id", "queue")
    assert by_whole_key(using(nodes, "running_limited_type"), "tenant_id", "type")
    assert using(nodes, "running_pkey") == ["(job_id = b.probe_id)"]
    assert len(conditions(nodes, "running")) == 3


@pytest.mark.parametrize("state", ["small", "bloated"])
async def test_counting_reads_no_more_pages_where_much_runs_without_a_limit(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        await record_jobs(connection, new_jobs(600))
        await claim_freely(connection, 500)
        await set_limits(connection, 1, Scope.QUEUE, LANE.queue, FlowLimits(concurrency=3), begins_in_seconds=0)
        taken = [await _claim(connection) for _ in range(2)]
        assert taken == [3, 0]
        read = await _pages_of(connection, "running_limited_queue")
    assert read <= 6


async def _claim(connection: Connection) -> int:
    claimed = await claim_limited(
        connection,
        [LaneStart(LANE, SMALLEST)],
        under=ClaimLimits(1, queue=LANE.queue),
        limit=10,
        node_id=NODE,
        source="test",
        version=await read_version(connection),
    )
    return len(claimed.jobs)


@pytest.mark.parametrize("limited", [False, True])
async def test_a_claim_of_few_reads_few_pages_where_many_wait(database_url: str, *, limited: bool) -> None:
    async with tables(database_url, "small") as connection:
        for _ in range(10):
            await record_jobs(connection, new_jobs(500))
        await set_limits(connection, 1, Scope.QUEUE, LANE.queue, FlowLimits(concurrency=3), begins_in_seconds=0)
        read = await _pages_of(connection, "ready_lanes", limited=limited)
    assert read <= 3 * 20


async def _pages_of(connection: Connection, index: str, *, limited: bool = True) -> int:
    """Returns the number of pages that a claim reads through this index, including those of its rows."""
    await connection.execute(f"prepare shown as {CLAIM_LIMITED if limited else CLAIM}")
    lanes = f"'{{1}}', '{{default}}', '{{echo}}', '{{0}}', '{{{SMALLEST}}}'"
    version = await read_version(connection)
    limits = ", '{1}', '{default}', 1, null, 32" if limited else ", '{1}', '{1}', '{3}', '{0}'"
    values = f"{lanes}, 3, '{NODE}', '{SMALLEST}', 'test', {version}{limits}"
    plan = await explained(connection, f"execute shown({values})", analyze=True)
    return sum(
        node["Shared Hit Blocks"] + node["Shared Read Blocks"]
        for node in nodes_of(plan)
        if node.get("Index Name") == index
    )
