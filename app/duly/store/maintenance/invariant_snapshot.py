"""Facts about all jobs and batches, each as one value, from the caller's snapshot."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.ids import smallest_id_at
from duly.domain.invariant_facts import BatchFacts, History, HotRecord, JobFacts, JobRecord, Ties
from duly.domain.steps import StepKind, StepStatus
from duly.domain.webhook_events import FIRST_MESSAGE
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection
from duly.store.postgres.partitions import LIST_PARTITIONS

# Rows fetched from a cursor at once.
PREFETCH = 500

# For the whole ledger: each table is scanned once and joined by hash, on disk where it is large.
PLANS = "set local cursor_tuple_fraction = 1; set local work_mem = '64MB'"

_STAND = "tenant_id, queue, type, priority, timeout_seconds, callback_events, batch_id, job_id"
_COUNTERS = "token, sequence, attempt, crashes, marks"

# Includes jobs without a hot row and jobs that were not recorded. `{of_job}` restricts a table. Messages are webhooks
# without a job.
_FACTS = f"""
with asked as ({{jobs}}), said as ({{events}}),
told as (
    select job_id, min(tenant_id) as lowest, max(tenant_id) as highest,
           array_agg(sequence order by sequence) as sequences, array_agg(kind order by sequence) as kinds,
           array_agg(attempt order by sequence) as attempts,
           bool_or(
               case when kind = {EventKind.REQUEUED:d} then data -> 'parameters' is not null else false end
           ) as merged
    from said group by job_id
),
stands as (
    select distinct on (job_id) w.*, array_agg(place) over (partition by job_id) as places from (
        select 'ready' as place, {_STAND}, {_COUNTERS}, expires_at, null::smallint as reason, null::int as waits_for,
               false as wished, null::text as key, null::bool as key_held
        from ready {{of_job}}
        union all
        select 'scheduled', {_STAND}, {_COUNTERS}, expires_at, reason, null, false, null, null from scheduled {{of_job}}
        union all
        select 'blocked', {_STAND}, {_COUNTERS}, expires_at, reason, waits_for, false, concurrency_key,
               exists (select from concurrency c where c.tenant_id = b.tenant_id and c.key = b.concurrency_key)
        from blocked b {{of_job}}
        union all
        select 'running', {_STAND}, {_COUNTERS}, null, null, null, cancel_requested_at is not null, null, null
        from running {{of_job}}
    ) w order by job_id
),
ties as (
    select job_id, min(tenant_id) as lowest, max(tenant_id) as highest,
           max(text) filter (where what = 1) as unique_type, max(key) filter (where what = 1) as unique_key,
           max(key) filter (where what = 2) as held_key, bool_or(what = 3) as checkpoint,
           count(*) filter (where what = 4) as waits, count(*) filter (where what = 5) as followers,
           bit_or(marks) filter (where what = 6) as ending_marks,
           array_agg(sequence) filter (where what = 6) as endings, array_agg(kind) filter (where what = 6) as end_kinds,
           array_agg(sequence) filter (where what = 7) as due, array_agg(kind) filter (where what = 7) as due_kinds,
           array_agg(sequence) filter (where what = 8) as settled,
           array_agg(sequence) filter (where what = 9) as addressed,
           array_agg(kind) filter (where what = 9) as addressed_kinds,
           max(sequence) filter (where what = 11) as lease, bool_or(what = 12) as steps,
           bool_or(what = 12 and marks = 1) as compensable
    from (
        select 1 as what, tenant_id, job_id, type as text, key, 0 as sequence, 0::smallint as kind, 0::smallint as marks
        from unique_keys {{of_job}}
        union all select 2, tenant_id, job_id, null, key, 0, 0, 0 from concurrency {{of_job}}
        union all select 3, tenant_id, job_id, null, null, 0, 0, 0 from checkpoints {{of_job}}
        union all select 4, tenant_id, child_id, null, null, 0, 0, 0 from dependencies {{of_child}}
        union all select 5, tenant_id, parent_id, null, null, 0, 0, 0 from dependencies {{of_parent}}
        union all select 6, tenant_id, job_id, null, null, sequence, kind, marks from endings {{of_job}}
        union all select case when registered then 9 else 7 end, tenant_id, job_id, null, null, sequence, kind, 0
                  from deliveries where kind < {FIRST_MESSAGE:d} {{and_of_job}}
        union all select case when registered then 10 else 8 end, tenant_id, job_id, null, null, sequence, kind, 0
                  from delivery_attempts where kind < {FIRST_MESSAGE:d} and outcome in (1, 3) {{and_of_job}}
        union all select 11, tenant_id, job_id, null, null, token, 0, 0 from leases {{of_job}}
        union all select 12, tenant_id, job_id, null, null, sequence, null,
                         (compensable and status = {StepStatus.COMPLETED:d})::int::smallint
                  from steps where kind = {StepKind.STEP:d} {{and_of_job}}
    ) t group by job_id
)
select job_id,
       j.tenant_id, j.queue, j.type, j.priority, j.timeout_seconds, j.callback_events, j.batch_id, j.expires_at,
       j.run_at, j.unique_key, j.concurrency_key, j.depends_on, j.despite_failure, j.holds,
       e.sequences, e.kinds, e.attempts, coalesce(e.merged, false),
       coalesce(e.lowest <> j.tenant_id or e.highest <> j.tenant_id, false),
       w.tenant_id, w.queue, w.type, w.priority, w.timeout_seconds, w.callback_events, w.batch_id, w.place, w.places,
       w.token, w.sequence, w.attempt, w.crashes, w.marks, w.expires_at, w.reason, w.waits_for, w.wished, w.key,
       w.key_held,
       coalesce(t.lowest <> j.tenant_id or t.highest <> j.tenant_id, false), t.unique_type, t.unique_key, t.held_key,
       coalesce(t.checkpoint, false), coalesce(t.waits, 0), coalesce(t.followers, 0), coalesce(t.ending_marks, 0),
       t.endings, t.end_kinds, t.due, t.due_kinds, t.settled, t.addressed, t.addressed_kinds,
       t.lease, coalesce(t.steps, false), coalesce(t.compensable, false)
