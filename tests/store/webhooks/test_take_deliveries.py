"""The outbox is read by its keys, with plans that are made once: on an empty outbox too, and kept while it fills."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from duly.domain.ids import LARGEST, SMALLEST, new_job_id, smallest_id_at
from duly.store.postgres.database import Connection, Database
from duly.store.postgres.partitions import ensure_partitions
from duly.store.webhooks.delivery_attempts import SETTLE_IF_HELD
from duly.store.webhooks.take_deliveries import READ_NEXT_DUE, TAKE_DUE, TAKE_GATED, Rooms, take_due, take_gated
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

ROWS = 2_000
FILL = """
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id)
select 1, $1, n, 10, $3 from generate_series(1, $2) n
"""
FILL_LEDGER = """
insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts, callback_events,
                  callback_url)
values (1, $1, 'echo', 'default', 0, '{}', 60, 5, 0, 'http://receiver.example/')
"""
EVENTS = """
insert into events (tenant_id, job_id, sequence, kind, attempt, source)
select 1, $1, n, 2, 1, 'test' from generate_series(1, $2) n
"""

# One that may have two at once, one that is paused, and one whose circuit is open and may be probed.
GATES = """
insert into receivers (tenant_id, receiver_id, registered, concurrency, paused_at, state, probe_at)
values (1, $1, true, 2, null, 0, null), (1, $2, true, null, now(), 0, null),
       (1, $3, true, null, null, 1, now() - interval '1 second')
"""


class _Deleting:
    """Connection that deletes all deliveries after its first statement, as the end of a retention period may."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.statements = 0

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        rows = await self._connection.fetch(statement, *arguments)
        self.statements += 1
        await self._connection.execute("delete from deliveries")
        return rows


@asynccontextmanager
async def outbox(url: str, state: str) -> AsyncIterator[Connection]:
    """Connection as the dispatcher has it. Bloat remains, because a snapshot is held."""
    database = Database(url)
    hot = database.hot()
    holder = await asyncpg.connect(url)
    try:
        async with hot.use() as connection, holder.transaction(isolation="repeatable_read"):
            await holder.execute("select 1 from deliveries")
            if state == "bloated":
                await connection.execute(FILL, uuid4(), ROWS, uuid4())
                await connection.execute("delete from deliveries")
            if state != "empty":
                await connection.execute(FILL, uuid4(), 20, uuid4())
                await connection.execute("analyze deliveries")
            yield connection
    finally:
        await holder.execute("truncate deliveries, events, jobs, receivers")  # these jobs were never alive
        await holder.close()
        await database.close()


async def plan_of(connection: Connection, statement: str, arguments: str) -> list[dict[str, Any]]:
    """Returns all nodes of the cached generic plan of this statement."""
    await connection.execute(f"prepare examined as {statement}")
    plan = await explained(connection, f"execute examined{arguments}")
    await connection.execute("deallocate examined")
    return list(nodes_of(plan))


def reads(nodes: list[dict[str, Any]], table: str) -> set[tuple[str, str]]:
    """Returns the index (without the day) and condition by which a table, or any of its partitions, is read."""
    found = [
        node for node in nodes if str(node.get("Relation Name", "")).startswith(table) and "Scan" in node["Node Type"]
    ]
    return {
        (node.get("Index Name", "-").removeprefix(node["Relation Name"]), node.get("Index Cond", "-")) for node in found
    }


BY_ITS_KEY = "_pkey", "((delivery_id >= p.delivery_id) AND (delivery_id <= p.delivery_id))"
PLACES = re.compile(r"_\d+\b")


def keys(nodes: list[dict[str, Any]], table: str) -> set[tuple[str, str]]:
    """Returns the same as `reads`, without the numbers that a plan gives to its tables."""
    return {(index, PLACES.sub("", condition)) for index, condition in reads(nodes, table)}


