"""Table `queue_names`: names of the queues that each tenant uses.

A name is added before the first job of its queue is recorded. It is deleted once nothing was submitted to the queue for
an hour and the queue has no unfinished job.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection

# A name is written again after this time, so that many nodes together write it a few times an hour. A node looks it up
# again after the same time (`duly.lifecycle.submit.queue_limit`); the sum must be less than an hour.
FRESH_MINUTES = 10


class NamesFound(NamedTuple):
    """Those of some names that a tenant uses; those of them that were not written for a while."""

    known: set[str]
    stale: list[str]


FIND_NAMES = f"""
select queue, used_at < now() - interval '{FRESH_MINUTES} minutes' from queue_names
where tenant_id = $1 and queue = any($2::text[])
"""


async def find_names(connection: Connection, tenant_id: int, queues: Collection[str]) -> NamesFound:
    """Returns those of these names that the tenant uses."""
    rows = await connection.fetch(FIND_NAMES, tenant_id, list(queues))
    return NamesFound({row[0] for row in rows}, [row[0] for row in rows if row[1]])


# Rows that another node is writing are left to it, so that no two nodes wait for each other.
TOUCH_NAMES = """
update queue_names set used_at = now() where (tenant_id, queue) in (
    select tenant_id, queue from queue_names where tenant_id = $1 and queue = any($2::text[]) for update skip locked
)
"""


async def touch_names(connection: Connection, tenant_id: int, queues: Sequence[str]) -> None:
    """Records that the tenant uses these names now."""
    await connection.execute(TOUCH_NAMES, tenant_id, queues)


class NameCount(NamedTuple):
    """Number of names that a tenant uses, and the most that it may use."""

    used: int
    most: int


COUNT_NAMES = """
select (select count(*)::int from queue_names where tenant_id = $1),
       coalesce((select max_queues from tenants where tenant_id = $1), $2)
"""


async def count_names(connection: Connection, tenant_id: int, *, most: int) -> NameCount:
    """Returns the number of a tenant's names, and its limit; `most` applies if its row names none."""
    return NameCount(*only(await connection.fetchrow(COUNT_NAMES, tenant_id, most)))


# In one order on all nodes, so that no two of them wait for each other.
ADD_NAMES = """
insert into queue_names (tenant_id, queue) select $1, queue from unnest($2::text[]) as a (queue) order by queue
on conflict do nothing
"""


async def add_names(connection: Connection, tenant_id: int, queues: Collection[str]) -> None:
    """Adds names."""
    await connection.execute(ADD_NAMES, tenant_id, list(queues))


# Tables without an index by queue are read once, and only if a name is old. Without the step `in_use`, the planner
# compares each name with each queue in use.
KEEP_NAMES = """
with old as materialized (select tenant_id, queue from queue_names where used_at < now() - interval '1 hour'),
in_use as materialized (
    select tenant_id, queue from (
        select tenant_id, queue from running union all select tenant_id, queue from scheduled
        union all select tenant_id, queue from blocked
    ) u
    where exists (select from old)
    union
    select o.tenant_id, o.queue from old o cross join lateral (
        select from ready where tenant_id = o.tenant_id and queue = o.queue collate "C" limit 1
    ) r
)
update queue_names n set used_at = now() from in_use u
where n.tenant_id = u.tenant_id and n.queue = u.queue and n.used_at < now() - interval '1 hour'
"""
FORGET_NAMES = "delete from queue_names where used_at < now() - interval '1 hour'"


async def forget_unused_names(connection: Connection) -> None:
    """Deletes the names, of all tenants, whose queues were not used for an hour and have no unfinished job. Names of
    queues that have one are looked at again an hour later.
    """
    async with connection.transaction():
        await connection.execute(KEEP_NAMES)
        await connection.execute(FORGET_NAMES)
