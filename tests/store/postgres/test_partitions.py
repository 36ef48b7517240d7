"""The ledger's days: made ahead of time, and dropped whole once nothing in them is unfinished."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import pytest

from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, smallest_id_at
from duly.domain.job import ClaimedJob, Finish, Lane, NewJob
from duly.store.ledger.retention import HAS_RECENT_ENDS, any_expired, drop_expired
from duly.store.ledger.retention_holds import IS_HELD, Hold, add_hold, delete_hold
from duly.store.postgres.database import Connection, Database
from duly.store.postgres.partitions import DAYS_AHEAD, PARTITIONED, _make, ensure_partitions
from duly.store.queue.ready import LaneStart, claim_ready
from duly.store.queue.running import finish_if_held
from duly.store.queue.scheduled import release_due
from duly.store.schema.migrations import migrate
from duly.store.submit.jobs import record_jobs
from tests.support.query_plans import explained, nodes_of
from tests.support.service import eventually

CALLBACK = "http://receiver.example/"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def today(connection: Connection) -> date:
    day: date = await connection.fetchval("select (now() at time zone 'utc')::date")
    return day


async def names(connection: Connection) -> set[str]:
    rows = await connection.fetch("select relname from pg_class where relispartition and relkind = 'r'")
    return {row[0] for row in rows}


def of_day(day: date) -> list[str]:
    return [f"{table}_{day:%Y%m%d}" for table in PARTITIONED]


def needed_on(day: date) -> list[str]:
    """Returns the partitions that there must be on a day."""
    return [name for ahead in range(-1, DAYS_AHEAD + 1) for name in of_day(day + timedelta(days=ahead))]


async def make_day(connection: Connection, *, days_ago: int) -> date:
    day = await today(connection) - timedelta(days=days_ago)
    for table in PARTITIONED:
        await _make(connection, table, day)
    return day


def id_on(day: date) -> UUID:
    """A job id of that day's noon."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return UUID(int=smallest_id_at(noon).int | uuid4().int >> 80)


async def start(connection: Connection) -> ClaimedJob:
    lanes = [LaneStart(Lane(1, "default", "echo", 0), SMALLEST)]
    return (await claim_ready(connection, lanes, limit=1, node_id=uuid4(), source="worker:test", version=1))[0]


async def finish(connection: Connection, job: ClaimedJob, kind: EventKind, *, delay_seconds: float = 0) -> None:
    end = Finish(job.job_id, job.token, kind, "null", delay_seconds)
    assert len(await finish_if_held(connection, [end], source="worker:test", cancelled_error="{}")) == 1


async def age_ends(connection: Connection, day: date, *, days: int) -> None:
    """Moves what ended on the ids of this day into the past."""
    bounds = smallest_id_at(datetime(day.year, day.month, day.day, tzinfo=UTC)), id_on(day + timedelta(days=1))
    statement = """
    update events set occurred_at = occurred_at - $1 * interval '1 day'
    where kind >= 10 and job_id >= $2 and job_id < $3
    """
    await connection.execute(statement, days, *bounds)


