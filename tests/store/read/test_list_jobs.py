"""Lists return exactly the jobs that match a filter, and read few pages to find them."""

import json
import random
from collections.abc import AsyncIterator, ItemsView, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from duly.domain.events import PLACING_NOTHING, Event, EventKind, Status, fold
from duly.store.postgres.database import Connection, Database
from duly.store.read.access_paths import KINDS, PLACED_ONLY, PLANS, ListFilter, arguments, find_statement
from duly.store.read.list_jobs import view_page
from duly.store.read.queue_stats import read_queues
from duly.store.read.run_times import run_times
from tests.support.filled_ledger import fill
from tests.support.query_plans import explained

pytestmark = pytest.mark.fresh_database

JOBS, DAYS = 12_000, 5
SHOWN = {"redriven": "completed", "ready": "pending", "scheduled": "pending", "blocked": "pending"}
TABLES = ("jobs", "events", "ready", "scheduled", "blocked", "running")
EU, ONE_CUSTOMER = '{"region":"eu"}', '{"customer":"c-3"}'
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BATCH = UUID("00000000-0000-7000-8000-000000000007")
PARENT = UUID("00000000-0000-7000-8000-000000000001")

# Limit of 8 KB pages that each filter may read for a page of 50 jobs: reading the 50 themselves takes about 1,000.
FILTERS: dict[str, tuple[ListFilter, int]] = {
    "none": (ListFilter(), 1_500),
    "a common type": (ListFilter(types=["echo"]), 1_500),
    "a rare type": (ListFilter(types=["rare"]), 800),
    "a type that does not exist": (ListFilter(types=["none"]), 100),
    "a common queue": (ListFilter(queues=["bulk"]), 1_500),
    "the default queue": (ListFilter(queues=["default"]), 2_500),
    "a rare queue": (ListFilter(queues=["quiet"]), 1_500),
    "completed": (ListFilter(statuses=[Status.COMPLETED]), 2_500),
    "failed": (ListFilter(statuses=[Status.FAILED]), 2_500),
    "cancelled": (ListFilter(statuses=[Status.CANCELLED]), 2_500),
    "pending": (ListFilter(statuses=[Status.PENDING]), 1_500),
    "running": (ListFilter(statuses=[Status.RUNNING]), 1_500),
    "unfinished": (ListFilter(statuses=[Status.PENDING, Status.RUNNING]), 1_500),
    "running or failed": (ListFilter(statuses=[Status.RUNNING, Status.FAILED]), 2_500),
    "pending of a common type": (ListFilter(statuses=[Status.PENDING], types=["mail"]), 1_500),
    "pending of a rare type": (ListFilter(statuses=[Status.PENDING], types=["rare"]), 800),
    "failed of a rare type": (ListFilter(statuses=[Status.FAILED], types=["rare"]), 800),
    "failed of a common type": (ListFilter(statuses=[Status.FAILED], types=["echo"]), 3_000),
    "a type in a queue": (ListFilter(types=["mail"], queues=["vip"]), 3_000),
    "a common label": (ListFilter(labels=[EU]), 4_000),
    "a rare label": (ListFilter(labels=[ONE_CUSTOMER]), 16_000),
    "a label that does not exist": (ListFilter(labels=['{"none":"x"}']), 16_000),
    "a rare label of a type": (ListFilter(labels=[ONE_CUSTOMER], types=["mail"]), 16_000),
    "created lately": (ListFilter(created_since=MIDNIGHT - timedelta(minutes=20)), 1_500),
    "created before a time": (ListFilter(created_before=MIDNIGHT - timedelta(days=2)), 1_500),
    "created within an hour": (
        ListFilter(created_since=MIDNIGHT - timedelta(hours=30), created_before=MIDNIGHT - timedelta(hours=29)),
        1_500,
    ),
    "created lately, failed, of a type": (
        ListFilter(created_since=MIDNIGHT - timedelta(hours=2), statuses=[Status.FAILED], types=["echo"]),
        2_000,
    ),
    "a batch": (ListFilter(batches=[BATCH]), 1_500),
    "the children of a job": (ListFilter(parents=[PARENT]), 1_500),
    "failed children": (ListFilter(parents=[PARENT], statuses=[Status.FAILED]), 3_000),
    "failed in a batch": (ListFilter(batches=[BATCH], statuses=[Status.FAILED]), 3_000),
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
        """Returns the plan of each statement with its reads."""
        async with self._connection.transaction():
            await self._connection.execute(PLANS)
            return [
                await explained(self._connection, statement, *arguments, analyze=True)
                for statement, arguments in self.asked
            ]


def _nodes(
    plan: dict[str, Any], above: dict[str, Any] | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every node, with the one above it."""
    yield plan, above or {}
    for below in plan.get("Plans", ()):
        yield from _nodes(below, plan)


def _read(plans: Sequence[dict[str, Any]]) -> int:
    """Pages in all."""
    return sum(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)


def _scans(plans: Sequence[dict[str, Any]]) -> list[str]:
    """Yields the scans of a whole table: sequential, or by an index without a condition for more than one row."""
    return [
        f"{node['Node Type']} on {node['Relation Name']}"
        for plan in plans
        for node, above in _nodes(plan)
        if str(node.get("Relation Name", "")).startswith(TABLES) and _reads_all(node, above)
    ]


def _reads_all(node: dict[str, Any], above: dict[str, Any]) -> bool:
    if node["Node Type"] == "Seq Scan":
        return True
    one = above.get("Node Type") == "Limit" and above["Plan Rows"] == 1
    return node["Node Type"].startswith("Index") and "Index Cond" not in node and not one


@asynccontextmanager
async def ledger(url: str, *, jobs: int, days: int = DAYS) -> AsyncIterator[Connection]:
    database = Database(url)
    try:
        async with database.connection() as connection:
            if jobs:
                await fill(connection, jobs=jobs, days=days, before=MIDNIGHT)
            yield connection
    finally:
        await database.close()


def test_a_status_follows_from_the_newest_event_as_folding_tells() -> None:
    assert sorted(kind for kinds in KINDS.values() for kind in kinds) == sorted(set(EventKind) - PLACING_NOTHING)
    for status, kinds in KINDS.items():
        for kind in kinds:
            before = [EventKind.SUBMITTED, EventKind.STARTED][: min(abs(kind), 2)]
            assert fold(_event(sequence, each) for sequence, each in enumerate([*before, kind])).status is status


def _event(sequence: int, kind: EventKind) -> Event:
    return Event(1, UUID(int=1), sequence, kind, 1, datetime(2026, 1, 1), "", None)  # noqa: DTZ001  # no time is looked at


async def test_every_filter_shows_what_looking_at_each_job_would(database_url: str) -> None:
    drawn = random.Random(4)  # noqa: S311  # the same filters each time
    async with ledger(database_url, jobs=JOBS) as connection:
        await connection.execute(OTHER_TIMES)
        rows = await connection.fetch("select m.*, parent_id from made m join jobs using (job_id) order by job_id desc")
        made = [{**row, "labels": json.loads(row["labels"] or "{}")} for row in rows]
        for job in made:
            job["status"] = SHOWN.get(job["status"], job["status"])
        named = [wanted for wanted, _ in FILTERS.values()]
        for wanted in [*named, *(_drawn_filter(drawn, made) for _ in range(120))]:
            expected = _fitting(made, wanted)
            shown, all_of_them = await _all_pages(connection, wanted, limit=drawn.choice([1, 20, 200]), most=15)
            assert shown == list(expected if all_of_them else islice(expected, len(shown))), wanted


# Ids that clients created early or late, and those of children, which contain the time of their parents.
OTHER_TIMES = """
update made set at = at + (array[-24, -2, 2, 24, 70])[n % 5 + 1] * interval '1 hour' where n % 37 = 0;
update jobs j set created_at = m.at, digest = case when m.n % 5 < 4 then '\\x00'::bytea end,
                  parent_id = case when m.n % 5 = 4 then '00000000-0000-7000-8000-000000000001'::uuid end
from made m where m.n % 37 = 0 and j.job_id = m.job_id
"""


def _drawn_filter(drawn: random.Random, made: list[dict[str, Any]]) -> ListFilter:
    def some(share: float, *values: Any) -> list[Any] | None:
        return drawn.sample(values, drawn.choice([1, 1, 2])) if drawn.random() < share else None

    wanted = ListFilter(
        statuses=some(0.5, *Status),
        types=some(0.4, "rare", "report", "mail", "echo", "none"),
        queues=some(0.3, "quiet", "vip", "bulk", "default"),
        labels=some(0.3, '{"region":"us"}', '{"region":"eu","customer":"c-7"}', '{"customer":"c-3","region":"eu"}'),
        batches=some(0.2, *sorted({job["batch_id"] for job in made if job["batch_id"]})),
    )
    if drawn.random() < 0.2:
        moment = drawn.choice(made)["at"]
        wanted = wanted._replace(created_since=moment)
    if drawn.random() < 0.2:
        moment = drawn.choice(made)["at"]
        wanted = wanted._replace(created_before=moment)
    return wanted


def _fitting(made: list[dict[str, Any]], wanted: ListFilter) -> Iterator[UUID]:
    labels = [json.loads(one).items() for one in wanted.labels or ()]
    return (job["job_id"] for job in made if _fits(job, wanted, labels))


def _fits(job: dict[str, Any], wanted: ListFilter, labels: Sequence[ItemsView[str, str]]) -> bool:
    return (
        (wanted.statuses is None or job["status"] in wanted.statuses)
        and (wanted.types is None or job["type"] in wanted.types)
        and (wanted.queues is None or job["queue"] in wanted.queues)
        and (wanted.labels is None or any(one <= job["labels"].items() for one in labels))
        and (wanted.batches is None or job["batch_id"] in wanted.batches)
        and (wanted.parents is None or job["parent_id"] in wanted.parents)
        and (wanted.created_since is None or job["at"] >= wanted.created_since)
        and (wanted.created_before is None or job["at"] < wanted.created_before)
    )


async def _all_pages(
    connection: Connection, wanted: ListFilter, *, limit: int, most: int = 1_000
) -> tuple[list[UUID], bool]:
    """Returns the jobs of up to `most` pages, and whether these are all."""
    shown: list[UUID] = []
    for _ in range(most):
        page = await view_page(connection, 1, wanted, limit=limit)
        assert {view.status for view in page.views} <= set(wanted.statuses or Status)
        shown += [view.job_id for view in page.views]
        if page.next is None:
            return shown, True
        wanted = wanted._replace(before=page.next)
    return shown, False


async def test_no_filter_reads_a_table_in_full_and_each_reads_little(database_url: str) -> None:
    async with ledger(database_url, jobs=JOBS) as connection:
        for name, (wanted, allowed) in FILTERS.items():
            recorder: Any = Recorder(connection)
            page = await view_page(recorder, 1, wanted, limit=50)
            plans = await recorder.plans()
            assert _scans(plans) == [], name
            assert _read(plans) <= allowed, (name, len(page.views))


@pytest.mark.parametrize("jobs", [0, JOBS])
async def test_ids_of_another_time_are_read_from_their_own_index(database_url: str, jobs: int) -> None:
    """Checks that a list does not read the range of all possible ids, which is most of the ledger."""
    lately = ListFilter(created_since=MIDNIGHT - timedelta(minutes=20))
    async with ledger(database_url, jobs=jobs) as connection:
        if jobs:
            await connection.execute(OTHER_TIMES)
        async with connection.transaction():
            await connection.execute(PLANS)
            given = arguments(1, lately, most=50, limit=50)
            plan = await explained(connection, find_statement(lately, PLACED_ONLY), *given)
    scans = [node for node, _ in _nodes(plan) if str(node.get("Relation Name", "")).startswith("jobs")]
    assert scans
    assert {node["Index Name"].split("_", 2)[2] for node in scans} == {"tenant_id_created_at_job_id_idx"}


async def test_an_empty_ledger_is_not_read_in_full_either(database_url: str) -> None:
    """Plans made while a table is small must not be those that are bad once it is not."""
    async with ledger(database_url, jobs=0) as connection:
        for name, (wanted, _) in FILTERS.items():
            recorder: Any = Recorder(connection)
            assert (await view_page(recorder, 1, wanted, limit=50)).views == []
            assert _scans(await recorder.plans()) == [], name


async def test_a_full_page_of_a_ledger_four_times_as_long_reads_no_more(database_url: str) -> None:
    read: dict[str, list[int]] = {name: [] for name in FILTERS}
    async with ledger(database_url, jobs=0) as connection:
        for jobs in (JOBS, 4 * JOBS):
            await connection.execute("truncate jobs, events, ready, scheduled, blocked, running, batches, dependencies")
            await fill(connection, jobs=jobs, days=DAYS, before=MIDNIGHT)
            for name, (wanted, _) in FILTERS.items():
                recorder: Any = Recorder(connection)
                if len((await view_page(recorder, 1, wanted, limit=50)).views) == 50:
                    read[name].append(_read(await recorder.plans()))
    both = {name: counts for name, counts in read.items() if len(counts) == 2}
    assert len(both) >= 12
    assert {name: counts for name, counts in both.items() if counts[1] > 1.3 * counts[0] + 200} == {}


# Rows of jobs whose transactions were rolled back, with newer ids than all committed ones.
DEAD = (
    """
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
    select 1, gen_random_uuid(), 0, 0, 60, 0, 0, 0, 0, queue, type from generate_series(1, $1),
           (select distinct queue, type from ready where type = 'rare' or queue = 'default') lanes
    """,
    """
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, queue, type)
    select 1, gen_random_uuid(), gen_random_uuid(), now(), 0, 0, 60, 0, 0, 0, 0, 'default', 'echo'
    from generate_series(1, $1)
    """,
)


GONE = ("delete from ready where timeout_seconds = 60", "delete from running where timeout_seconds = 60")


async def test_dead_rows_of_the_small_tables_are_passed_over_once(database_url: str) -> None:
    """Checks lists while a snapshot keeps claimed and finished jobs in the indexes."""
    holder = await asyncpg.connect(database_url)
    try:
        async with ledger(database_url, jobs=JOBS) as connection, holder.transaction(isolation="repeatable_read"):
            await holder.execute("select 1 from jobs")
            before = await _pages_read(connection)
            for statement in DEAD:
                await connection.execute(statement, 1_000)
            dead = sum([int((await connection.execute(statement)).split()[-1]) for statement in GONE])
            after = await _pages_read(connection)
    finally:
        await holder.close()
    assert dead > 3_000
    for (name, least), (_, most) in zip(before, after, strict=True):
        assert least < most <= least + 2 * dead, name


async def _pages_read(connection: Connection) -> list[tuple[str, int]]:
    found = []
    for name in ("pending", "running", "unfinished", "pending of a rare type"):
        recorder: Any = Recorder(connection)
        await view_page(recorder, 1, FILTERS[name][0], limit=50)
        plans = await recorder.plans()
        assert _scans(plans) == [], name
        found.append((name, _read(plans)))
    return found


@pytest.mark.parametrize("jobs", [0, JOBS])
async def test_the_figures_of_queues_and_types_are_read_by_keys(database_url: str, jobs: int) -> None:
    async with ledger(database_url, jobs=jobs) as connection:
        recorder: Any = Recorder(connection)
        await read_queues(recorder, 1)
        for job_type in ("echo", "rare", "none"):
            times = (await run_times(recorder, 1, [job_type]))[job_type]
            assert times == pytest.approx([0.05] * len(times))
            assert (len(times) > 0) is (jobs > 0 and job_type != "none")
        plans = await recorder.plans()
    assert [scan for scan in _scans(plans) if not scan.endswith(("ready", "scheduled", "blocked", "running"))] == []


async def test_pages_follow_each_other_whatever_the_limit_and_show_each_job_once(database_url: str) -> None:
    async with ledger(database_url, jobs=600, days=2) as connection:
        wanted = ListFilter(statuses=[Status.FAILED, Status.COMPLETED])
        ids = [(await _all_pages(connection, wanted, limit=limit))[0] for limit in (1, 7, 200)]
        expected = await connection.fetch(
            "select job_id from made where status in ('failed', 'completed', 'redriven') order by job_id desc"
        )
        redriven = await connection.fetchval("select count(*) from made where status = 'redriven'")
    assert redriven > 0
    assert ids == [[row[0] for row in expected]] * 3
