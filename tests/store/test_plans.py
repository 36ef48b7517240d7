"""The hot statements find their rows by whole keys, whether their tables are empty, small, or full of dead rows."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from duly.domain.events import EventKind
from duly.domain.ids import LARGEST, SMALLEST, new_job_id, smallest_id_at
from duly.domain.job import ClaimedJob, Finish, Lane, NewJob
from duly.store.ledger.compensation import RECORD_COMPENSATED_IF_HELD, CompensatedStep
from duly.store.ledger.end_jobs import END_WAITING_JOBS
from duly.store.ledger.job_results import READ_ENDS
from duly.store.postgres.database import PINNED_PLANS, Connection, Database
from duly.store.postgres.partitions import ensure_partitions
from duly.store.queue.flow_control import read_version
from duly.store.queue.ready import CLAIM, FIND_LANES, LEASE, LaneStart, claim_ready
from duly.store.queue.running import (
    FINISH_COMPENSATING_IF_HELD,
    FINISH_IF_HELD,
    FINISH_LEASES_IF_HELD,
    RECORD_PROGRESS_IF_HELD,
    Progress,
    finish_if_held,
)
from duly.store.queue.signals import SEND_SIGNAL
from duly.store.read.job_view import READ_MERGED, VIEW_EACH
from duly.store.submit.jobs import COLUMNS, SUBMIT, SUBMIT_STARTING, record_jobs
from duly.store.ties.unique_keys_and_dependencies import FIND_IDS
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

KEY = ("tenant_id", "queue", "type", "priority", "job_id")
NODE = uuid4()
LANE = Lane(1, "default", "echo", 0)
STATES = ["empty", "small", "bloated"]
BLOAT = 3_000
HOT = (
    *("ready", "running", "jobs", "events", "scheduled", "deliveries", "unique_keys", "checkpoints", "endings"),
    *("leases", "lease_ends", "steps", "signals", "blocked"),
)


def new_jobs(count: int) -> list[NewJob]:
    return [NewJob(1, new_job_id(), LANE.type, LANE.queue, LANE.priority, "{}", 60.0, 5) for _ in range(count)]


async def claim(connection: Connection, limit: int) -> list[ClaimedJob]:
    lanes = [LaneStart(LANE, SMALLEST)]
    return await claim_ready(
        connection, lanes, limit=limit, node_id=NODE, source="worker:test", version=await read_version(connection)
    )


async def complete(connection: Connection, jobs: Sequence[ClaimedJob]) -> None:
    ends = [Finish(job.job_id, job.token, EventKind.COMPLETED, "null") for job in jobs]
    await finish_if_held(connection, ends, source="worker:test", cancelled_error="{}")


@asynccontextmanager
async def tables(url: str, state: str) -> AsyncIterator[Connection]:
    """Connection with cached plans on tables in this state. Bloat remains, because a snapshot is held."""
    database = Database(url)
    hot = database.hot()
    holder = await asyncpg.connect(url)
    try:
        async with hot.use() as connection, holder.transaction(isolation="repeatable_read"):
            await holder.execute("select 1 from ready")
            if state == "bloated":
                for _ in range(BLOAT // 500):
                    await record_jobs(connection, new_jobs(500))
                    await complete(connection, await claim(connection, 500))
            if state != "empty":
                await record_jobs(connection, new_jobs(40))
                await claim(connection, 20)
                for table in HOT:
                    await connection.execute(f"analyze {table}")
            yield connection
    finally:
        await holder.close()
        await database.close()


async def plan_of(connection: Connection, statement: str, *arguments: Any) -> list[dict[str, Any]]:
    """Returns all nodes of the generic plan of a statement."""
    await connection.execute(f"prepare shown as {statement}")
    try:
        # A bound for the ids decides which days are left out as it runs; the rest has no part in the plan.
        written = [f"'{value}'" if isinstance(value, UUID) else "null" for value in arguments]
        values = f"({', '.join(written)})" if written else ""
        plan = await explained(connection, f"execute shown{values}")
    finally:
        await connection.execute("deallocate shown")
    return list(nodes_of(plan))


def scanned_in_full(nodes: list[dict[str, Any]]) -> list[str]:
    return [f"{node['Node Type']} on {node['Relation Name']}" for node in nodes if _reads_all(node)]


def _reads_all(node: dict[str, Any]) -> bool:
    if not any(str(node.get("Relation Name", "")).startswith(table) for table in HOT):
        return False
    return node["Node Type"] == "Seq Scan" or (
        "Scan" in node["Node Type"] and _condition(node) is None and "TID Cond" not in node
    )


def _condition(node: dict[str, Any]) -> str | None:
    """A bitmap scan names it a second time, beside the table."""
    found: str | None = node.get("Index Cond", node.get("Recheck Cond"))
    return found


def conditions(nodes: list[dict[str, Any]], table: str) -> list[str]:
    """The index conditions under which a table is read."""
    read = [node for node in nodes if str(node.get("Relation Name", "")).startswith(table)]
    return [condition for node in read if (condition := _condition(node)) is not None]


def reads_by_place(nodes: list[dict[str, Any]], table: str) -> int:
    """The number of nodes that read single rows of a table by their place."""
    return sum(node.get("Relation Name") == table and "ctid" in node.get("TID Cond", "") for node in nodes)


def days_read(nodes: list[dict[str, Any]]) -> set[str]:
    """The days whose partitions a plan opens to read them."""
    names = [str(node.get("Relation Name", "")) for node in nodes if "Scan" in node["Node Type"]]
    return {name[-8:] for name in names if re.search(r"_\d{8}$", name)}


def reads_ledger(node: dict[str, Any]) -> bool:
    """Checks that the key is used, and not an index for lists with the same first columns."""
    return "Index Name" in node and str(node.get("Relation Name", "")).startswith("jobs_")


def indexes_of(nodes: list[dict[str, Any]], table: str) -> set[str]:
    return {node["Index Name"] for node in nodes if node.get("Relation Name") == table and "Index Name" in node}


def unnest_arguments(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))


async def held(connection: Connection) -> list[tuple[UUID, int]]:
    rows = [tuple(row) for row in await connection.fetch("select job_id, token from running limit 20")]
    return rows or [(uuid4(), 1)]


async def test_the_hot_connection_has_its_plans_pinned(database_url: str) -> None:
    async with tables(database_url, "empty") as connection:
        shown = {name: await connection.fetchval(f"select current_setting('{name}')") for name in PINNED_PLANS}
    assert shown == PINNED_PLANS


@pytest.mark.parametrize("state", STATES)
async def test_a_submission_reads_nothing(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        columns = unnest_arguments(new_jobs(100))[:COLUMNS]
        alone = [None] * 7  # no batch
        nodes = await plan_of(connection, SUBMIT_STARTING, *columns, [False] * 100, NODE, "test", 1, *alone)
        nodes += await plan_of(connection, SUBMIT, *columns, None)
    assert scanned_in_full(nodes) == []
    assert [conditions(nodes, table) for table in HOT] == [[]] * len(HOT)


@pytest.mark.parametrize("state", STATES)
async def test_a_claim_reads_by_the_whole_key_of_a_lane_and_deletes_by_place(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(
            connection, CLAIM, [1], ["default"], ["echo"], [0], [SMALLEST], 10, NODE, SMALLEST, "test", 1, *[None] * 4
        )
        lanes = await plan_of(connection, FIND_LANES)
    assert scanned_in_full(nodes) == []
    [key] = conditions(nodes, "ready")
    assert [column for column in KEY if column not in key] == []
    assert reads_by_place(nodes, "ready") == 1
    assert indexes_of(nodes, "ready") == indexes_of(lanes, "ready") == {"ready_lanes"}
    ledger = conditions(nodes, f"jobs_{datetime.now(UTC):%Y%m%d}")
    assert len(ledger) == 3  # for claimed jobs, and for receivers: callbacks and labels of endpoints
    for condition in ledger:
        assert re.search(r"tenant_id = (s|started_\d)\.tenant_id", condition)
        assert re.search(r"job_id = (s|started_\d)\.job_id", condition)
    assert {node["Index Name"].rpartition("_")[2] for node in nodes if reads_ledger(node)} == {"pkey"}
    assert [node for node in lanes if node["Node Type"] == "Seq Scan"] == []


# How the previous release finds jobs, whose lanes have no tenant.
OLD_CLAIM = """
select r.job_id from unnest($1::text[], $2::text[], $3::smallint[], $4::uuid[]) as l (queue, type, priority, floor)
cross join lateral (
    select job_id from ready where queue = l.queue and type = l.type and priority = l.priority and job_id >= l.floor
    order by job_id limit $5 for update skip locked
) r
limit $5
"""


@pytest.mark.parametrize("state", STATES)
async def test_a_node_of_the_previous_release_claims_by_its_own_index(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, OLD_CLAIM, ["default"], ["echo"], [0], [SMALLEST], 10)
    assert indexes_of(nodes, "ready") == {"ready_pkey"}
    assert [node for node in nodes if node["Node Type"] == "Sort"] == []


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("at_once", [1, 20])
async def test_a_worker_writes_by_the_key_of_its_job(database_url: str, state: str, at_once: int) -> None:
    async with tables(database_url, state) as connection:
        jobs = (await held(connection))[:at_once]
        ends = [Finish(job_id, token, EventKind.COMPLETED, "null")[:7] for job_id, token in jobs]
        told = [Progress(job_id, token, 10.0, None, "{}") for job_id, token in jobs]
        plans = [
            await plan_of(connection, FINISH_IF_HELD, *unnest_arguments(ends), "{}", "test", SMALLEST),
            await plan_of(connection, FINISH_COMPENSATING_IF_HELD, *unnest_arguments(ends), "{}", "test", SMALLEST),
            await plan_of(connection, RECORD_PROGRESS_IF_HELD, *unnest_arguments(told), "test", SMALLEST),
        ]
    for nodes in plans:
        assert scanned_in_full(nodes) == []
        assert len(conditions(nodes, "running")) == 1
        assert "(job_id >= t.job_id) AND (job_id <= t.job_id)" in conditions(nodes, "running")[0]


@pytest.mark.parametrize(
    ("statement", "before", "after"),
    [
        (CLAIM, [[1], ["default"], ["echo"], [0], [SMALLEST], 10, NODE], ["test", 1, *[None] * 4]),
        (LEASE, [[1], ["default"], ["echo"], [0], [SMALLEST], 10, NODE], ["test", 1, *[None] * 8]),
        (FINISH_IF_HELD, [*[None] * 7, "{}", "test"], []),
        (FINISH_COMPENSATING_IF_HELD, [*[None] * 7, "{}", "test"], []),
        (FINISH_LEASES_IF_HELD, [*[None] * 7, "{}", "test"], [None, None]),
        (RECORD_PROGRESS_IF_HELD, [*[None] * 5, "test"], []),
        (END_WAITING_JOBS, [*[None] * 5, "test"], []),
        (VIEW_EACH, [None, None], [LARGEST]),
        (READ_ENDS, [None, None], [LARGEST]),
    ],
    ids=["claim", "lease", "finish", "finish compensating", "finish leases", "progress", "end waiting", "view", "ends"],
)
async def test_no_day_before_the_oldest_job_of_a_statement_is_opened(
    database_url: str, statement: str, before: list[Any], after: list[Any]
) -> None:
    """Thirty days, which are kept by default, would double the time of a statement for twenty jobs."""
    now = datetime.now(UTC)
    async with tables(database_url, "empty") as connection:
        await ensure_partitions(connection, [(now - timedelta(days=days)).date() for days in range(2, 12)])
        oldest = smallest_id_at(now - timedelta(hours=1))
        all_days = days_read(await plan_of(connection, statement, *before, SMALLEST, *after))
        days = days_read(await plan_of(connection, statement, *before, oldest, *after))
    assert len(all_days) >= 10
    assert days
    assert min(days) >= f"{now - timedelta(hours=1):%Y%m%d}"


@pytest.mark.parametrize("state", STATES)
async def test_a_compensated_step_is_recorded_by_the_key_of_its_job(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        jobs = await held(connection)
        steps = [CompensatedStep(job_id, token, "reserve", "{}") for job_id, token in jobs or [(new_job_id(), 1)]]
        nodes = await plan_of(connection, RECORD_COMPENSATED_IF_HELD, *unnest_arguments(steps), "test")
    assert scanned_in_full(nodes) == []
    assert {"job_id", "kind", "name"} <= set(re.findall(r"[a-z_]+", " ".join(conditions(nodes, "steps"))))


@pytest.mark.parametrize("state", STATES)
async def test_jobs_are_looked_at_by_their_keys(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, VIEW_EACH, [1], [new_job_id()], SMALLEST, LARGEST)
        merged = await plan_of(connection, READ_MERGED, [1], [new_job_id()])
    assert scanned_in_full(nodes) == scanned_in_full(merged) == []
    for table in ("running", "scheduled", "blocked"):
        assert conditions(nodes, table) == ["(job_id = a.job_id)"]
    [ready] = conditions(nodes, "ready")
    assert [column for column in KEY if column not in ready] == []
    assert {node["Index Name"].rpartition("_")[2] for node in nodes if reads_ledger(node)} == {"pkey"}
    [ledger] = set(conditions(nodes, "jobs"))
    assert "(tenant_id = a.tenant_id)" in ledger
    assert "(job_id = a.job_id)" in ledger
    assert [condition for condition in conditions(nodes, "events") if "(job_id = " not in condition] == []


@pytest.mark.parametrize("state", STATES)
async def test_ids_of_all_tenants_are_found_by_an_index_of_ids(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, FIND_IDS, [new_job_id()])
    assert scanned_in_full(nodes) == []
    assert {node["Index Name"].partition("_job_id")[1] for node in nodes if reads_ledger(node)} == {"_job_id"}
    assert set(conditions(nodes, "jobs")) == {"(job_id = a.job_id)"}


@pytest.mark.parametrize("state", STATES)
async def test_a_signal_finds_its_job_by_keys(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        nodes = await plan_of(connection, SEND_SIGNAL, 1, new_job_id(), "approval", None, None, None)
    assert scanned_in_full(nodes) == []


@pytest.mark.parametrize("state", ["small", "bloated"])
async def test_a_claim_takes_and_locks_no_more_than_it_asked_for(database_url: str, state: str) -> None:
    async with tables(database_url, state) as connection:
        rows = await connection.fetch("select job_id from ready order by job_id")
        claimed = await claim(connection, 7)
        left = await connection.fetchval("select count(*) from ready")
    assert [job.job_id for job in claimed] == [row[0] for row in rows[:7]]
    assert left == len(rows) - 7


async def test_a_claim_over_several_lanes_takes_no_more_than_it_asked_for_in_all(database_url: str) -> None:
    database = Database(database_url)
    lanes = [Lane(1, "default", "echo", priority) for priority in (5, 0, -5)]
    async with database.connection() as connection:
        for lane in reversed(lanes):
            await record_jobs(connection, [job._replace(priority=lane.priority) for job in new_jobs(4)])
        starts = [LaneStart(lane, SMALLEST) for lane in lanes]
        taken = await claim_ready(connection, starts, limit=6, node_id=NODE, source="test", version=1)
        assert sorted((job.priority for job in taken), reverse=True) == [5] * 4 + [0] * 2
        assert await connection.fetchval("select count(*) from running") == 6
    await database.close()


async def test_two_claims_at_once_share_what_is_ready(database_url: str) -> None:
    """One that is not yet committed holds its rows; another goes on behind them instead of waiting."""
    database = Database(database_url)
    async with database.connection() as first, database.connection() as second:
        await record_jobs(first, new_jobs(10))
        async with first.transaction():
            one = await claim(first, 6)
            other = await claim(second, 6)
        assert (len(one), len(other)) == (6, 4)
        assert not {job.job_id for job in one} & {job.job_id for job in other}
    await database.close()


async def test_a_finish_whose_token_is_old_changes_nothing(database_url: str) -> None:
    database = Database(database_url)
    async with database.connection() as connection:
        await record_jobs(connection, new_jobs(1))
        job = (await claim(connection, 1))[0]
        for token in (job.token - 1, job.token + 1):
            end = Finish(job.job_id, token, EventKind.COMPLETED, "null")
            assert await finish_if_held(connection, [end], source="test", cancelled_error="{}") == []
        assert await connection.fetchval("select count(*) from running") == 1
        assert await connection.fetchval("select max(sequence) from events") == 1
        end = Finish(job.job_id, job.token, EventKind.COMPLETED, "null")
        assert len(await finish_if_held(connection, [end], source="test", cancelled_error="{}")) == 1
    await database.close()
