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


READ_VERSION = "select current_setting('server_version_num')::int / 10000"


async def read_major_version(connection: Connection) -> int:
    """Returns the major version of the server."""
    major: int = await connection.fetchval(READ_VERSION)
    return major


# Every role can see the application, the user and the database of any session.
READ_CONNECTION_LIMITS = """
select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0)
           - (select count(*) from pg_stat_activity
              where backend_type = 'client backend'
                and (datname, application_name) <> (current_database(), current_setting('application_name'))),
       case when not rolsuper then nullif(rolconnlimit, -1) end,
       case when not rolsuper then
           (select nullif(datconnlimit, -1) from pg_database where datname = current_database())
       end
from pg_roles where rolname = current_user
"""


class ConnectionLimits(NamedTuple):
    """Connections that all processes of Duly may have together.

    Attributes:
        left: of the server, without the sessions of other programs.
        of_role: of the role; None without a limit.
        of_database: of the database; None without a limit.
    """

    left: int
    of_role: int | None
    of_database: int | None


async def read_connection_limits(connection: Connection) -> ConnectionLimits:
    """Returns the limits on connections."""
    return ConnectionLimits(*only(await connection.fetchrow(READ_CONNECTION_LIMITS)))


READ_LOCK_TABLE = """
select current_setting('max_locks_per_transaction')::int, current_setting('max_connections')::int,
       current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int,
       (select count(*) from pg_inherits where inhparent = to_regclass('jobs'))
"""


class LockTable(NamedTuple):
    """Lock table of the server, which has room for `per_transaction` locks times `sessions`.

    Attributes:
        connections: the most client sessions at a time.
        days: days of which the ledger has partitions.
    """

    per_transaction: int
    connections: int
    sessions: int
    days: int


async def read_lock_table(connection: Connection) -> LockTable:
    """Returns the size of the server's lock table, and what may fill it."""
    return LockTable(*only(await connection.fetchrow(READ_LOCK_TABLE)))


# Sessions of other databases hold nothing in this one. Prepared transactions are among the old writers.
FIND_OLDEST_SNAPSHOT = """
select holder, age from (
    select 'replication slot ' || quote_literal(slot_name), age(xmin) from pg_replication_slots where xmin is not null
    union all
    select 'standby ' || quote_literal(application_name), age(backend_xmin)
    from pg_stat_replication where backend_xmin is not null
    union all
    select format('pid %s (%s, user %s)',
                  pid, coalesce(nullif(application_name, ''), 'without application_name'), usename),
           age(backend_xmin)
    from pg_stat_activity
    where backend_xmin is not null and datname = current_database() and pid <> pg_backend_pid()
) as snapshots (holder, age) order by age desc limit 1
"""


class OldestSnapshot(NamedTuple):
    """Session, slot or transaction that has kept vacuum from removing rows for longest, and the transactions since."""

    holder: str
    age: int


async def find_oldest_snapshot(connection: Connection) -> OldestSnapshot | None:
    """Returns the oldest snapshot that this role can see, of a session, a standby or a replication slot."""
    row = await connection.fetchrow(FIND_OLDEST_SNAPSHOT)
    return OldestSnapshot(*row) if row is not None else None


READ_FREEZE_AGE = """
select age(datfrozenxid), current_setting('autovacuum_freeze_max_age')::int
from pg_database where datname = current_database()
"""


class FreezeAge(NamedTuple):
    """Age of the oldest transaction ID of the database, and the age at which the server begins to freeze rows."""

    age: int
    begins_at: int


async def read_freeze_age(connection: Connection) -> FreezeAge:
    """Returns the age of the oldest transaction ID of this database."""
    return FreezeAge(*only(await connection.fetchrow(READ_FREEZE_AGE)))


HAS_SIGNALS = "select exists (select from signals)"


async def has_signals(connection: Connection) -> bool:
    """Returns whether any job was sent a signal."""
    found: bool = await connection.fetchval(HAS_SIGNALS)
    return found
