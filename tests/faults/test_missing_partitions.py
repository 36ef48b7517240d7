"""A partition of these days that is missing is made by the first statement that needs it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from duly.domain.ids import new_job_id
from duly.domain.job import NewJob
from duly.store.postgres.database import Database, DatabaseMisconfigured, DatabaseOutage
from duly.store.postgres.partition_function import days_ahead, lacking_partitions
from duly.store.postgres.partitions import DAYS_AHEAD, PARTITIONED, READ_TODAY, ensure_partitions
from duly.store.submit.jobs import record_jobs
from tests.support import handlers as signals
from tests.support.response_checks import refused
from tests.support.service import Service, eventually


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


async def _drop(service: Service, *tables: str, days: int = 0) -> None:
    [[today]] = await service.sql(READ_TODAY)
    for table in tables:
        await service.alter(f"drop table {table}_{today + timedelta(days=days):%Y%m%d}")


async def _has_day(service: Service, *, days: int) -> bool:
    [[today]] = await service.sql(READ_TODAY)
    [[there]] = await service.sql("select to_regclass($1) is not null", f"jobs_{today + timedelta(days=days):%Y%m%d}")
    return bool(there)


SUBMISSIONS = {
    "one": ("POST", "/api/v1/jobs", {"type": "echo"}),
    "one with a key": ("POST", "/api/v1/jobs", {"type": "echo", "uniqueKey": "k"}),
    "many": ("POST", "/api/v1/jobs/batch", {"jobs": [{"type": "echo"}, {"type": "echo", "uniqueKey": "k"}]}),
}


@pytest.mark.parametrize(("method", "path", "body"), SUBMISSIONS.values(), ids=SUBMISSIONS.keys())
async def test_a_submission_that_finds_no_partition_has_it_made_and_is_recorded(
    service: Service, method: str, path: str, body: object
) -> None:
    await _drop(service, *PARTITIONED)
    answer = await service.client.request(method, path, json=body)
    assert answer.status_code == 202, answer.text
    assert await _has_day(service, days=0)

    async def all_ended() -> bool:
        return await service.sql("select from ready union all select from running") == []

    await eventually(all_ended)


async def test_many_at_once_find_it_missing_and_all_are_recorded(service: Service) -> None:
    await _drop(service, *PARTITIONED)
    posts = (service.client.post("/api/v1/jobs", json={"type": "echo"}) for _ in range(20))
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {202}


async def test_what_ends_while_the_partition_of_events_is_missing_is_recorded(service: Service) -> None:
    job_id = (await service.submit("wait-for-gate"))["jobId"]
    await signals.has_entered("default").wait()
    await service.sql("create table kept as select * from events")
    await _drop(service, "events")
    signals.gate("default").set()

    async def recorded() -> bool:
        return await service.sql("select from running") == []

    await eventually(recorded)
    await service.sql("insert into events select * from kept on conflict do nothing")
    await service.alter("drop table kept")
    assert (await service.job(job_id))["status"] == "completed"


async def test_readiness_makes_the_partition_of_tomorrow(service: Service) -> None:
    await _drop(service, "jobs", "events", days=1)
    assert await eventually(service.is_ready)
    assert await _has_day(service, days=1)


async def test_what_belongs_to_no_day_that_is_made_is_refused_with_the_reason_and_holds_up_no_other(
    database: Database,
) -> None:
    far = NewJob(1, UUID(int=new_job_id().int + (400 * 86_400_000 << 80)), "echo", "default", 0, "{}", 60.0, 5)
    with pytest.raises(DatabaseMisconfigured) as refusal:
        async with database.connection() as connection:
            await record_jobs(connection, [far])
    assert refusal.value.error_class.code == "DATABASE_PARTITION_MISSING"
    assert "duly migrate" in refusal.value.line


async def test_where_it_was_made_the_statement_may_be_tried_again(database: Database) -> None:
    async with database.connection() as connection:
        today = await connection.fetchval(READ_TODAY)
        await connection.execute(f"drop table jobs_{today:%Y%m%d}")
    job = NewJob(1, new_job_id(), "echo", "default", 0, "{}", 60.0, 5)
    hot = database.hot()
    with pytest.raises(DatabaseOutage):
        async with hot.use() as connection:
            await record_jobs(connection, [job])
    async with hot.use() as connection:
        await record_jobs(connection, [job])


async def test_where_it_cannot_be_made_the_submission_is_refused_with_the_reason(service: Service) -> None:
    # Its name is taken by a table that is not a partition. Both happen at once: the service would make it in between.
    [[today]] = await service.sql(READ_TODAY)
    name = f"jobs_{today:%Y%m%d}"
    await service.alter(f"do $$ begin drop table {name}; create table {name} (); end $$")
    answer = await service.client.post("/api/v1/jobs", json={"type": "echo"})
    error = refused(answer, 503, "DATABASE_PARTITION_MISSING")
    assert "duly migrate" in error["details"]["remedy"]
    assert "no partition of relation" in error["details"]["reason"]
    await service.alter(f"drop table {name}")
    assert (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202


async def test_the_days_ahead_are_those_that_every_table_has(database: Database) -> None:
    async with database.connection() as connection:
        today = await connection.fetchval(READ_TODAY)
        await ensure_partitions(connection)  # the database may be from before midnight
        assert await days_ahead(connection, PARTITIONED) == DAYS_AHEAD
        assert await lacking_partitions(connection, PARTITIONED) == []
        await connection.execute(f"drop table events_{today + timedelta(days=2):%Y%m%d}")
        assert await days_ahead(connection, PARTITIONED) == 1
        await connection.execute(f"drop table job_logs_{today:%Y%m%d}")
        assert await days_ahead(connection, PARTITIONED) == -1
        assert await lacking_partitions(connection, PARTITIONED) == [f"job_logs_{today:%Y%m%d}"]


async def test_the_gauge_shows_how_many_days_are_prepared(service: Service) -> None:
    async def shown() -> bool:
        return f"duly_partitions_ahead {DAYS_AHEAD:.1f}" in (await service.client.get("/metrics")).text

    await eventually(shown)
