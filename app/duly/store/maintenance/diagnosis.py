"""Queries of `duly doctor` on the catalogs and the small tables; none takes long on a large database."""

from datetime import datetime
from typing import NamedTuple

from duly.store.postgres.catalog_types import Connection

NOW = "select clock_timestamp()"


async def read_time(connection: Connection) -> datetime:
    """Returns the database's time."""
    now: datetime = await connection.fetchval(NOW)
    return now


NODES = """
select name, roles, extract(epoch from now() - heartbeat_at)::float8 from nodes order by heartbeat_at, node_id
"""


class ListedNode(NamedTuple):
    name: str
    roles: list[str]
    silent_seconds: float


async def listed_nodes(connection: Connection) -> list[ListedNode]:
    """Returns the nodes on the list, the longest silent first."""
    return [ListedNode(*row) for row in await connection.fetch(NODES)]


# Notes of the last minutes: one that is not refreshed means nothing.
SET_ASIDE = """
select stage, count(*), min(reason) from set_aside where noted_at > now() - interval '5 minutes'
group by stage order by stage
"""


class SetAsideCount(NamedTuple):
    stage: str
    jobs: int
    reason: str


async def count_set_aside(connection: Connection) -> list[SetAsideCount]:
    """Returns how many records of jobs the database does not take, by stage, and a reason of one."""
    return [SetAsideCount(*row) for row in await connection.fetch(SET_ASIDE)]


# Sessions of others are visible in number to every role.
SESSIONS = """
select count(*), current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
from pg_stat_activity where backend_type = 'client backend'
"""


class Sessions(NamedTuple):
    open: int
    most: int


async def count_sessions(connection: Connection) -> Sessions:
    """Returns how many sessions of clients are open on the server, and how many may be."""
    return Sessions(*await connection.fetchrow(SESSIONS))


OLD_READERS = """
select pid, coalesce(nullif(application_name, ''), 'without application_name'), usename::text, datname::text,
       extract(epoch from now() - xact_start)::float8
from pg_stat_activity
where backend_type = 'client backend' and backend_xid is null and backend_xmin is not null
  and datname = current_database() and xact_start < now() - $1 * interval '1 second'
order by xact_start limit 5
"""


class Reader(NamedTuple):
    pid: int
    application: str
    user: str
    database: str
    seconds: float


async def old_readers(connection: Connection, *, seconds: float) -> list[Reader]:
    """Returns transactions of this database that have read for so long: vacuum leaves what they might still see."""
    return [Reader(*row) for row in await connection.fetch(OLD_READERS, seconds)]
