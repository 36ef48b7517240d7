"""The outbox is read by its keys, with plans that are made once: on an empty outbox too, and kept while it fills."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from duly.domain.ids import new_job_id
from duly.store.database import Connection, Database
from duly.store.deliveries import NEXT_DUE, SETTLE_IF_HELD, TAKE_DUE, take_due

ROWS = 2_000
FILL = "insert into deliveries (tenant_id, job_id, sequence, kind) select 1, $1, n, 10 from generate_series(1, $2) n"
FILL_LEDGER = """
insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts, callback_events,
                  callback_url)
values (1, $1, 'echo', 'default', 0, '{}', 60, 5, 0, 'http://receiver.example/')
"""
EVENTS = """
insert into events (tenant_id, job_id, sequence, kind, attempt, source)
select 1, $1, n, 2, 1, 'test' from generate_series(1, $2) n
"""


@asynccontextmanager
async def outbox(url: str, state: str) -> AsyncIterator[Connection]:
    """A connection such as the dispatcher's. What is bloated stays so: a snapshot is held."""
    database = Database(url)
    hot = database.hot()
    holder = await asyncpg.connect(url)
    try:
        async with hot.use() as connection, holder.transaction(isolation="repeatable_read"):
            await holder.execute("select 1 from deliveries")
            if state == "bloated":
                await connection.execute(FILL, uuid4(), ROWS)
                await connection.execute("delete from deliveries")
            if state != "empty":
                await connection.execute(FILL, uuid4(), 20)
                await connection.execute("analyze deliveries")
            yield connection
    finally:
        await hot.close()
        await holder.execute("truncate deliveries, events, jobs")  # these jobs were never alive
        await holder.close()
        await database.close()


async def plan_of(connection: Connection, statement: str, arguments: str) -> list[dict[str, Any]]:
    """All nodes of the plan that is kept for this statement, whatever its arguments."""
    await connection.execute(f"prepare examined as {statement}")
    plans = await connection.fetchval(f"explain (format json) execute examined{arguments}")
    await connection.execute("deallocate examined")
    return list(_nodes(plans[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def reads(nodes: list[dict[str, Any]], table: str) -> set[tuple[str, str]]:
    """How a table, or any of its days, is read: by which index (without the day), and under which condition."""
    found = [
        node for node in nodes if str(node.get("Relation Name", "")).startswith(table) and "Scan" in node["Node Type"]
    ]
    return {
        (node.get("Index Name", "-").removeprefix(node["Relation Name"]), node.get("Index Cond", "-")) for node in found
    }


@pytest.mark.parametrize("state", ["empty", "small", "bloated"])
async def test_what_is_due_is_found_in_its_order_and_its_event_by_the_whole_key(database_url: str, state: str) -> None:
    async with outbox(database_url, state) as connection:
        nodes = await plan_of(connection, TAKE_DUE, "(100, 25)")
        next_due = await plan_of(connection, NEXT_DUE, "")
    assert reads(nodes, "deliveries") == {
        ("_due", "(due_at <= now())"),
        ("_of_job", "((job_id = d.job_id) AND (sequence < d.sequence))"),
        ("_pkey", "((delivery_id >= due.delivery_id) AND (delivery_id <= due.delivery_id))"),
    }
    assert reads(nodes, "jobs_") == {("_pkey", "((tenant_id = t.tenant_id) AND (job_id = t.job_id))")}
    assert reads(nodes, "events_") == {("_pkey", "((job_id = t.job_id) AND (sequence = t.sequence))")}
    assert {index for index, _ in reads(next_due, "deliveries")} == {"_due"}


@pytest.mark.parametrize("state", ["empty", "small", "bloated"])
async def test_what_was_tried_is_settled_by_its_key(database_url: str, state: str) -> None:
    async with outbox(database_url, state) as connection:
        nodes = await plan_of(connection, SETTLE_IF_HELD, f"({', '.join(['null'] * 13)})")
    assert {index for index, _ in reads(nodes, "deliveries")} == {"_pkey"}


async def test_a_plan_made_on_an_empty_outbox_takes_few_of_many(database_url: str) -> None:
    async with outbox(database_url, "empty") as connection:
        assert await take_due(connection, limit=3, hold_seconds=25) == []
        job_id = new_job_id()
        await connection.execute(FILL_LEDGER, job_id)
        await connection.execute(EVENTS, job_id, ROWS)
        await connection.execute(FILL.replace("10 from", "2 from"), job_id, ROWS)
        taken = await take_due(connection, limit=3, hold_seconds=25)
        assert len(taken) == 3
        held = await connection.fetchval("select count(*) from deliveries where due_at > now()")
    assert held == 3
