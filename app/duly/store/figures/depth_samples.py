"""Depth of every queue at one moment: ready, scheduled, blocked and running jobs, and the age of the oldest.

A large table is sampled, as in `duly.store.read.queue_stats`.
"""

from collections import Counter
from typing import Literal
from uuid import UUID

from duly.domain.rate_keys import Queue
from duly.store.postgres.database import Connection
from duly.store.queue.ready import FIND_LANES
from duly.store.read.queue_stats import READ_IN_FULL_BYTES, SAMPLE_SHARE

Table = Literal["ready", "scheduled", "blocked", "running"]
TABLES: tuple[Table, ...] = ("ready", "scheduled", "blocked", "running")

# The eldest sweeper: no other one has to count. Where it hangs, its row is deleted within seconds.
IS_ELDEST_SWEEPER = """
select node_id = $1 from nodes where 'sweeper' = any(roles) and not draining order by started_at, node_id limit 1
"""


async def is_eldest_sweeper(connection: Connection, node_id: UUID) -> bool:
    """Returns whether this node is the one that takes the samples."""
    return bool(await connection.fetchval(IS_ELDEST_SWEEPER, node_id))


async def count_jobs(connection: Connection, table: Table) -> Counter[Queue]:
    """Returns the number of rows by tenant and queue, estimated for a large table."""
    share: float = await connection.fetchval(SAMPLE_SHARE, table, READ_IN_FULL_BYTES)
    counted = f"select tenant_id, queue, count(*) from {table} tablesample system ($1::real) group by tenant_id, queue"
    return Counter({(row[0], row[1]): round(row[2] * 100 / share) for row in await connection.fetch(counted, share)})


READ_OLDEST_OF_EACH = f"""
select l.tenant_id, l.queue, max(extract(epoch from now() - greatest(j.created_at, j.run_at)))::float8
from ({FIND_LANES}) l
cross join lateral (select created_at, run_at from jobs where tenant_id = l.tenant_id and job_id = l.job_id offset 0) j
group by l.tenant_id, l.queue
"""


async def oldest_of_each(connection: Connection) -> dict[Queue, float]:
    """Returns the age in seconds of the oldest ready job by tenant and queue."""
    return {(row[0], row[1]): max(0.0, row[2]) for row in await connection.fetch(READ_OLDEST_OF_EACH)}
