"""Rows of a queue are counted exactly in a small table, and from a sample in a large one."""

import pytest

from duly.store.postgres.database import Database
from duly.store.read import queue_stats
from duly.store.read.queue_stats import count_all, count_by_queue

pytestmark = pytest.mark.fresh_database

FILL = """
insert into scheduled (tenant_id, job_id, run_at, reason, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
select 1, gen_random_uuid(), now() + interval '1 hour', 0, 0, 0, 60, 0, 0, 0, 0,
       case when n % 4 = 0 then 'few' else 'many' end, 'echo'
from generate_series(1, $1) n
"""


@pytest.mark.parametrize(("limit", "lost"), [(8 << 20, 0.0), (800_000, 0.5)])
async def test_each_queue_is_counted(
    database_url: str, monkeypatch: pytest.MonkeyPatch, limit: int, lost: float
) -> None:
    monkeypatch.setattr(queue_stats, "READ_IN_FULL_BYTES", limit)
    database = Database(database_url)
    async with database.connection() as connection:
        await connection.execute(FILL, 20_000)
        counted = await count_by_queue(connection, "scheduled")
        in_all = await count_all(connection, "scheduled")
        await connection.execute("truncate scheduled")  # these jobs were never recorded
        assert await count_by_queue(connection, "scheduled") == {}
        assert await count_all(connection, "scheduled") == 0
    await database.close()
    assert counted["few"] == pytest.approx(5_000, rel=lost)
    assert counted["many"] == pytest.approx(15_000, rel=lost)
    assert in_all == pytest.approx(20_000, rel=lost)


async def test_a_long_table_is_read_in_part(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_stats, "READ_IN_FULL_BYTES", 200_000)
    database = Database(database_url)
    async with database.connection() as connection:
        await connection.execute(FILL, 20_000)
        share = await connection.fetchval(queue_stats.SAMPLE_SHARE, "scheduled", 200_000)
        await connection.execute("truncate scheduled")
    await database.close()
    assert 1 < share < 20
