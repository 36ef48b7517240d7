"""The statements that pass keys on and count dependencies down find their rows by keys, however many others wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duly.domain.ids import new_job_id
from duly.domain.job import DEFAULT_TENANT, Flow, NewJob
from duly.lifecycle.submit.insert import insert_jobs
from duly.store.ledger.end_jobs import END_WAITING_JOBS
from duly.store.postgres.database import Connection, Database
from duly.store.ties.placement import (
    ACQUIRE_KEYS,
    COUNT_DOWN,
    FIND_CHILDREN,
    FIND_KEYS,
    LOCK_CHILDREN,
    LOCK_KEYS,
    TRANSFER_KEYS,
)
from duly.store.ties.unique_keys_and_dependencies import (
    ACQUIRE_UNIQUE_KEYS,
    MARK_ELSEWHERE,
    MARK_READY,
    RELEASE_UNIQUE_KEYS,
)
from duly.store.ties.waiting_parents import (
    LOCK_WAITING_PARENTS,
    PARK_FOR_CHILDREN_IF_HELD,
    RESUME_WAITING_PARENTS,
)
from tests.store.test_plans import plan_of
from tests.support.query_plans import explained

pytestmark = pytest.mark.fresh_database

STATES = ["empty", "crowded", "crowded and analysed"]
STATEMENTS = {
    "acquire": (ACQUIRE_KEYS, 3),
    "keys of": (FIND_KEYS, 1),
    "lock keys": (LOCK_KEYS, 3),
    "pass on": (TRANSFER_KEYS, 2),
    "children of": (FIND_CHILDREN, 1),
    "lock children": (LOCK_CHILDREN, 1),
    "count down": (COUNT_DOWN, 1),
    "park for children": (PARK_FOR_CHILDREN_IF_HELD, 4),
    "lock waiting parents": (LOCK_WAITING_PARENTS, 1),
    "resume waiting parents": (RESUME_WAITING_PARENTS, 3),
    "take unique": (ACQUIRE_UNIQUE_KEYS, 4),
    "mark ready": (MARK_READY, 2),
    "release unique": (RELEASE_UNIQUE_KEYS, 2),
    **{f"mark {table}": (statement, 2) for table, statement in MARK_ELSEWHERE.items()},
}
TABLES = ("blocked", "concurrency", "dependencies", "unique_keys", "ready", "running", "scheduled")


@asynccontextmanager
async def hot_connection(url: str) -> AsyncIterator[Connection]:
    database = Database(url)
    try:
        async with database.hot().use() as connection:
            yield connection
    finally:
        await database.close()


def tied(**members: object) -> NewJob:
    return NewJob(DEFAULT_TENANT, new_job_id(), "echo", "default", 0, "{}", 60.0, 3, flow=Flow(**members))  # type: ignore[arg-type]


@pytest.mark.parametrize("state", STATES)
async def test_each_row_is_found_by_a_key(database_url: str, state: str) -> None:
    async with hot_connection(database_url) as connection:
        if state != "empty":
            parent = tied(unique_key="parent")
            crowd = [tied(concurrency_key="busy", unique_key=f"u{n}") for n in range(500)]
            children = [tied(depends_on=(parent.job_id,)) for _ in range(500)]
            async with connection.transaction():
                await insert_jobs(connection, [parent])
                await insert_jobs(connection, crowd + children)
        if state == "crowded and analysed":
            await connection.execute("analyze")
        for name, (statement, arguments) in STATEMENTS.items():
            nodes = await plan_of(connection, statement, *([None] * arguments))
            for node in nodes:
                if node.get("Relation Name") in TABLES:
                    assert node["Node Type"] != "Seq Scan", name
                    assert node["Node Type"] == "ModifyTable" or "Index Cond" in node, (name, node)


async def test_the_next_of_a_key_is_read_without_those_of_others(database_url: str) -> None:
    async with hot_connection(database_url) as connection:
        busy = [tied(concurrency_key="busy") for _ in range(2_000)]
        free = [tied(concurrency_key="free") for _ in range(2)]
        async with connection.transaction():
            await insert_jobs(connection, busy + free)
        await connection.execute(f"prepare pass (int[], text[]) as {TRANSFER_KEYS}")
        plan = await explained(connection, "execute pass(array[1], array['free'])", analyze=True)
        await connection.execute(f"truncate {', '.join(TABLES)}, jobs")
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60


FEW_PAGES = 400


async def test_few_that_are_ended_or_waited_for_are_found_among_many_that_are_ready(database_url: str) -> None:
    async with hot_connection(database_url) as connection:
        plain = [NewJob(DEFAULT_TENANT, new_job_id(), "echo", "default", 0, "{}", 60.0, 3) for _ in range(20_000)]
        chosen = [job.job_id for job in plain[:10]]
        async with connection.transaction():
            await insert_jobs(connection, plain)
        tenants = [DEFAULT_TENANT] * len(chosen)
        for statement, arguments in (
            (END_WAITING_JOBS, (tenants, chosen, [12] * 10, ["{}"] * 10, False, "api", min(chosen))),
            (MARK_READY, (tenants, chosen)),
        ):
            pages = await pages_of(connection, statement, *arguments)
            assert pages < FEW_PAGES, statement
        await connection.execute(f"truncate {', '.join(TABLES)}, jobs, events, endings")


async def pages_of(connection: Connection, statement: str, *arguments: object) -> int:
    """Returns the number of pages that the statement touches; it is rolled back."""
    undone = connection.transaction()
    await undone.start()
    try:
        top = await explained(connection, statement, *arguments, analyze=True)
    finally:
        await undone.rollback()
    return int(top["Shared Hit Blocks"]) + int(top["Shared Read Blocks"])
