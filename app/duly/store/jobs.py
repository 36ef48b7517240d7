"""The table `jobs`: recording submissions, many at once, and reading them back."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind, Status
from duly.domain.job import JobView, NewJob, WaitsFor
from duly.store.database import Connection

_ASKED = """
    select tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
           coalesce(run_at, now() + delay_seconds * interval '1 second') as run_at, labels, callback_url,
           callback_secret, callback_events, correlation_id, traceparent, starts
    from unnest(
        $1::int[], $2::uuid[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::real[], $8::smallint[],
        $9::timestamptz[], $10::float8[], $11::text[], $12::text[], $13::text[], $14::smallint[],
        $15::text[], $16::text[], $17::bool[]
    ) as a (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
            run_at, delay_seconds, labels, callback_url, callback_secret, callback_events, correlation_id, traceparent,
            starts)
"""
_RECORDED = """
    insert into jobs (tenant_id, job_id, type, queue, priority, parameters, timeout_seconds, max_attempts,
                      run_at, labels, callback_url, callback_secret, callback_events, correlation_id, traceparent)
    select tenant_id, job_id, type, queue, priority, parameters::json, timeout_seconds, max_attempts,
           run_at, labels::jsonb, callback_url, callback_secret, callback_events, correlation_id, traceparent
    from asked
"""
_NOW_READY = """
    insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, queue, type)
    select tenant_id, job_id, 0, 0, timeout_seconds, priority, 0, 0, callback_events, queue, type
    from {source} where (run_at is null or run_at <= now())
"""
_FOR_LATER = """
    insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                           callback_events, reason, queue, type)
    select tenant_id, job_id, run_at, 0, 0, timeout_seconds, priority, 0, 0, callback_events, 0, queue, type
    from {source} where run_at > now()
"""

# What `starts` is recorded as running on the node that submits it, with the events of a claim: its eager start.
SUBMIT = f"""
with asked as materialized ({_ASKED}),
recorded as ({_RECORDED}),
now_ready as ({_NOW_READY.format(source="asked")} and starts is not true),
for_later as ({_FOR_LATER.format(source="asked")}),
started as (
    insert into running (tenant_id, job_id, node_id, deadline, token, sequence, timeout_seconds, priority, attempt,
                         crashes, callback_events, queue, type)
    select tenant_id, job_id, $18, now() + timeout_seconds * interval '1 second', 1, 1, timeout_seconds, priority, 1,
           0, callback_events, queue, type
    from asked where starts
),
told as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source)
    select tenant_id, job_id, 1, 1, 1, $19 from asked where starts
),
outbox as (
    insert into deliveries (tenant_id, job_id, sequence, kind)
    select tenant_id, job_id, 1, 1 from asked where starts and callback_events & 1 <> 0
)
select now()
"""

# The same once more, after an answer was lost: a job that is recorded already is left as it is, and not counted.
SUBMIT_AGAIN = f"""
with asked as materialized ({_ASKED}),
recorded as (
    {_RECORDED} on conflict do nothing
    returning tenant_id, job_id, type, queue, priority, timeout_seconds, callback_events, run_at
),
now_ready as ({_NOW_READY.format(source="recorded")}),
for_later as ({_FOR_LATER.format(source="recorded")})
select now() as at, count(*) as recorded from recorded
"""
COLUMNS = 16  # of a NewJob; what follows them is not stored with the job


class Starting(NamedTuple):
    """Which of the jobs start at once, on which node, and how that node signs its events."""

    node_id: UUID
    source: str
    starts: Sequence[bool]


async def record_jobs(connection: Connection, jobs: Sequence[NewJob], *, starting: Starting | None = None) -> datetime:
    """Records new jobs, each ready, scheduled or running, in one statement. Returns when."""
    node_id, source, starts = starting or (None, None, None)
    at: datetime = await connection.fetchval(SUBMIT, *_columns(jobs), starts, node_id, source)
    return at


def _columns(jobs: Sequence[NewJob]) -> list[Sequence[object] | None]:
    """An array for each column. One of nulls only is left out: unnest fills it up, and most jobs have seven of them."""
    columns = list(zip(*jobs, strict=True))[:COLUMNS]
    return [None if column.count(None) == len(jobs) else column for column in columns]


class Recorded(NamedTuple):
    at: datetime
    jobs: int


async def record_jobs_again(connection: Connection, jobs: Sequence[NewJob]) -> Recorded:
    """Records those that are not. `jobs` of the answer is short by those that stood already."""
    return Recorded(*await connection.fetchrow(SUBMIT_AGAIN, *_columns(jobs), None))


CREATED = """
select a.tenant_id, a.job_id, j.created_at from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (select created_at from jobs where tenant_id = a.tenant_id and job_id = a.job_id offset 0) j
"""


async def creation_times(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], datetime]:
    """When each of these (tenant, job) was recorded; those that do not exist are missing."""
    rows = await connection.fetch(CREATED, *(list(column) for column in zip(*keys, strict=True)))
    return {(row["tenant_id"], row["job_id"]): row["created_at"] for row in rows}


# One snapshot of every place where a job can stand; each part is a look-up by a whole key.
_VIEW = """
select j.job_id, j.type, j.queue, j.priority, j.max_attempts, j.parameters::text as parameters,
       j.labels::text as labels, coalesce(j.correlation_id, j.job_id::text) as correlation_id, j.created_at,
       coalesce(s.run_at, j.run_at) as run_at, s.reason as waits_for,
       case when n.job_id is not null then 'running'
            when r.job_id is not null or s.job_id is not null then 'pending'
            when e.kind = 10 then 'completed' when e.kind = 11 then 'failed' when e.kind = 12 then 'cancelled'
            else 'pending' end as status,
       coalesce(n.sequence, r.sequence, s.sequence, e.sequence, 0) as sequence,
       coalesce(n.attempt, r.attempt, s.attempt, e.attempt, 0) as attempt,
       e.kind, e.occurred_at, e.data::text as data,
       coalesce(n.started_at, (
           select occurred_at from events x where x.job_id = {job} and x.kind = 1 order by sequence desc limit 1
       )) as started_at,
       case when coalesce(n.sequence, r.sequence, s.sequence, e.sequence, 0) > 1 then (
           select x.data::text from events x where x.job_id = {job} and x.kind = 2 order by sequence desc limit 1
       ) end as told
