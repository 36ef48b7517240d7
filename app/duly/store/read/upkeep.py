"""Figures of the installation for operators: vacuum, snapshots, sessions, live nodes and late schedules.

All come from catalogs and small tables, so they cost the same on a large database.
"""

from typing import NamedTuple

from duly.store.postgres.database import Connection
from duly.store.queue.ready import FIND_LANES

# Tables whose rows come and go with each job: dead rows slow them down.
HOT_TABLES = ("ready", "scheduled", "blocked", "running", "deliveries", "inbox")
READ_TABLES = """
select t.name, pg_stat_get_dead_tuples(c.id)::float8, pg_relation_size(c.id)::float8,
       extract(epoch from now() - greatest(pg_stat_get_last_vacuum_time(c.id),
                                           pg_stat_get_last_autovacuum_time(c.id)))::float8
from unnest($1::text[]) as t (name) cross join lateral (select to_regclass(t.name)::oid as id) c
where c.id is not null
"""


class TableUpkeep(NamedTuple):
    """Dead rows of a table, its size, and the time since its last vacuum; None if there was none."""

    table: str
    dead_rows: float
    size_bytes: float
    vacuumed_seconds: float | None


async def read_tables(connection: Connection) -> list[TableUpkeep]:
    """Returns the upkeep of the hot tables."""
    return [TableUpkeep(*row) for row in await connection.fetch(READ_TABLES, HOT_TABLES)]


# Vacuum keeps the rows that any of these may still see. Sessions of other databases do not matter to it.
READ_SNAPSHOTS = """
select k.kind, coalesce(max(s.age), 0)::float8, coalesce(max(s.seconds), 0)::float8
from unnest(array['session', 'prepared_transaction', 'replication_slot']) as k (kind) left join (
    select 'session' as kind, age(backend_xmin) as age, extract(epoch from clock_timestamp() - xact_start) as seconds
    from pg_stat_activity
    where backend_xmin is not null and pid <> pg_backend_pid() and coalesce(datname = current_database(), true)
      and backend_type in ('client backend', 'walsender')
    union all
    select 'prepared_transaction', age(transaction), extract(epoch from clock_timestamp() - prepared)
    from pg_prepared_xacts where database = current_database()
    union all
    select 'replication_slot', greatest(age(xmin), age(catalog_xmin)), null from pg_replication_slots
) s on s.kind = k.kind group by k.kind
"""


class OldestSnapshot(NamedTuple):
    """Oldest snapshot of one kind of holder: transactions and seconds since it was taken, 0 for none."""

    kind: str
    transactions: float
    seconds: float


async def read_snapshots(connection: Connection) -> list[OldestSnapshot]:
    """Returns the oldest snapshot of sessions, of prepared transactions and of replication slots."""
    return [OldestSnapshot(*row) for row in await connection.fetch(READ_SNAPSHOTS)]


COUNT_LIVE_ROLES = """
select r.role, count(*) from nodes, unnest(roles) as r (role)
where not draining and heartbeat_at > now() - interval '1 minute' group by r.role
"""


async def count_live_roles(connection: Connection) -> dict[str, int]:
    """Returns the number of live nodes by role."""
    return {row[0]: row[1] for row in await connection.fetch(COUNT_LIVE_ROLES)}


# Lanes of types that no live node runs, or leases to workers over HTTP (`duly.store.queue.nodes`).
COUNT_TYPES_WITHOUT_WORKER = f"""
select count(distinct (l.tenant_id, l.type)) from ({FIND_LANES}) l
where not exists (
    select from nodes
    where not draining and heartbeat_at > now() - interval '1 minute'
      and (l.type = any(job_types) and 'worker' = any(roles) or l.tenant_id || ' ' || l.type = any(leased_types))
)
"""


async def count_types_without_worker(connection: Connection) -> int:
    """Returns the number of job types with ready jobs that no live node runs."""
    return await connection.fetchval(COUNT_TYPES_WITHOUT_WORKER) or 0


READ_SCHEDULES_LATE = """
select coalesce(extract(epoch from now() - min(next_run_at)), 0)::float8
from schedules where not paused and next_run_at < now()
"""


async def read_schedules_late(connection: Connection) -> float:
    """Returns the seconds by which the schedule that is most overdue is late; 0 if none is."""
    return await connection.fetchval(READ_SCHEDULES_LATE) or 0.0
