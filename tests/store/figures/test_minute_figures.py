"""Table `minute_figures`: nodes add to the same minute, samples replace each other, old rows are deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from duly.domain.figure_series import StoredMinute
from duly.domain.minute_figures import ALL_QUEUES, KEPT_HOURS, DepthSample, MinuteFigures
from duly.store.figures.minute_figures import (
    READ_FIGURES,
    add_figures,
    delete_old_figures,
    put_samples,
    read_figures,
)
from duly.store.postgres.database import Connection, Database
from tests.support.query_plans import explained, nodes_of

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
FIGURES = MinuteFigures(
    *(1, "a", NOW), *(5, 4, 3, 2, 1, 6, 7, 8), *(2, 1.5, [0, 1, 1]), *(3, 2.5, [3]),
)  # fmt: skip
FILL = """
insert into minute_figures (tenant_id, queue, minute)
select t, 'q' || q, now() - n * interval '1 minute'
from generate_series(1, 3) t, generate_series(1, 10) q, generate_series(0, 999) n
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url)
    async with database.connection() as opened:
        yield opened
    await database.close()


async def minutes_of(connection: Connection, queue: str, *, tenant_id: int = 1) -> list[StoredMinute]:
    day = timedelta(days=3)
    return await read_figures(connection, tenant_id, queue, since=NOW - day, until=NOW + day)


async def test_counts_of_nodes_are_added_up(connection: Connection) -> None:
    await add_figures(connection, [FIGURES])
    await add_figures(connection, [FIGURES._replace(queue="b"), FIGURES._replace(waits=[1], runs=[0, 0, 0, 2])])
    [both] = await minutes_of(connection, "a")
    assert both[:9] == (int(NOW.timestamp()), 10, 8, 6, 4, 2, 12, 14, 16)
    assert (both.waited, both.wait_seconds, both.waits) == (4, 3.0, [1, 1, 1])
    assert (both.ran, both.run_seconds, both.runs) == (6, 5.0, [3, 0, 0, 2])
    assert [row.submitted for row in await minutes_of(connection, "b")] == [5]


async def test_a_minute_without_times_stays_without_them(connection: Connection) -> None:
    idle = FIGURES._replace(waits=[], runs=[])
    await add_figures(connection, [idle])
    await add_figures(connection, [idle])
    assert [(row.waits, row.runs) for row in await minutes_of(connection, "a")] == [([], [])]


async def test_a_later_sample_of_a_minute_replaces_the_earlier_one_and_keeps_the_counts(connection: Connection) -> None:
    await put_samples(
        connection, NOW, [DepthSample(1, "a", 9, 9, 9, 9, 9.0), DepthSample(1, ALL_QUEUES, 1, 0, 0, 0, 0)]
    )
    await add_figures(connection, [FIGURES])
    await put_samples(connection, NOW, [DepthSample(1, "a", 4, 3, 2, 1, 0.5)])
    [row] = await minutes_of(connection, "a")
    assert (row.submitted, row.ready, row.scheduled, row.blocked, row.running, row.oldest_seconds) == (
        5,
        4,
        3,
        2,
        1,
        0.5,
    )


async def test_figures_of_a_tenant_are_not_those_of_another(connection: Connection) -> None:
    await add_figures(connection, [FIGURES, FIGURES._replace(tenant_id=2, submitted=70)])
    assert [row.submitted for row in await minutes_of(connection, "a", tenant_id=2)] == [70]
    assert await minutes_of(connection, "a", tenant_id=3) == []


async def test_figures_are_deleted_after_two_days(connection: Connection) -> None:
    kept, old = NOW - timedelta(hours=KEPT_HOURS - 1), NOW - timedelta(hours=KEPT_HOURS, minutes=2)
    await add_figures(connection, [FIGURES._replace(minute=minute) for minute in (old, kept)])
    await delete_old_figures(connection)
    assert [row.at for row in await minutes_of(connection, "a")] == [int(kept.timestamp())]


@pytest.mark.fresh_database
async def test_a_queue_is_read_by_the_key_of_its_rows(connection: Connection) -> None:
    await connection.execute(FILL)
    await connection.execute("analyze minute_figures")
    plan = await explained(connection, READ_FIGURES, 1, "q1", NOW - timedelta(hours=1), NOW)
    assert "Seq Scan" not in {node["Node Type"] for node in nodes_of(plan)}
