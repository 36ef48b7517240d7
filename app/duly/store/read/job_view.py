"""Read model of jobs, one or several at once."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from duly.domain.event_views import WITH_ERROR, read_progress
from duly.domain.events import EventKind, Status
from duly.domain.job import JobView, Mark, WaitReason
from duly.store.ledger.ready_keys import in_lane
from duly.store.postgres.catalog_types import Record
from duly.store.postgres.database import Connection

# One snapshot of all tables that may have the job; each part is a lookup by a whole key.
_NEWEST = "order by sequence desc limit 1"
_MERGED = f"{Mark.MERGED:d}"
# A job that waits for a signal, for child jobs, or for a retry by hand, may have no time at which it runs again.
_WITHOUT_TIME = f"{WaitReason.SIGNAL:d}, {WaitReason.HELD:d}, {WaitReason.CHILDREN:d}"
_COMPENSATES = f"coalesce(n.marks, r.marks, s.marks, b.marks, 0) & {Mark.COMPENSATING:d} <> 0"
_VIEW = f"""
select j.job_id, j.type, j.queue, j.priority, j.max_attempts, j.labels::text as labels,
       coalesce(j.correlation_id, j.job_id::text) as correlation_id, j.created_at,
       j.batch_id, j.parent_id, j.depends_on,
       j.parameters::text as parameters,
       j.unique_key is not null and coalesce(n.marks, r.marks, s.marks, b.marks, {_MERGED}) & {_MERGED} <> 0 as merged,
       case when s.reason in ({_WITHOUT_TIME}) then nullif(s.run_at, 'infinity')
            else coalesce(s.run_at, b.run_at, j.run_at) end as run_at,
       coalesce(s.reason, b.reason) as waits_for,
       case when r.job_id is not null then (
           select paused_at is not null from queues where tenant_id = j.tenant_id and queue = j.queue
       ) end as paused,
       {_COMPENSATES} as compensating,
       case when n.job_id is not null or {_COMPENSATES} then 'running'
            when r.job_id is not null or s.job_id is not null or b.job_id is not null then 'pending'
            when e.kind = {EventKind.COMPLETED:d} then 'completed' when e.kind = {EventKind.FAILED:d} then 'failed'
            when e.kind = {EventKind.CANCELLED:d} then 'cancelled'
            else 'pending' end as status,
       coalesce(n.sequence, r.sequence, s.sequence, b.sequence, e.sequence, 0) as sequence,
       coalesce(n.attempt, r.attempt, s.attempt, b.attempt, e.attempt, 0) as attempt,
       e.kind, e.occurred_at, e.data::text as data,
       coalesce(n.started_at, (
           select occurred_at from events x
           where x.job_id = {{job}}{{days}} and x.tenant_id = {{tenant}} and x.kind = {EventKind.STARTED:d} {_NEWEST}
       )) as started_at,
       case when coalesce(n.sequence, r.sequence, s.sequence, b.sequence, e.sequence, 0) > 1 then (
           select x.data::text from events x
           where x.job_id = {{job}}{{days}} and x.tenant_id = {{tenant}} and x.kind = {EventKind.PROGRESSED:d} {_NEWEST}
       ) end as told