from jobs j
left join lateral (select job_id, sequence, attempt, started_at from running where job_id = {job} offset 0) n on true
left join lateral (
    select job_id, sequence, attempt from ready
    where queue = j.queue and type = j.type and priority = j.priority and job_id = {job} offset 0
) r on true
left join lateral (
    select job_id, sequence, attempt, run_at, reason from scheduled where job_id = {job} offset 0
) s on true
left join lateral (
    select kind, sequence, attempt, occurred_at, data from events x
    where x.job_id = {job} order by sequence desc limit 1
) e on true
"""
VIEW_ONE = _VIEW.format(job="$2") + "where j.tenant_id = $1 and j.job_id = $2"


async def view_job(connection: Connection, tenant_id: int, job_id: UUID) -> JobView | None:
    """What a reader sees of one job, or None where this tenant has no such job."""
    row = await connection.fetchrow(VIEW_ONE, tenant_id, job_id)
    return _view(row) if row is not None else None


# The same of many at once, each by itself: the place says whose it is.
VIEW_EACH = f"""
select v.*, a.place from unnest($1::int[], $2::uuid[]) with ordinality as a (tenant_id, job_id, place)
cross join lateral (
    {_VIEW.format(job="a.job_id")} where j.tenant_id = a.tenant_id and j.job_id = a.job_id offset 0
) v
"""


async def view_each(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[JobView | None]:
    """What readers see of each of these (tenant, job), in their order; None where that tenant has no such job."""
    rows = await connection.fetch(VIEW_EACH, *zip(*keys, strict=True))
    found = {row["place"]: _view(row) for row in rows}
    return [found.get(place) for place in range(1, len(keys) + 1)]


class ListFilter(NamedTuple):
    """Which jobs a list shows; None means no restriction. `before` and `since` bound the ids, `created_before` and
    `created_since` the times that readers see. Of `labels` a job has to fit one.
    """

    before: UUID
    since: UUID
    created_before: datetime | None = None
    created_since: datetime | None = None
    statuses: Sequence[str] | None = None
    types: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    labels: Sequence[str] | None = None


VIEW_MANY = f"""
select * from (
    {_VIEW.format(job="j.job_id")}
    where j.tenant_id = $1 and j.job_id < $2 and j.job_id >= $3
      and ($4::text[] is null or j.type = any($4)) and ($5::text[] is null or j.queue = any($5))
      and ($6::jsonb[] is null or j.labels @> any($6))
      and ($7::timestamptz is null or j.created_at < $7) and ($8::timestamptz is null or j.created_at >= $8)
) v
where ($9::text[] is null or v.status = any($9))
order by v.job_id desc limit $10
"""


async def view_jobs(connection: Connection, tenant_id: int, wanted: ListFilter, *, limit: int) -> list[JobView]:
    """A page of this tenant's jobs, newest first."""
    rows = await connection.fetch(
        VIEW_MANY,
        tenant_id,
        wanted.before,
        wanted.since,
        wanted.types,
        wanted.queues,
        wanted.labels,
        wanted.created_before,
        wanted.created_since,
        wanted.statuses,
        limit,
    )
    return [_view(row) for row in rows]


# While a job waits for its next attempt, what ended the last one is shown.
_WITH_ERROR = frozenset({EventKind.FAILED, EventKind.CANCELLED, EventKind.RETRY_SCHEDULED, EventKind.LEASE_EXPIRED})


def _view(row: Connection) -> JobView:
    status = Status(row["status"])
    progress, message = read_progress(row["told"]) if row["told"] else (None, None)
    ended = status not in {Status.PENDING, Status.RUNNING}
    return JobView(
        job_id=row["job_id"],
        type=row["type"],
        queue=row["queue"],
        priority=row["priority"],
        status=status,
        sequence=row["sequence"],
        waiting_for=_waiting_for(row["waits_for"]) if status is Status.PENDING else None,
        progress=100 if status is Status.COMPLETED else progress,
        progress_message=message,
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        parameters=row["parameters"],
        result=row["data"] if status is Status.COMPLETED else None,
        error=row["data"] if row["kind"] in _WITH_ERROR and status is not Status.RUNNING else None,
        labels=row["labels"],
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        completed_at=row["occurred_at"] if ended else None,
    )


def _waiting_for(reason: int | None) -> str:
    if reason is None:
        return "worker"
    return "retry" if reason == WaitsFor.RETRY else "time"


def read_progress(text: str) -> tuple[float | None, str | None]:
    """The percentage and the message in a JobProgressed event's data."""
    told = json.loads(text)
    return told.get("progress"), told.get("message")
