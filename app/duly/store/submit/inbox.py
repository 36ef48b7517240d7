"""The table `inbox`: submissions that other programs inserted in their own transactions, by `duly.submit`.

A row is deleted in the transaction that records its job.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.store.postgres.database import Connection

# Of rows that are larger together, those are left to the next round.
ROUND_BYTES = 8 << 20

# By the index: the table may have many pages of deleted rows.
FIND_ANY = "select job_id from inbox order by job_id limit 1"


async def has_rows(connection: Connection) -> bool:
    """Returns whether a submission waits in the inbox, of any tenant."""
    return await connection.fetchval(FIND_ANY) is not None


class InboxLane(NamedTuple):
    """Submissions of one tenant to one queue."""

    tenant_id: int
    queue: str


class InboxRow(NamedTuple):
    """Submission as it was given to the function, read `age_seconds` later. Parameters and options are JSON text."""

    tenant_id: int
    job_id: UUID
    queue: str
    type: str
    parameters: str
    options: str
    called_at: datetime
    age_seconds: float


# Finds the lanes by one descent of the index each, and reads them in random order, each for an equal share: a long lane
# delays no other. Rows that another node has locked are passed over. Rows are read by key once they are locked, so that
# those beyond the bytes of a round are not read.
TAKE = f"""
with recursive lane as (
    (select tenant_id, queue from inbox order by tenant_id, queue limit 1)
    union all
    select n.tenant_id, n.queue from lane l cross join lateral (
        select tenant_id, queue from inbox where (tenant_id, queue) > (l.tenant_id, l.queue)
        order by tenant_id, queue limit 1
    ) n
),
open as materialized (
    select tenant_id, queue, ceil($1::int::float8 / count(*) over ())::int as share from lane
    where not exists (
        select from unnest($2::int[], $3::text[]) as c (tenant_id, queue)
        where c.tenant_id = lane.tenant_id and c.queue = lane.queue
    )
),
held as materialized (
    select i.job_id, i.size from (select * from open order by random()) o cross join lateral (
        select job_id, size from inbox where tenant_id = o.tenant_id and queue = o.queue and job_id <> all($4::uuid[])
        order by job_id limit o.share for update skip locked
    ) i
    limit $1
),
taken as materialized (select job_id, sum(size) over (rows unbounded preceding) - size as before from held)
select i.tenant_id, i.job_id, i.queue, i.type, i.parameters::text, i.options::text, i.called_at,
       greatest(extract(epoch from clock_timestamp() - i.called_at), 0)::float8
from taken t cross join lateral (select * from inbox where job_id = t.job_id offset 0) i
where t.before < {ROUND_BYTES}
"""


async def take_inbox(
    connection: Connection, *, limit: int, closed: Sequence[InboxLane], exclude: Sequence[UUID]
) -> list[InboxRow]:
    """Locks and returns submissions until the end of the caller's transaction, of all lanes that are not `closed`."""
    tenants, queues = [lane.tenant_id for lane in closed], [lane.queue for lane in closed]
    return [InboxRow(*row) for row in await connection.fetch(TAKE, limit, tenants, queues, exclude)]


DELETE = """
delete from inbox i using unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
where i.job_id >= a.job_id and i.job_id <= a.job_id and i.tenant_id = a.tenant_id
"""


async def delete_from_inbox(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> None:
    """Deletes submissions by (tenant, job), whose jobs are recorded."""
    await connection.execute(DELETE, *(list(column) for column in zip(*keys, strict=True)))


READ = """
select i.tenant_id, i.job_id, i.queue, i.type, i.parameters::text, i.options::text, i.called_at,
       greatest(extract(epoch from clock_timestamp() - i.called_at), 0)::float8
from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id) cross join lateral (
    select * from inbox where job_id = a.job_id and tenant_id = a.tenant_id offset 0
) i
"""


async def read_inbox(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], InboxRow]:
    """Returns those of these (tenant, job) that wait in the inbox."""
    if not keys:
        return {}
    rows = await connection.fetch(READ, *(list(column) for column in zip(*keys, strict=True)))
    return {(row[0], row[1]): InboxRow(*row) for row in rows}


READ_OLDEST_AGE = "select extract(epoch from now() - called_at)::float8 from inbox order by job_id limit 1"


async def read_oldest_age(connection: Connection) -> float:
    """Returns the seconds since the oldest submission in the inbox was made; 0 if it is empty."""
    return max(await connection.fetchval(READ_OLDEST_AGE) or 0.0, 0.0)


FIND_RECORDED_IN_INBOX = """
select i.tenant_id, i.job_id from inbox i cross join lateral (
    select from jobs j where j.tenant_id = i.tenant_id and j.job_id = i.job_id offset 0
) j
"""


async def find_recorded_in_inbox(connection: Connection) -> list[tuple[int, UUID]]:
    """Returns (tenant, job) of the submissions in the inbox whose jobs are recorded, of all tenants."""
    return [(row[0], row[1]) for row in await connection.fetch(FIND_RECORDED_IN_INBOX)]
