"""The tail of the ledger is read by transaction, independent of the planner's statistics of the tables."""

import re
from uuid import UUID

import asyncpg
import pytest

from duly.domain.ids import made_at
from duly.domain.stream_position import before_transaction
from duly.store.ledger.event_tail import PLANS, READ_TAIL, read_moment, summarize
from tests.support.service import Service

pytestmark = pytest.mark.fresh_database

ROWS_OF_ONE = 5_000
MANY = """
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
select $1::uuid, 1, 10 + n, 2, 1, 'test', '{"progress":1}' from generate_series($2::int, $2::int + 4999) n
"""
# A vacuum in between would summarise the ranges before the test does.
UNATTENDED = "alter table events_{day:%Y%m%d} set (autovacuum_enabled = false)"
REMOVE = "delete from events where job_id = $1"


async def test_only_what_is_new_is_read_and_by_one_process(service: Service) -> None:
    job_id = UUID((await service.submit("echo", delaySeconds=3600))["jobId"])
    connection = await asyncpg.connect(service.database_url)
    await connection.execute(UNATTENDED.format(day=made_at(job_id).date()))
    try:
        for n in range(20):
            await connection.execute(MANY, job_id, n * ROWS_OF_ONE)
        before = await _plan(connection)
        await summarize(connection, {made_at(job_id).date()})
        after = await _plan(connection)
        await connection.execute(REMOVE, job_id)
    finally:
        await connection.close()
    for plan in (before, after):
        assert "Seq Scan" not in plan
        assert "Gather" not in plan
        assert re.search(r"Bitmap Index Scan on events_\d+_tx_idx", plan)
        assert re.search(r"Bitmap Index Scan on jobs_\d+_tx_idx", plan)
        assert "Index Cond: (tenant_id = 1)" not in plan
    assert _read_in_vain(before) > 15 * ROWS_OF_ONE
    assert _read_in_vain(after) < 5 * ROWS_OF_ONE


async def _plan(connection: asyncpg.Connection) -> str:
    """Returns the plan that finds the events of the last transaction."""
    settled = (await read_moment(connection)).settled
    async with connection.transaction():
        await connection.execute(PLANS)
        arguments = [1, *before_transaction(settled - 1), settled, 500, 1 << 22]
        rows = await connection.fetch(f"explain (analyze, timing off) {READ_TAIL}", *arguments)
    return "\n".join(row[0] for row in rows)


def _read_in_vain(plan: str) -> int:
    return sum(int(count) for count in re.findall(r"Rows Removed by Index Recheck: (\d+)", plan))