@pytest.mark.parametrize("state", ["empty", "small", "bloated"])
async def test_what_is_due_is_found_lane_by_lane_and_its_event_by_the_whole_key(database_url: str, state: str) -> None:
    async with outbox(database_url, state) as connection:
        nodes = await plan_of(connection, TAKE_DUE, f"(100, 25, '{SMALLEST}', '{{}}', '{{}}', 4, '{SMALLEST}')")
        next_due = await plan_of(connection, READ_NEXT_DUE, "")
    assert keys(nodes, "deliveries") == {
        ("_lane", "(receiver_id > $3)"),
        ("_lane", "(receiver_id > l.receiver_id)"),
        ("_lane", "((receiver_id = l.receiver_id) AND (due_at <= now()))"),
        ("_of_job", "((job_id = d.job_id) AND (sequence < d.sequence))"),
        BY_ITS_KEY,
    }
    assert keys(nodes, "receivers") == {("_gated", "(receiver_id = l.receiver_id)")}
    assert keys(nodes, "endpoints") == {
        ("_pkey", f"((tenant_id = {of}.tenant_id) AND (endpoint_id = {of}.receiver_id))") for of in ("r", "t")
    }
    facts = {table: keys(nodes, table) for table in ("jobs_", "events_", "messages_")}
    assert {index for found in facts.values() for index, _ in found} == {"_pkey"}
    for table, equal in {
        "jobs_": ("(tenant_id = t.tenant_id)", "(job_id = t.job_id)"),
        "events_": ("(job_id = t.job_id)", "(sequence = t.sequence)"),
        "messages_": ("(tenant_id = t.tenant_id)", "(message_id = t.job_id)"),
    }.items():
        assert [part for part in equal for _, condition in facts[table] if part not in condition] == []
    assert {index for index, _ in reads(next_due, "deliveries")} == {"_lane"}
    assert "-" not in {condition for _, condition in reads(next_due, "deliveries")}


@pytest.mark.parametrize("state", ["empty", "small", "bloated"])
async def test_of_receivers_that_are_held_back_only_their_own_lanes_are_looked_at(
    database_url: str, state: str
) -> None:
    async with outbox(database_url, state) as connection:
        nodes = await plan_of(connection, TAKE_GATED, f"(100, 25, '{{}}', '{{}}', 4, '{SMALLEST}')")
    conditions = {condition for index, condition in keys(nodes, "deliveries") if index == "_lane"}
    assert len(conditions) == 3
    assert all(condition.startswith(("((receiver_id = r.", "((receiver_id = o.")) for condition in conditions)
    others = {(index, condition) for index, condition in keys(nodes, "deliveries") if index != "_lane"}
    assert others == {BY_ITS_KEY, ("_of_job", "((job_id = d.job_id) AND (sequence < d.sequence))")}
    assert {index for index, _ in reads(nodes, "receivers")} == {"_gated", "_pkey"}


@pytest.mark.parametrize("state", ["empty", "small", "bloated"])
async def test_what_was_tried_is_settled_by_its_key_and_what_waited_for_it_by_that_of_its_job(
    database_url: str, state: str
) -> None:
    async with outbox(database_url, state) as connection:
        nodes = await plan_of(connection, SETTLE_IF_HELD, f"({', '.join(['null'] * 15)})")
    assert keys(nodes, "deliveries") == {
        ("_pkey", "((delivery_id >= t.delivery_id) AND (delivery_id <= t.delivery_id))"),
        ("_of_job", "((job_id >= s.job_id) AND (job_id <= s.job_id) AND (sequence > s.sequence))"),
    }
    assert {index for index, _ in reads(nodes, "receivers")} == {"_pkey"}
    assert {index for index, _ in reads(nodes, "replays")} == {"_pkey"}


async def test_a_plan_made_on_an_empty_outbox_takes_few_of_many(database_url: str) -> None:
    rooms = Rooms({}, others=3)
    async with outbox(database_url, "empty") as connection:
        assert await take_due(connection, limit=5, hold_seconds=25, rooms=rooms, after=SMALLEST, since=SMALLEST) == []
        job_id = new_job_id()
        await connection.execute(FILL_LEDGER, job_id)
        await connection.execute(EVENTS, job_id, ROWS)
        for _ in range(2):
            await connection.execute(FILL.replace("10,", "2,"), job_id, ROWS, uuid4())
        taken = await take_due(connection, limit=5, hold_seconds=25, rooms=rooms, after=SMALLEST, since=SMALLEST)
        lanes = [delivery.receiver_id for delivery in taken]
        assert sorted(lanes.count(lane) for lane in set(lanes)) == [2, 3]  # no more of each than there is room for
        held = await connection.fetchval("select count(*) from deliveries where due_at > now()")
    assert held == 5


