"""Lists of deliveries show what each delivery is now, all that fit, and read little to find them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from duly.domain.ids import LARGEST, SMALLEST, new_job_id
from duly.store.postgres.database import Connection, Database
from duly.store.webhooks.delivery_lists import (
    ENOUGH_WALKED,
    PLANS,
    DeliveryFilter,
    DeliveryStatus,
    read_endpoint_page,
    read_job_page,
    view_delivery,
)
from duly.store.webhooks.replays import COLLECT_FAILED, FIND_OPEN_REPLAYS, RESEND_DELIVERY
from tests.support.filled_outbox import AGAIN, BUSY, EARLY, FAILS, QUIET, empty_outbox, fill_outbox
from tests.support.query_plans import explained, nodes_of, vacuum

pytestmark = pytest.mark.fresh_database

DELIVERIES = 12_000
TABLES = ("deliveries", "delivery_attempts", "jobs", "endpoints", "replays")
PENDING, DELIVERED, FAILED = DeliveryStatus


def wanted(*statuses: DeliveryStatus, **members: Any) -> DeliveryFilter:
    return DeliveryFilter(statuses=frozenset(statuses) or None, **members)


# Limit of 8 KB pages that each filter may read for a page of 50 deliveries: reading one takes about 15.
FILTERS: dict[str, tuple[DeliveryFilter, int]] = {
    "none": (wanted(), 1_500),
    "pending": (wanted(PENDING), 1_500),
    "delivered": (wanted(DELIVERED), 1_500),
    "pending or delivered": (wanted(PENDING, DELIVERED), 1_500),
    "failed": (wanted(FAILED), 2_500),
    "pending or failed": (wanted(PENDING, FAILED), 2_500),
    "of one event": (wanted(kinds=[11]), 2_500),
}


class Recorder:
    """A connection that remembers what it was asked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.asked.append((statement, arguments))
        return await self._connection.fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> Any:
        self.asked.append((statement, arguments))
        return await self._connection.fetchrow(statement, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def plans(self) -> list[dict[str, Any]]:
        return [await plan_of(self._connection, statement, *arguments) for statement, arguments in self.asked]


async def plan_of(connection: Connection, statement: str, *arguments: Any) -> dict[str, Any]:
    """Returns the plan of a statement with its reads; its writes are rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(PLANS)
        return await explained(connection, statement, *arguments, analyze=True)
    finally:
        await transaction.rollback()


def read(plans: list[dict[str, Any]]) -> int:
    """Pages in all."""
    return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


def scans(plans: list[dict[str, Any]]) -> list[str]:
    """Yields the scans of a table without an index condition."""
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for plan in plans
        for node in nodes_of(plan)
        if str(node.get("Relation Name", "")).startswith(TABLES)
        and "Scan" in node["Node Type"]
        and "Index Cond" not in node
    ]


@asynccontextmanager
async def outbox(url: str, *, deliveries: int) -> AsyncIterator[Connection]:
    database = Database(url)
    try:
        async with database.connection() as connection:
            if deliveries:
                await fill_outbox(connection, deliveries=deliveries)
            yield connection
            await empty_outbox(connection)
    finally:
        await database.close()


async def pages(connection: Connection, endpoint_id: UUID, filter_: DeliveryFilter, *, limit: int) -> list[Any]:
    """All that the pages show, one after the other."""
    shown: list[Any] = []
    while True:
        page = await read_endpoint_page(connection, 1, endpoint_id, filter_, limit=limit)
        assert len(page.deliveries) <= limit
        shown += page.deliveries
        if page.next is None:
            return shown
        filter_ = filter_._replace(before=page.next)


NOW = """
select delivery_id, kind, case when waits then 'pending' when n % $2 = 1 then 'delivered' when n % $3 = 2 then 'failed'
       else 'delivered' end as status
from told where receiver_id = $1 order by delivery_id desc
"""


@pytest.mark.parametrize("limit", [7, 200])
async def test_every_filter_shows_what_looking_at_each_delivery_would(database_url: str, limit: int) -> None:
    some = 2_000
    async with outbox(database_url, deliveries=some) as connection:
        # One that had failed and is sent again is pending, and none of the failed.
        (again,) = await connection.fetch("select * from told where n % $1 = 2 and not waits limit 1", FAILS)
        await connection.execute(
            "insert into deliveries (tenant_id, delivery_id, job_id, sequence, kind, receiver_id, registered) "
            "values (1, $1, $2, 2, $3, $4, true)",
            *(again["delivery_id"], again["job_id"], again["kind"], again["receiver_id"]),
        )
        for endpoint_id in (BUSY, QUIET, EARLY):
            rows = [dict(row) for row in await connection.fetch(NOW, endpoint_id, AGAIN, FAILS)]
            for row in rows:
                row["status"] = "pending" if row["delivery_id"] == again["delivery_id"] else row["status"]
            middle = rows[len(rows) // 2]["delivery_id"]
            for filter_, _ in FILTERS.values():
                for bounded in (filter_, filter_._replace(since=middle), filter_._replace(before=middle)):
                    expected = [row for row in rows if fits(row, bounded)]
                    shown = await pages(connection, endpoint_id, bounded, limit=limit)
                    assert [view.delivery_id for view in shown] == [row["delivery_id"] for row in expected], bounded
                    assert [view.status for view in shown] == [row["status"] for row in expected]


def fits(row: dict[str, Any], filter_: DeliveryFilter) -> bool:
    return (
        (filter_.statuses is None or row["status"] in filter_.statuses)
        and (filter_.kinds is None or row["kind"] in filter_.kinds)
        and filter_.since <= row["delivery_id"] < filter_.before
    )


@pytest.mark.parametrize("deliveries", [0, DELIVERIES])
async def test_no_list_reads_a_table_in_full_and_each_reads_little(database_url: str, deliveries: int) -> None:
    async with outbox(database_url, deliveries=deliveries) as connection:
        for name, (filter_, allowed) in FILTERS.items():
            recorder: Any = Recorder(connection)
            page = await read_endpoint_page(recorder, 1, BUSY, filter_, limit=50)
            assert (len(page.deliveries) > 0) is (deliveries > 0), name
            plans = await recorder.plans()
            assert scans(plans) == [], name
            assert read(plans) <= allowed, name


async def test_for_one_that_was_told_nothing_of_late_what_the_others_were_told_is_not_read(database_url: str) -> None:
    async with outbox(database_url, deliveries=DELIVERIES) as connection:
        for name in ("none", "delivered"):
            recorder: Any = Recorder(connection)
            page = await read_endpoint_page(recorder, 1, EARLY, FILTERS[name][0], limit=50)
            assert len(page.deliveries) == 50
            assert read(await recorder.plans()) <= FILTERS[name][1], name


async def test_a_page_far_back_reads_no_more_than_the_first(database_url: str) -> None:
    async with outbox(database_url, deliveries=DELIVERIES) as connection:
        oldest = await connection.fetchval("select delivery_id from told where n = $1", DELIVERIES // 3)
        for name in ("none", "delivered", "failed"):
            first: Any = Recorder(connection)
            late: Any = Recorder(connection)
            await read_endpoint_page(first, 1, BUSY, FILTERS[name][0], limit=5)
            page = await read_endpoint_page(late, 1, BUSY, FILTERS[name][0]._replace(before=oldest), limit=5)
            assert page.deliveries, name
            # The first one looks at what waits as well.
            assert read(await late.plans()) <= read(await first.plans()) + 100, name


async def test_a_full_page_of_a_past_four_times_as_long_reads_no_more(database_url: str) -> None:
    costs: dict[str, list[int]] = {name: [] for name in FILTERS}
    for deliveries in (DELIVERIES, 4 * DELIVERIES):
        async with outbox(database_url, deliveries=deliveries) as connection:
            for name, (filter_, _) in FILTERS.items():
                recorder: Any = Recorder(connection)
                if len((await read_endpoint_page(recorder, 1, BUSY, filter_, limit=50)).deliveries) == 50:
                    costs[name].append(read(await recorder.plans()))
    both = {name: counts for name, counts in costs.items() if len(counts) == 2}
    assert len(both) >= 5
    assert {name: counts for name, counts in both.items() if counts[1] > 1.3 * counts[0] + 200} == {}


async def test_that_nothing_failed_is_found_out_without_a_look_at_what_was_delivered(database_url: str) -> None:
    async with outbox(database_url, deliveries=DELIVERIES) as connection:
        await connection.execute("delete from delivery_attempts where outcome = 3")
        await vacuum(connection, "delivery_attempts")
        recorder: Any = Recorder(connection)
        page = await read_endpoint_page(recorder, 1, BUSY, wanted(FAILED), limit=50)
        assert (page.deliveries, page.next) == ([], None)
        assert read(await recorder.plans()) < 100
        collected = await plan_of(connection, COLLECT_FAILED, 1, new_job_id(), BUSY, SMALLEST, LARGEST, 500)
        assert read([collected]) < 100


async def test_a_filter_that_finds_nothing_stops_and_says_where_to_go_on(database_url: str) -> None:
    async with outbox(database_url, deliveries=DELIVERIES) as connection:
        page = await read_endpoint_page(connection, 1, BUSY, wanted(kinds=[1]), limit=50)
        assert page.deliveries == []
        assert page.next is not None
        walked = await connection.fetchval(
            "select count(*) from told where receiver_id = $1 and delivery_id >= $2", BUSY, page.next
        )
        assert ENOUGH_WALKED * 0.9 < walked <= ENOUGH_WALKED
        assert await pages(connection, BUSY, wanted(kinds=[1]), limit=50) == []


@pytest.mark.parametrize("deliveries", [0, DELIVERIES])
async def test_one_delivery_and_those_of_one_job_are_found_by_their_keys(database_url: str, deliveries: int) -> None:
    async with outbox(database_url, deliveries=deliveries) as connection:
        recorder: Any = Recorder(connection)
        told = await connection.fetchrow("select * from told where n = 77") if deliveries else None
        delivery_id, job_id = (told["delivery_id"], told["job_id"]) if told else (new_job_id(), new_job_id())
        view = await view_delivery(recorder, 1, delivery_id)
        page = await read_job_page(recorder, 1, job_id, limit=50)
        assert page.deliveries == ([view] if view else [])
        assert (view is not None) is (deliveries > 0)
        plans = await recorder.plans()
        plans.append(await plan_of(connection, RESEND_DELIVERY, 1, delivery_id))
        plans.append(await plan_of(connection, FIND_OPEN_REPLAYS.replace("$1", "10").replace("$2", "'{}'::uuid[]")))
        assert [scan for scan in scans(plans) if not scan.endswith("replays")] == []
        assert read(plans) < 400


async def test_what_failed_is_collected_by_an_index_and_no_more_of_it_is_read_than_goes_again(
    database_url: str,
) -> None:
    async with outbox(database_url, deliveries=DELIVERIES) as connection:
        few, many = [
            await plan_of(connection, COLLECT_FAILED, 1, new_job_id(), BUSY, SMALLEST, LARGEST, limit)
            for limit in (2, 100)
        ]
        assert scans([few, many]) == []
        assert read([few]) < 200 + read([many]) / 4
