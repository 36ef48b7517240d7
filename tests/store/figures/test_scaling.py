"""The load of a tenant is read by keys, whatever waits, and of this tenant only."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from duly.domain.ids import new_job_id, smallest_id_at
from duly.domain.job import NewJob
from duly.store.figures import scaling
from duly.store.figures.scaling import COUNT_ARRIVALS, COUNT_READY, READ_RATES, count_waiting, read_rates
from duly.store.postgres.database import Connection, Database
from duly.store.submit.jobs import record_jobs
from tests.support.query_plans import explained, nodes_of

pytestmark = pytest.mark.fresh_database

JOBS = 1_500
FILL_FIGURES = """
insert into minute_figures (tenant_id, queue, minute, submitted, ran, run_seconds)
select t, 'q' || q, date_trunc('minute', now()) - n * interval '1 minute', 60, 2, 3.0
from generate_series(1, 3) t, generate_series(1, 10) q, generate_series(0, 999) n
"""


@pytest.fixture
async def filled(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url)
    async with database.connection() as connection:
        for tenant, queue, job_type, count in ((1, "long", "a", JOBS), (1, "short", "b", 7), (2, "long", "a", 9)):
            jobs = [NewJob(tenant, new_job_id(), job_type, queue, 0, "{}", 60.0, 5) for _ in range(count)]
            await record_jobs(connection, jobs)
        await connection.execute(FILL_FIGURES)
        await connection.execute("insert into queue_names (tenant_id, queue) values (1, 'q1'), (1, 'q2'), (2, 'q1')")
        await connection.execute("analyze")
        yield connection
    await database.close()


def read_in_full(plan: dict[str, Any]) -> Iterator[str]:
    scans = (node for node in nodes_of(plan) if node["Node Type"] == "Seq Scan")
    return (node["Relation Name"] for node in scans if not node["Relation Name"].startswith("queue_names"))


async def test_what_waits_is_counted_by_queue_and_type(filled: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    async def counts(queue: str | None = None, job_type: str | None = None) -> dict[tuple[str, str], int]:
        found = await count_waiting(filled, 1, queue=queue, job_type=job_type)
        assert all(each.oldest_seconds >= 0 for each in found.values())
        return {kind: each.jobs for kind, each in found.items()}

    assert await counts() == {("long", "a"): JOBS, ("short", "b"): 7}
    assert await counts(queue="short") == {("short", "b"): 7}
    assert await counts(job_type="a") == {("long", "a"): JOBS}
    monkeypatch.setattr(scaling, "COUNTED_IN_A_LANE", 5)
    assert await counts() == {("long", "a"): JOBS, ("short", "b"): 7}


async def test_rates_are_those_of_the_last_minutes(filled: Connection) -> None:
    async with filled.transaction():  # in which `now()` is of one minute
        await filled.execute("truncate minute_figures")
        await filled.execute(FILL_FIGURES)
        rates = await read_rates(filled, 1, queue=None)
    assert set(rates) == {"q1", "q2"}
    # 120 jobs in 60 to 120 seconds.
    assert 1 <= rates["q1"].arrival_rate <= 2
    assert rates["q1"].run_seconds == 1.5
    assert (rates["unknown"].arrival_rate, rates["unknown"].run_seconds) == (0.0, None)


async def test_the_load_is_read_by_keys(filled: Connection) -> None:
    since = smallest_id_at(datetime.now(UTC) - timedelta(minutes=1))
    for statement, arguments in (
        (COUNT_READY, (1, 1_000, None, None)),
        (COUNT_ARRIVALS, (1, "a", since, None, 60_000)),
        (READ_RATES, (1, None)),
        (READ_RATES, (1, "q1")),
    ):
        found = set(read_in_full(await explained(filled, statement, *arguments)))
        # Days without jobs are empty tables.
        assert {name for name in found if not name.startswith("jobs_")} == set(), statement