async def test_of_jobs_before_the_given_one_the_same_is_taken_without_opening_their_days(database_url: str) -> None:
    """Only the facts of jobs of one day come with the deliveries, those of earlier jobs by a second statement."""
    now = datetime.now(UTC)
    old, recent, since = (smallest_id_at(now - timedelta(hours=hours)) for hours in (240, 1, 24))
    async with outbox(database_url, "empty") as connection:
        await ensure_partitions(connection, [(now - timedelta(days=days)).date() for days in range(2, 12)])
        for job_id in (old, recent):
            await connection.execute(FILL_LEDGER, job_id)
            await connection.execute(EVENTS, job_id, 1)
        taken = []
        for bound in (SMALLEST, since):
            for job_id in (old, recent):
                await connection.execute(FILL.replace("10,", "2,"), job_id, 1, uuid4())
            rooms = Rooms({}, others=3)
            due = await take_due(connection, limit=5, hold_seconds=25, rooms=rooms, after=SMALLEST, since=bound)
            taken.append({one.job_id: one for one in due})
        nodes = await plan_of(connection, TAKE_DUE, f"(100, 25, '{SMALLEST}', '{{}}', '{{}}', 4, '{since}')")
    assert set(taken[0]) == set(taken[1]) == {old, recent}
    for job_id in (old, recent):
        first, second = taken[0][job_id], taken[1][job_id]
        assert second.url == "http://receiver.example/"
        assert second.occurred_at is not None
        assert second == first._replace(delivery_id=second.delivery_id, receiver_id=second.receiver_id)
    days = {name[-8:] for node in nodes if re.search(r"_\d{8}$", name := str(node.get("Relation Name", "")))}
    assert days
    assert min(days) >= f"{now - timedelta(hours=24):%Y%m%d}"


async def test_a_delivery_deleted_before_its_facts_were_read_is_not_sent(database_url: str) -> None:
    old = smallest_id_at(datetime.now(UTC) - timedelta(days=1))
    async with outbox(database_url, "empty") as connection:
        await connection.execute(FILL_LEDGER, old)
        await connection.execute(EVENTS, old, 1)
        await connection.execute(FILL.replace("10,", "2,"), old, 1, uuid4())
        deleting = _Deleting(connection)
        rooms = Rooms({}, others=3)
        due = await take_due(
            cast("Connection", deleting), limit=5, hold_seconds=25, rooms=rooms, after=SMALLEST, since=LARGEST
        )
    assert deleting.statements == 2
    assert due == []


async def test_a_lane_that_is_full_here_is_passed_over_and_the_next_ones_come_first(database_url: str) -> None:
    first, second, third = sorted(uuid4() for _ in range(3))
    async with outbox(database_url, "empty") as connection:
        for lane in (first, second, third):
            await connection.execute(FILL.replace("10,", "2,"), uuid4(), 2, lane)

        async def lanes(rooms: Rooms, after: UUID) -> list[UUID]:
            taken = await take_due(connection, limit=2, hold_seconds=25, rooms=rooms, after=after, since=SMALLEST)
            return [delivery.receiver_id for delivery in taken]

        assert await lanes(Rooms({first: 0}, others=1), SMALLEST) == [second, third]
        assert await lanes(Rooms({}, others=0), SMALLEST) == []
        assert await lanes(Rooms({}, others=4), second) == [third]


async def test_a_receiver_under_a_limit_is_sent_no_more_than_it_allows_and_a_paused_one_nothing(
    database_url: str,
) -> None:
    limited, paused, opened = (uuid4() for _ in range(3))
    async with outbox(database_url, "empty") as connection:
        for lane in (limited, paused, opened):
            await connection.execute(FILL.replace("10,", "2,"), uuid4(), 5, lane)
        await connection.execute(GATES, limited, paused, opened)

        async def taken() -> list[UUID]:
            rooms = Rooms({}, others=9)
            due = await take_gated(connection, limit=100, hold_seconds=25, rooms=rooms, since=SMALLEST)
            return [delivery.receiver_id for delivery in due]

        assert sorted(await taken()) == sorted([limited, limited, opened])
        assert await taken() == []  # both have all they may have until something ends
        rooms = Rooms({}, others=9)
        assert await take_due(connection, limit=100, hold_seconds=25, rooms=rooms, after=SMALLEST, since=SMALLEST) == []
