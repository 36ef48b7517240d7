"""Log lines wait in a bounded buffer and are recorded together; a slow database costs lines, not time of handlers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.log_lines import Level, LogLine
from duly.lifecycle.run.job_logs import LINE_COST, LogRecorder
from duly.store.postgres.database import Database, DatabaseOutage
from duly.telemetry.metrics import Metrics
from tests.support.service import eventually

BREAK_THE_CONNECTION = """
select pg_terminate_backend(pid) from pg_stat_activity
where query like '%insert into job_logs%' and wait_event_type = 'Lock' and pid <> pg_backend_pid()
"""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    await opened.close()


def line(job_id: UUID, number: int, message: str = "words", *, token: int = 1) -> LogLine:
    return LogLine(1, job_id, token, number, 1, Level.INFO, message, None, datetime.now(UTC))


async def recorded(database: Database) -> list[tuple[int, str]]:
    async with database.connection() as connection:
        rows = await connection.fetch("select line, message from job_logs order by job_id, token, line")
    return [(row[0], row[1]) for row in rows]


def dropped(metrics: Metrics) -> float:
    found = metrics.registry.get_sample_value("duly_log_lines_dropped_total")
    assert found is not None
    return found


async def test_lines_that_gather_are_recorded_together(database: Database) -> None:
    recorder, job_id = LogRecorder(database, Metrics()), new_job_id()
    for number in range(1, 1_202):
        recorder.put(line(job_id, number))
    for least in (500, 1_000, 1_201):
        await recorder.step()
        assert len(await recorded(database)) == least
    await asyncio.wait_for(recorder.flushed(seconds=600), 60)  # nothing is left to wait for


async def test_flushed_returns_once_what_came_before_is_recorded(database: Database) -> None:
    recorder, job_id = LogRecorder(database, Metrics()), new_job_id()
    recorder.put(line(job_id, 1))
    flushed = asyncio.create_task(recorder.flushed(seconds=600))
    await asyncio.sleep(0)
    assert not flushed.done()
    await recorder.step()
    recorder.put(line(job_id, 2))  # what comes later is not waited for
    await asyncio.wait_for(flushed, 60)
    assert await recorded(database) == [(1, "words")]


async def test_flushed_does_not_wait_for_ever(database: Database) -> None:
    recorder = LogRecorder(database, Metrics())
    recorder.put(line(new_job_id(), 1))
    await asyncio.wait_for(recorder.flushed(seconds=0.01), 60)
    assert await recorded(database) == []


async def test_a_full_buffer_drops_lines_and_counts_them(database: Database) -> None:
    metrics, job_id = Metrics(), new_job_id()
    recorder = LogRecorder(database, metrics, capacity=3 * (LINE_COST + 10))
    with capture_logs() as logs:
        for number in range(1, 6):
            recorder.put(line(job_id, number, "x" * 10))
    assert dropped(metrics) == 2
    assert [found["action"] for found in logs] == ["log_lines_dropped"]  # said once, not for each
    await recorder.step()
    recorder.put(line(job_id, 6, "x" * 10))
    await recorder.step()
    assert [number for number, _ in await recorded(database)] == [1, 2, 3, 6]


async def test_lines_wait_while_the_database_is_away_and_none_is_recorded_twice(
    database: Database, database_url: str
) -> None:
    metrics, job_id = Metrics(), new_job_id()
    recorder = LogRecorder(database, metrics)
    recorder.put(line(job_id, 1))
    await recorder.step()
    recorder.put(line(job_id, 1))  # as after a commit whose answer was lost
    recorder.put(line(job_id, 2))
    holder = await asyncpg.connect(database_url)
    async with holder.transaction():
        await holder.execute("lock table job_logs in exclusive mode")
        step = asyncio.create_task(recorder.step())
        await eventually(lambda: holder.fetch(BREAK_THE_CONNECTION))
        with pytest.raises(DatabaseOutage):
            await step
    await holder.close()
    await recorder.step()
    assert await recorded(database) == [(1, "words"), (2, "words")]
    assert dropped(metrics) == 0


async def test_a_line_that_postgres_refuses_is_lost_alone(database: Database) -> None:
    metrics, job_id = Metrics(), new_job_id()
    recorder = LogRecorder(database, metrics)
    no_such_day = UUID(int=smallest_id_at(LONG_AGO).int + 1)
    for told in (line(job_id, 1), line(no_such_day, 1), line(job_id, 2)):
        recorder.put(told)
    with capture_logs() as logs:
        await recorder.step()
    assert [number for number, _ in await recorded(database)] == [1, 2]
    assert dropped(metrics) == 1
    assert [(found["action"], found["job_id"]) for found in logs] == [("log_line_refused", str(no_such_day))]


async def test_lines_may_come_from_any_thread(database: Database) -> None:
    recorder, job_id = LogRecorder(database, Metrics()), new_job_id()

    def talk(token: int) -> None:
        for number in range(1, 101):
            recorder.put(line(job_id, number, token=token))

    async def keep_recording() -> None:
        while True:
            await recorder.step()

    task = asyncio.create_task(keep_recording())
    await asyncio.gather(*(asyncio.to_thread(talk, token) for token in range(1, 5)))
    await recorder.flushed(seconds=600)
    task.cancel()
    assert len(await recorded(database)) == 400
