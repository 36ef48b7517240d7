"""Claim restrictions and their version: a claim with an older version takes nothing.

Every change raises the version in its own transaction, after the rows that it changes; all use this order.
"""

from typing import NamedTuple

from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection


class Control(NamedTuple):
    """Restricted names: paused queues, queues and types with a limit, types whose breaker is not closed."""

    version: int = 0
    paused: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()


# One statement, so one snapshot.
READ_CONTROL = """
select c.version,
       array(select queue from queues where tenant_id = $1 and paused_at is not null),
       array(select name from limits where tenant_id = $1 and scope = 1),
       array(select name from limits where tenant_id = $1 and scope = 2),
       array(select type from breakers where state <> 0)
from control c where c.id = 1
"""


async def read_control(connection: Connection, tenant_id: int) -> Control:
    """Returns the restrictions of a tenant and their version, from one snapshot."""
    version, *names = only(await connection.fetchrow(READ_CONTROL, tenant_id))
    return Control(version, *(frozenset(found) for found in names))


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
