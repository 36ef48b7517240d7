"""Large ledger, filled by SQL with the rows that the service would write: days of jobs of every kind and status.

Ids contain the time of the job, every unfinished job is in one state table, and its events have no gaps and agree with
it. The properties of a job derive from hashes of its number, so equal sizes give equal ledgers.
"""

from datetime import datetime, timedelta

from duly.domain.ids import smallest_id_at
from duly.store.postgres.database import Connection
from duly.store.postgres.partitions import PARTITIONED
from tests.support.query_plans import vacuum

# $1 to $5: time of the first job, period of all jobs, number of jobs, number of customers, jobs per batch.
_MADE = """
create unlogged table made as
select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0')
        || '7' || left(hash, 3) || '8' || substr(hash, 4, 15))::uuid as job_id, at, n, hash,
       case when t < 1 then 'rare' when t < 50 then 'report' when t < 300 then 'mail' else 'echo' end as type,
       case when q < 2 then 'quiet' when q < 20 then 'vip' when q < 200 then 'bulk' else 'default' end as queue,
       case when l < 300 then jsonb_build_object(
           'customer', 'c-' || (n % $4), 'region', case when l < 200 then 'eu' else 'us' end
       ) end as labels,
       case when n = 0 then 'ready' when s < 40 then 'failed' when s < 50 then 'redriven' when s < 60 then 'cancelled'
            when s < 100 then 'ready' when s < 115 then 'scheduled' when s < 119 then 'blocked'
            when s < 120 then 'running' else 'completed' end as status,
       case when n % $5 < $5 / 5 then ('00000000-0000-7000-8000-' || lpad((n / $5)::text, 12, '0'))::uuid end
           as batch_id
from (
    select n, hash, $1::timestamptz + n * $2::interval / $3 as at,
           ('x' || substr(hash, 20, 4))::bit(16)::int % 1000 as t,
           ('x' || substr(hash, 24, 4))::bit(16)::int % 1000 as q,
           ('x' || substr(hash, 28, 4))::bit(16)::int % 1000 as l,
           ('x' || substr(hash, 16, 4))::bit(16)::int % 1000 as s
    from (select n, md5(n::text) as hash from generate_series(0, $3 - 1) n) numbered
) drawn
"""
_STATEMENTS = (
    """
    insert into jobs (tenant_id, job_id, created_at, type, queue, priority, parameters, timeout_seconds, max_attempts,
                      callback_events, labels, batch_id, depends_on)
    select 1, job_id, at, type, queue, 0, '{"number": 1}', 3600, 3, 0, labels, batch_id,
           case when status = 'blocked' then array[(select job_id from made where n = 0)] end
    from made order by job_id
    """,
    """
    insert into events (job_id, tenant_id, sequence, kind, attempt, source, occurred_at, data)
    select job_id, 1, sequence, kind, attempt, 'worker:before', at + sequence * interval '50 milliseconds', data::json
    from made join (values
        ('completed', 1, 1, 1, null), ('completed', 2, 10, 1, '{"index": 0}'),
        ('failed', 1, 1, 1, null), ('failed', 2, 11, 1, '{"code": "TASK_FAILED"}'),
        ('cancelled', 1, 12, 0, '{"code": "CANCELLED"}'),
        ('redriven', 1, 1, 1, null), ('redriven', 2, 11, 1, '{"code": "TASK_FAILED"}'),
        ('redriven', 3, 6, 0, '{}'), ('redriven', 4, 1, 1, null), ('redriven', 5, 10, 1, 'null'),
        ('running', 1, 1, 1, null)
    ) as e (status, sequence, kind, attempt, data) using (status)
    order by job_id, sequence
    """,
    """
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, marks, queue, type, batch_id)
    select 1, job_id, 0, 0, 3600, 0, 0, 0, 0, case when n = 0 then 4 else 0 end, queue, type, batch_id
    from made where status = 'ready' order by job_id
    """,
    """
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, reason, queue, type, batch_id)
    select 1, job_id, now() + interval '1 day', 0, 0, 3600, 0, 0, 0, 0, 0, queue, type, batch_id
    from made where status = 'scheduled' order by job_id
    """,
    """
    insert into blocked (tenant_id, job_id, waits_for, token, sequence, timeout_seconds, priority, attempt, crashes,
                         callback_events, marks, reason, queue, type, batch_id)
    select 1, job_id, 1, 0, 0, 3600, 0, 0, 0, 0, 0, 2, queue, type, batch_id
    from made where status = 'blocked' order by job_id
    """,
    """
    insert into dependencies (tenant_id, parent_id, child_id)
    select 1, (select job_id from made where n = 0), job_id from made where status = 'blocked'
    """,
    """
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, queue, type, batch_id)
    select 1, job_id, gen_random_uuid(), now() + interval '1 day', 1, 1, 3600, 0, 1, 0, 0, queue, type, batch_id
    from made where status = 'running' order by job_id
    """,
    """
    insert into batches (tenant_id, batch_id, name, first_id, last_id, total,
                         completed, failed, cancelled, completed_at)
    select 1, batch_id, 'nightly', (array_agg(job_id order by job_id))[1], (array_agg(job_id order by job_id desc))[1],
           count(*), count(*) filter (where status in ('completed', 'redriven')),
           count(*) filter (where status = 'failed'), count(*) filter (where status = 'cancelled'),
           case when bool_and(status in ('completed', 'redriven', 'failed', 'cancelled')) then now() end
    from made where batch_id is not null group by batch_id
    """,
)
# A session that analyses a table holds a snapshot, for which a vacuum of others leaves pages that are not all visible.
UNATTENDED = """
do $$ declare name text; begin
    for name in select oid::regclass from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' loop
        execute format('alter table %s set (autovacuum_enabled = false)', name);
    end loop;
end $$
"""


async def fill(connection: Connection, *, jobs: int, days: int, before: datetime) -> None:
    """Inserts this number of jobs, spread evenly over the days before this midnight."""
    for back in range(days, 0, -1):
        day = before - timedelta(days=back)
        for table in PARTITIONED:
            name, low, high = f"{table}_{day:%Y%m%d}", smallest_id_at(day), smallest_id_at(day + timedelta(days=1))
            if not await connection.fetchval("select to_regclass($1)", name):
                bounds = f"from ('{low}') to ('{high}')"
                await connection.execute(f"create table {name} partition of {table} for values {bounds}")
    await connection.execute(UNATTENDED)
    start = before - timedelta(days=days)
    values = (f"'{start}'", f"'{days} days'", jobs, max(jobs // 50, 1), jobs // 20)
    statement = _MADE
    for place, value in enumerate(values, start=1):
        statement = statement.replace(f"${place}", str(value))
    await connection.execute("drop table if exists made")
    await connection.execute(statement)
    for statement in _STATEMENTS:
        await connection.execute(statement)
    tables = ("jobs", "events", "ready", "scheduled", "blocked", "running", "dependencies", "batches", "made")
    await vacuum(connection, *tables)