from asked j full join told e using (job_id) full join stands w using (job_id) full join ties t using (job_id)
"""
READ_ALL_JOBS = _FACTS.format(
    jobs="select * from jobs",
    events="select * from events",
    of_job="",
    and_of_job="",
    of_child="",
    of_parent="",
)
_THESE = "= any($2::uuid[])"
READ_JOBS = _FACTS.format(
    jobs="""
    select j.* from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id) cross join lateral (
        select * from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0
    ) j
    """,
    events="""
    select e.* from unnest($2::uuid[]) as a (job_id) cross join lateral (
        select * from events where job_id = a.job_id offset 0
    ) e
    """,
    of_job=f"where job_id {_THESE}",
    and_of_job=f"and job_id {_THESE}",
    of_child=f"where child_id {_THESE}",
    of_parent=f"where parent_id {_THESE}",
)


async def read_all_jobs(connection: Connection) -> AsyncIterator[JobFacts]:
    """Yields all jobs that any table refers to, in no order, in the caller's transaction."""
    await connection.execute(PLANS)
    async for row in connection.cursor(READ_ALL_JOBS, prefetch=PREFETCH):
        yield _facts(row)


async def read_jobs(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[JobFacts]:
    """Returns these (tenant, job); a job that no table refers to is not in the result."""
    return [_facts(row) for row in await connection.fetch(READ_JOBS, *map(list, zip(*keys, strict=True)))]


_TIES = 40


def _facts(row: Record) -> JobFacts:
    asked = JobRecord(*row[1:15]) if row[1] is not None else None
    history = History(row[15] or (), row[16] or (), row[17] or (), row[18], row[19])
    stand = HotRecord(*row[20:_TIES]) if row[20] is not None else None
    return JobFacts(row[0], asked, history, stand, _ties(row[_TIES:]))


def _ties(row: tuple[Any, ...]) -> Ties:
    foreign, type_, key, held, checkpoint, waits, followers, marks, ends, end_kinds, due, due_kinds, settled = row[:-5]
    addressed, addressed_kinds, lease, steps, compensable = row[-5:]
    return Ties(
        foreign,
        (type_, key) if key is not None else None,
        held,
        checkpoint,
        waits,
        followers,
        marks,
        _pairs(ends, end_kinds),
        _pairs(due, due_kinds),
        frozenset(settled or ()),
        _pairs(addressed, addressed_kinds),
        lease,
        steps,
        compensable,
    )


def _pairs(numbers: Sequence[int] | None, kinds: Sequence[int] | None) -> frozenset[tuple[int, int]]:
    return frozenset(zip(numbers or (), kinds or (), strict=True))


# A job that no longer holds its unique key lost it to one that was recorded, or retried, after it.
_TAKEN_AT = f"""
    select greatest(created_at, (
        select max(occurred_at) from events
        where job_id = {{job}}.job_id and kind = {EventKind.REQUEUED:d} and data ->> 'reason' = 'retried'
    )) as at
"""
FIND_WITHOUT_SUCCESSOR = f"""
with lacking as materialized (
    select j.tenant_id, j.type, j.unique_key, j.job_id, t.at
    from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
    cross join lateral (select * from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0) j
    cross join lateral ({_TAKEN_AT.format(job="j")}) t
)
select l.job_id, l.unique_key from lacking l
where not exists (
    select from jobs k cross join lateral ({_TAKEN_AT.format(job="k")}) t
    where k.tenant_id = l.tenant_id and k.type = l.type and k.unique_key = l.unique_key and k.job_id <> l.job_id
      and (t.at, k.job_id) > (l.at, l.job_id)
)
"""


async def find_without_successor(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
    """Returns those of these (tenant, job) that own their unique key, because no job acquired it after them."""
    if not keys:
        return {}
    rows = await connection.fetch(FIND_WITHOUT_SUCCESSOR, *map(list, zip(*keys, strict=True)))
    return {row[0]: row[1] for row in rows}


# Includes batches that were not recorded and that jobs refer to.
_BATCHES = f"""
with tallied as (
    select tenant_id, batch_id, count(*) as tallies, sum(completed)::int as completed, sum(failed)::int as failed,
           sum(cancelled)::int as cancelled
    from batch_tallies {{of}} group by tenant_id, batch_id
),
had as (
    select j.tenant_id, j.batch_id, count(*)::int as jobs,
           count(*) filter (where e.kind = {EventKind.COMPLETED:d})::int as completed,
           count(*) filter (where e.kind = {EventKind.FAILED:d})::int as failed,
           count(*) filter (where e.kind = {EventKind.CANCELLED:d})::int as cancelled,
           min(j.job_id::text)::uuid as oldest, max(j.job_id::text)::uuid as newest
    from jobs j left join lateral (
        select kind from events where job_id = j.job_id order by sequence desc limit 1
    ) e on true
    {{of_jobs}} group by j.tenant_id, j.batch_id
)
select tenant_id, batch_id, b.total is not null, coalesce(b.first_id, h.oldest), coalesce(b.last_id, h.newest),
       coalesce(b.total, 0), array[coalesce(b.completed, 0), coalesce(b.failed, 0), coalesce(b.cancelled, 0)],
       coalesce(t.tallies, 0), array[coalesce(t.completed, 0), coalesce(t.failed, 0), coalesce(t.cancelled, 0)],
       b.completed_at, b.then_job is not null and b.then_job_id is null and b.then_error is null,
       coalesce(h.jobs, 0), array[coalesce(h.completed, 0), coalesce(h.failed, 0), coalesce(h.cancelled, 0)],
       h.oldest, h.newest
from (select * from batches {{of}}) b full join had h using (tenant_id, batch_id)
left join tallied t using (tenant_id, batch_id)
"""
READ_ALL_BATCHES = _BATCHES.format(of="", of_jobs="where j.batch_id is not null")
READ_BATCHES = _BATCHES.format(of="where batch_id = any($1::uuid[])", of_jobs="where j.batch_id = any($1::uuid[])")


async def read_all_batches(connection: Connection) -> AsyncIterator[BatchFacts]:
    """Yields all batches that are recorded or that jobs refer to, in the caller's transaction."""
    async for row in connection.cursor(READ_ALL_BATCHES, prefetch=PREFETCH):
        yield BatchFacts(*row)


async def read_batches(connection: Connection, batches: Sequence[UUID]) -> list[BatchFacts]:
    """Returns these batches; scans the whole ledger."""
    return [BatchFacts(*row) for row in await connection.fetch(READ_BATCHES, batches)]


async def read_kept_ranges(connection: Connection) -> list[tuple[UUID, UUID]]:
    """Returns the ranges of ids (from, before) whose days were not dropped, in order."""
    names = [row["name"] for row in await connection.fetch(LIST_PARTITIONS, "jobs")]
    dated = [match.group(1) for name in names if (match := re.search(r"_(\d{8})$", name))]
    ranges: list[tuple[UUID, UUID]] = []
    for day in sorted(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) for day in dated):
        low, high = smallest_id_at(day), smallest_id_at(day + timedelta(days=1))
        if ranges and ranges[-1][1] == low:
            low = ranges.pop()[0]
        ranges.append((low, high))
    return ranges


async def has_control(connection: Connection) -> bool:
    """Returns whether the version of the claim restrictions exists; without it no job is ever claimed."""
    found: bool = await connection.fetchval("select exists (select from control where id = 1)")
    return found