from jobs j
left join lateral (
    select job_id, sequence, attempt, marks, started_at from running
    where job_id = {{job}} and tenant_id = {{tenant}} offset 0
) n on true
left join lateral (
    select job_id, sequence, attempt, marks from ready
    where {in_lane("j")} and job_id = {{job}} offset 0
) r on true
left join lateral (
    select job_id, sequence, attempt, marks, run_at, reason from scheduled
    where job_id = {{job}} and tenant_id = {{tenant}} offset 0
) s on true
left join lateral (
    select job_id, sequence, attempt, marks, run_at, reason from blocked
    where job_id = {{job}} and tenant_id = {{tenant}} offset 0
) b on true
left join lateral (
    select kind, sequence, attempt, occurred_at, data from events x
    where x.job_id = {{job}}{{days}} and x.tenant_id = {{tenant}} order by sequence desc limit 1
) e on true
"""
VIEW_ONE = _VIEW.format(job="$2", tenant="$1", days="") + "where j.tenant_id = $1 and j.job_id = $2"


async def view_job(connection: Connection, tenant_id: int, job_id: UUID) -> JobView | None:
    """Returns a job; None if the tenant has no such job."""
    row = await connection.fetchrow(VIEW_ONE, tenant_id, job_id)
    if row is None:
        return None
    return _view(row, await _merged(connection, [(tenant_id, job_id)]) if row["merged"] else {})


# The same for many jobs, each by a lookup of its own; `place` is its index. No job is before `$3` or after `$4`, so an
# execution does not open the partitions of other days: with 34 of them, that took two thirds of the time of one job.
_DAYS = " and {row}.job_id >= $3 and {row}.job_id <= $4"
VIEW_EACH = f"""
select v.*, a.place from unnest($1::int[], $2::uuid[]) with ordinality as a (tenant_id, job_id, place)
cross join lateral (
    {_VIEW.format(job="a.job_id", tenant="a.tenant_id", days=_DAYS.format(row="x"))}
    where j.tenant_id = a.tenant_id and j.job_id = a.job_id{_DAYS.format(row="j")} offset 0
) v
"""


async def view_each(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> list[JobView | None]:
    """Returns each of these (tenant, job), in order; None where the tenant has no such job."""
    tenants, job_ids = zip(*keys, strict=True)
    rows = await connection.fetch(VIEW_EACH, tenants, job_ids, min(job_ids), max(job_ids))
    merged = await _merged(connection, [keys[row["place"] - 1] for row in rows if row["merged"]])
    found = {row["place"]: _view(row, merged) for row in rows}
    return [found.get(place) for place in range(1, len(keys) + 1)]


# Replaced parameters are in an event: if the hot row has the mark, and possibly if a job with a unique key has ended.
# Few jobs have such a key; searching for all would make each read a tenth slower.
READ_MERGED = f"""
select a.job_id, x.parameters from unnest($1::int[], $2::uuid[]) as a (tenant_id, job_id)
cross join lateral (
    select (data -> 'parameters')::text as parameters from events
    where tenant_id = a.tenant_id and job_id = a.job_id and kind = {EventKind.REQUEUED:d}
      and data -> 'parameters' is not null
    order by sequence desc limit 1
) x
"""


async def _merged(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
    """Returns the newest parameters of those of these (tenant, job) whose parameters were replaced."""
    if not keys:
        return {}
    return {row[0]: row[1] for row in await connection.fetch(READ_MERGED, *zip(*keys, strict=True))}


def _view(row: Record, merged: Mapping[UUID, str]) -> JobView:
    status = Status(row["status"])
    progress, message = read_progress(row["told"]) if row["told"] else (None, None)
    return JobView(
        job_id=row["job_id"],
        type=row["type"],
        queue=row["queue"],
        priority=row["priority"],
        status=status,
        sequence=row["sequence"],
        waiting_for=_waiting_for(row) if status is Status.PENDING else None,
        progress=100 if status is Status.COMPLETED else progress,
        progress_message=message,
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        parameters=merged.get(row["job_id"], row["parameters"]),
        result=row["data"] if status is Status.COMPLETED else None,
        error=row["data"] if row["kind"] in WITH_ERROR and status is not Status.RUNNING else None,
        labels=row["labels"],
        batch_id=row["batch_id"],
        parent_id=row["parent_id"],
        depends_on=row["depends_on"] or (),
        correlation_id=row["correlation_id"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        completed_at=row["occurred_at"] if status.ended else None,
        compensating=row["compensating"],
    )


def _waiting_for(row: Record) -> str:
    if row["waits_for"] == WaitReason.CHILDREN:
        return "dependencies"
    if row["waits_for"] is not None:
        return WaitReason(row["waits_for"]).name.lower()
    return "paused" if row["paused"] else "worker"
