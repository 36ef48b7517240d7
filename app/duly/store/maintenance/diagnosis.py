"""Queries of `duly doctor` on the catalogs and the small tables; none takes long on a large database."""

from datetime import datetime
from typing import NamedTuple

from duly.store.postgres.catalog_types import Connection, only

READ_TIME = "select clock_timestamp()"


async def read_time(connection: Connection) -> datetime:
    """Returns the database's time."""
    now: datetime = await connection.fetchval(READ_TIME)
    return now


LIST_NODES = """
select name, roles, extract(epoch from now() - heartbeat_at)::float8 from nodes order by heartbeat_at, node_id
"""


class ListedNode(NamedTuple):
    """Node with the age of its last heartbeat."""

    name: str
    roles: list[str]
    silent_seconds: float


async def list_nodes(connection: Connection) -> list[ListedNode]:
    """Returns the nodes on the list, the longest silent first."""
    return [ListedNode(*row) for row in await connection.fetch(LIST_NODES)]


# Only recent ones: a record that is not refreshed is ignored.
COUNT_SET_ASIDE = """
select stage, count(*), min(reason) from set_aside where noted_at > now() - interval '5 minutes'
group by stage order by stage
"""


class SetAsideCount(NamedTuple):
    """Number of rejected records of one stage."""

    stage: str
    jobs: int
    reason: str


async def count_set_aside(connection: Connection) -> list[SetAsideCount]:
    """Returns the number of rejected records of jobs by stage, and the reason of one."""
    return [SetAsideCount(*row) for row in await connection.fetch(COUNT_SET_ASIDE)]


# Every role can count the sessions of others.
COUNT_SESSIONS = """
select count(*), current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
from pg_stat_activity where backend_type = 'client backend'
"""


class Sessions(NamedTuple):
    """Open client sessions, and the limit of the server."""

    open: int
    most: int


async def count_sessions(connection: Connection) -> Sessions:
    """Returns the number of open client sessions of the server, and its limit."""
    return Sessions(*only(await connection.fetchrow(COUNT_SESSIONS)))


FIND_OLD_READERS = """
select pid, coalesce(nullif(application_name, ''), 'without application_name'), usename::text, datname::text,
       extract(epoch from now() - xact_start)::float8
from pg_stat_activity
where backend_type = 'client backend' and backend_xid is null and backend_xmin is not null
  and datname = current_database() and xact_start < now() - $1 * interval '1 second'
order by xact_start limit 5
"""


class Reader(NamedTuple):
    """Transaction that has been reading for long."""

    pid: int
    application: str
    user: str
    database: str
    seconds: float


async def find_old_readers(connection: Connection, *, seconds: float) -> list[Reader]:
    """Returns transactions of this database that have been reading for at least this long, which keeps vacuum from
    removing rows.
    """
    return [Reader(*row) for row in await connection.fetch(FIND_OLD_READERS, seconds)]
