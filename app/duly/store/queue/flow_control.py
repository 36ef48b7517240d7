"""Claim restrictions and their version: a claim with an older version takes nothing.

Every change raises the version in its own transaction, after the rows that it changes; all use this order.
"""

from typing import NamedTuple

from duly.store.postgres.database import Connection

Name = tuple[int, str]  # a tenant, and its queue or job type


class Control(NamedTuple):
    """Restrictions of all tenants: paused queues, limited queues and types, and types whose breaker is not closed."""

    version: int = 0
    paused: frozenset[Name] = frozenset()
    queues: frozenset[Name] = frozenset()
    types: frozenset[Name] = frozenset()
    broken: frozenset[Name] = frozenset()


# One statement, so one snapshot. It reads what is restricted and nothing of other tenants: resumed queues have no row,
# and the other two are read from partial indexes.
READ_CONTROL = """
select version, 0, 0, '' from control where id = 1
union all
select 0, 1, tenant_id, queue from queues where paused_at is not null
union all
select 0, case scope when 1 then 2 else 3 end, tenant_id, name from limits where scope in (1, 2)
union all
select 0, 4, tenant_id, type from breakers where state <> 0
"""


async def read_control(connection: Connection) -> Control:
    """Returns the restrictions of all tenants and their version, from one snapshot."""
    version = 0
    names: list[set[Name]] = [set(), set(), set(), set()]
    for row_version, part, tenant_id, name in await connection.fetch(READ_CONTROL):
        if part == 0:
            version = row_version
        else:
            names[part - 1].add((tenant_id, name))
    return Control(version, *map(frozenset, names))


COUNT_RESTRICTIONS = """
select count(*) from (
    select from queues where tenant_id = $1 and paused_at is not null
    union all
    select from limits where tenant_id = $1 and scope in (1, 2)
    limit $2
) r
"""


async def count_restrictions(connection: Connection, tenant_id: int, *, up_to: int) -> int:
    """Returns the number of a tenant's paused queues and limits, up to `up_to`."""
    count: int = await connection.fetchval(COUNT_RESTRICTIONS, tenant_id, up_to)
    return count


READ_VERSION = "select version from control where id = 1"


async def read_version(connection: Connection) -> int:
    """Returns the newest version."""
    version: int = await connection.fetchval(READ_VERSION)
    return version


RAISE_VERSION = "update control set version = version + 1 where id = 1"


async def raise_version(connection: Connection) -> None:
    """Raises the version after a change of the restrictions in this transaction."""
    await connection.execute(RAISE_VERSION)


PAUSE_QUEUE = """
insert into queues as q (tenant_id, queue, paused_at) values ($1, $2, now())
on conflict (tenant_id, queue) do update set paused_at = now() where q.paused_at is null
returning true
"""
RESUME_QUEUE = "delete from queues where tenant_id = $1 and queue = $2 and paused_at is not null returning true"


async def pause_queue(connection: Connection, tenant_id: int, queue: str) -> bool:
    """Pauses a queue. Returns whether it was not paused before."""
    return await connection.fetchval(PAUSE_QUEUE, tenant_id, queue) is not None


async def resume_queue(connection: Connection, tenant_id: int, queue: str) -> bool:
    """Resumes a queue. Returns whether it was paused."""
    return await connection.fetchval(RESUME_QUEUE, tenant_id, queue) is not None


# A statement locks its tables before it takes its snapshot, so after a commit this lists every transaction that may
# still start jobs by the restrictions before it.
FIND_STARTING_TRANSACTIONS = """
select virtualtransaction from pg_locks
where database = (select oid from pg_database where datname = current_database())
  and relation = 'running'::regclass and mode = 'RowExclusiveLock' and granted and pid <> pg_backend_pid()
"""


async def transactions_that_may_start_jobs(connection: Connection) -> set[str]:
    """Returns the names of the open transactions that write to `running`."""
    return {row[0] for row in await connection.fetch(FIND_STARTING_TRANSACTIONS)}