async def test_a_fresh_database_has_the_days_it_needs(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await migrate(database)
    async with database.connection() as connection:
        day = await today(connection)
        expected = needed_on(day)
        assert await names(connection) == set(expected)
        assert await ensure_partitions(connection) == []
        await connection.execute(f"drop table {expected[-1]}")
        assert await ensure_partitions(connection) == [expected[-1]]
    await database.close()


async def test_several_nodes_may_make_them_at_once(database: Database) -> None:
    async with database.connection() as connection:
        for name in await names(connection):
            await connection.execute(f"drop table {name}")
        day = await today(connection)

    async def ensure() -> list[str]:
        async with database.connection() as connection:
            return await ensure_partitions(connection)

    made = await asyncio.gather(*(ensure() for _ in range(4)))
    assert sorted(name for names_made in made for name in names_made) == sorted(needed_on(day))


async def test_a_day_is_dropped_once_it_is_older_than_the_retention(database: Database) -> None:
    async with database.connection() as connection:
        kept, expired = await make_day(connection, days_ago=30), await make_day(connection, days_ago=31)
        assert await any_expired(connection, retention_days=30)
        assert sorted(await drop_expired(connection, retention_days=30)) == sorted(of_day(expired))
        left = await names(connection)
        assert set(of_day(kept)) <= left
        assert not set(of_day(expired)) & left
        assert await drop_expired(connection, retention_days=30) == []
        assert not await any_expired(connection, retention_days=30)
        assert await connection.fetchval("select current_setting('lock_timeout')") == "0"


async def test_a_day_stays_while_a_job_in_it_is_unfinished_or_a_webhook_unsent(database: Database) -> None:
    async with database.connection() as connection:
        day = await make_day(connection, days_ago=40)

        async def dropped() -> list[str]:
            return await drop_expired(connection, retention_days=30)

        job = NewJob(1, id_on(day), "echo", "default", 0, "{}", 60.0, 5, callback_url=CALLBACK, callback_events=8)
        await record_jobs(connection, [job])
        assert await dropped() == []  # it is ready
        claimed = await start(connection)
        assert await dropped() == []  # it runs
        await finish(connection, claimed, EventKind.RETRY_SCHEDULED, delay_seconds=1000)
        assert await dropped() == []  # it waits for its next attempt
        await connection.execute("update scheduled set run_at = now()")
        await release_due(connection, limit=10)
        await finish(connection, await start(connection), EventKind.COMPLETED)
        assert await dropped() == []  # its webhook waits
        await connection.execute("delete from deliveries")
        assert await dropped() == []  # it ended just now
        await age_ends(connection, day, days=31)
        assert sorted(await dropped()) == sorted(of_day(day))
        assert await connection.fetchval("select count(*) from jobs") == 0
        assert await connection.fetchval("select count(*) from events") == 0


@pytest.mark.parametrize("end", [EventKind.COMPLETED, EventKind.FAILED, EventKind.CANCELLED])
async def test_a_job_is_kept_for_the_retention_after_its_end_however_old_its_id_is(
    database: Database, end: EventKind
) -> None:
    async with database.connection() as connection:
        day = await make_day(connection, days_ago=400)
        jobs = [NewJob(1, id_on(day), "echo", "default", 0, "{}", 60.0, 5) for _ in range(2)]
        await record_jobs(connection, jobs)
        await finish(connection, await start(connection), EventKind.COMPLETED)
        await age_ends(connection, day, days=399)
        await finish(connection, await start(connection), end)
        await age_ends(connection, day, days=29)
        assert await drop_expired(connection, retention_days=30) == []
        assert await connection.fetchval("select count(*) from jobs") == len(jobs)
        await age_ends(connection, day, days=2)
        assert sorted(await drop_expired(connection, retention_days=30)) == sorted(of_day(day))


async def test_a_late_end_is_found_wherever_it_stands_in_its_table(database: Database) -> None:
    """Vacuum may have left room among older rows for a later one."""
    async with database.connection() as connection:
        day = await make_day(connection, days_ago=40)
        statement = """
        insert into events (job_id, tenant_id, sequence, occurred_at, kind, attempt, source, data)
        select $1, 1, n, now() - case n when 1 then 1 else 35 end * interval '1 day', 10, 1, 'test',
               to_json(repeat('x', 900))
        from generate_series(1, 6000) n
        """
        await connection.execute(statement, id_on(day))
        plan = await explained(connection, HAS_RECENT_ENDS.format(events=f"events_{day:%Y%m%d}"), 30, "(500,0)")
        assert [node["Node Type"] for node in nodes_of(plan)] == ["Result", "Tid Range Scan"]
        assert await drop_expired(connection, retention_days=30) == []
        assert await drop_expired(connection, retention_days=1) != []


async def test_the_neighbouring_day_is_not_kept_by_it(database: Database) -> None:
    async with database.connection() as connection:
        before, used, after = [await make_day(connection, days_ago=days) for days in (42, 41, 40)]
        await record_jobs(connection, [NewJob(1, id_on(used), "echo", "default", 0, "{}", 60.0, 5)])
        dropped = await drop_expired(connection, retention_days=30)
        assert sorted(dropped) == sorted([*of_day(before), *of_day(after)])


async def test_one_node_at_a_time_drops(database: Database) -> None:
    async with database.connection() as first, database.connection() as second:
        day = await make_day(first, days_ago=40)
        await first.execute("select pg_advisory_lock(7305808870034470002)")
        assert await drop_expired(second, retention_days=30) == []
        await first.execute("select pg_advisory_unlock(7305808870034470002)")
        assert sorted(await drop_expired(second, retention_days=30)) == sorted(of_day(day))


async def detached_in_part(connection: Connection) -> list[str]:
    """Returns the partitions whose detach has begun."""
    rows = await connection.fetch("select inhrelid::regclass::text from pg_inherits where inhdetachpending")
    return [row[0] for row in rows]


async def test_a_detach_that_was_cut_short_is_completed(database: Database) -> None:
    """Checks that the next round completes a detach that a reader's transaction blocked and whose caller left."""
    async with database.connection() as first, database.connection() as reader:
        day = await make_day(first, days_ago=40)
        name = of_day(day)[0]
        async with reader.transaction():
            await reader.fetch("select count(*) from jobs")
            detaching = asyncio.create_task(first.execute(f"alter table jobs detach partition {name} concurrently"))
            assert await eventually(partial(detached_in_part, reader)) == [name]
            await reader.execute("select pg_cancel_backend($1)", first.get_server_pid())
            with pytest.raises(asyncpg.QueryCanceledError):
                await detaching
        assert await detached_in_part(first) == [name]
        assert sorted(await drop_expired(first, retention_days=30)) == sorted(of_day(day))


async def test_a_held_day_is_kept_until_its_hold_is_released(database: Database) -> None:
    async with database.connection() as connection:
        before, held, after = [await make_day(connection, days_ago=days) for days in (42, 41, 40)]
        assert await add_hold(connection, Hold("case 7", "lawsuit", None, held, held), created_by="test")
        assert not await add_hold(connection, Hold("case 7", "another"), created_by="test")
        dropped = await drop_expired(connection, retention_days=30)
        assert sorted(dropped) == sorted([*of_day(before), *of_day(after)])
        assert await delete_hold(connection, "case 7")
        assert sorted(await drop_expired(connection, retention_days=30)) == sorted(of_day(held))


async def test_a_hold_of_a_tenant_keeps_the_days_that_have_its_jobs(database: Database) -> None:
    async with database.connection() as connection:
        theirs, others = [await make_day(connection, days_ago=days) for days in (41, 40)]
        for tenant_id, day in ((2, theirs), (3, others)):
            await record_jobs(connection, [NewJob(tenant_id, id_on(day), "echo", "default", 0, "{}", 60.0, 5)])
        await connection.execute("delete from ready; delete from jobs where tenant_id = 3")
        assert await add_hold(connection, Hold("customer", "lawsuit", 2), created_by="test")
        assert sorted(await drop_expired(connection, retention_days=30)) == sorted(of_day(others))
        async with connection.transaction():  # tables as small as these are read as a whole otherwise
            await connection.execute("set local enable_seqscan = off; set local enable_bitmapscan = off")
            plan = await explained(connection, IS_HELD, theirs, id_on(theirs), id_on(others))
        scans = {node["Node Type"] for node in nodes_of(plan) if node.get("Relation Name", "").startswith("jobs_")}
        assert scans
        assert scans <= {"Index Scan", "Index Only Scan"}
        await connection.execute("delete from jobs")


@pytest.mark.parametrize(("first", "last", "kept"), [(None, 41, 2), (41, None, 2), (None, None, 3), (41, 41, 1)])
async def test_a_hold_without_a_first_or_last_day_has_no_limit_there(
    database: Database, first: int | None, last: int | None, kept: int
) -> None:
    async with database.connection() as connection:
        for days in (42, 41, 40):
            await make_day(connection, days_ago=days)
        day = await today(connection)
        bounds = [None if ago is None else day - timedelta(days=ago) for ago in (first, last)]
        assert await add_hold(connection, Hold("case", "lawsuit", None, *bounds), created_by="test")
        dropped = await drop_expired(connection, retention_days=30)
        assert len(dropped) == (3 - kept) * len(PARTITIONED)
