"""Access paths of the job list: indexes, and the hot tables, that yield the jobs of a filter by id,
newest first.

The rest of a filter, which a path does not answer, is looked up job by job by key.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import FIRST_TERMINAL, PLACING_NOTHING, EventKind, Status
from duly.domain.ids import LARGEST, SMALLEST
from duly.domain.job import Mark
from duly.store.ledger.ready_keys import in_lane
from duly.store.queue.ready import lanes_of_tenant
from duly.store.schema.index_conditions import PLACED

# Difference between the time in an id and the time of the record, beyond which `jobs_placed` has the job.
CLOCKS_DIFFER_SECONDS = 300


class ListFilter(NamedTuple):
    """Filter of the job list; None means no restriction. `before` and `since` bound the ids (a page begins before the
    last id of the previous one), `created_before` and `created_since` the recorded times. A job must match one of
    `labels` (sets, as JSON).
    """

    before: UUID = LARGEST
    since: UUID = SMALLEST
    created_before: datetime | None = None
    created_since: datetime | None = None
    statuses: Sequence[Status] | None = None
    types: Sequence[str] | None = None
    queues: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    batches: Sequence[UUID] | None = None
    parents: Sequence[UUID] | None = None


# Status of a job by the kind of the newest event that placed it, SUBMITTED without one; agrees with
# `duly.domain.events.fold`. While it compensates, that counts as the newest.
_QUEUED = (EventKind.RETRY_SCHEDULED, EventKind.LEASE_EXPIRED, EventKind.REQUEUED)
KINDS = {
    Status.PENDING: (EventKind.SUBMITTED, *_QUEUED, EventKind.PARKED, EventKind.RESUMED, EventKind.HELD),
    Status.RUNNING: (EventKind.STARTED, EventKind.COMPENSATING),
    Status.COMPLETED: (EventKind.COMPLETED,),
    Status.FAILED: (EventKind.FAILED,),
    Status.CANCELLED: (EventKind.CANCELLED,),
}

# Every statement takes the same arguments, used or not.
GIVEN = """with given as (
    select $1::int, $2::uuid, $3::uuid, $4::bigint, $5::text[], $6::text[], $7::smallint[], $8::smallint[], $9::text[],
           $10::timestamptz, $11::timestamptz, $12::uuid[], $13::bigint, $14::uuid[]
)
"""
_IN_RANGE = "tenant_id = $1 and job_id >= $2 and job_id < $3"
_NEWEST = "order by job_id desc limit $4"

EVERY_JOB = f"select job_id from jobs where {_IN_RANGE} {_NEWEST}"
# The index is partial, with a condition that is always true, so that no other plan uses it for the key.
_OF_TYPES = f"""
    select w.job_id from unnest($5) as a (type)
    cross join lateral (select job_id from jobs where {_IN_RANGE} and type = a.type and type <> '' {_NEWEST}) w
"""
_OF_QUEUES = f"""
    select w.job_id from unnest($6) as a (queue)
    cross join lateral (
        select job_id from jobs where {_IN_RANGE} and queue = a.queue and queue <> 'default' {_NEWEST}
    ) w
"""
_OF_BATCHES = f"""
    select w.job_id from unnest($12) as a (batch_id)
    cross join lateral (
        select first_id, last_id from batches where tenant_id = $1 and batch_id = a.batch_id offset 0
    ) b
    cross join lateral (
        select job_id from jobs
        where {_IN_RANGE} and job_id >= b.first_id and job_id <= b.last_id and batch_id = a.batch_id {_NEWEST}
    ) w
"""
_OF_PARENTS = f"""
    select w.job_id from unnest($14) as a (parent_id)
    cross join lateral (select job_id from jobs where {_IN_RANGE} and parent_id = a.parent_id {_NEWEST}) w
"""
_ENDED = f"""
    select w.job_id from unnest($8) as a (kind)
    cross join lateral (
        select job_id from events where {_IN_RANGE} and kind = a.kind and kind >= {FIRST_TERMINAL:d} {_NEWEST}
    ) w
"""
# A job that compensates is running, also while it waits for an attempt.
_COMPENSATES = f"marks & {Mark.COMPENSATING:d} <> 0"
_NOT_COMPENSATING = f"marks & {Mark.COMPENSATING:d} = 0"
_ASKED_HERE = "($5 is null or type = any($5)) and ($6 is null or queue = any($6))"
_READY = f"""
    select w.job_id from ({lanes_of_tenant("$1")} select * from lane) l
    cross join lateral (
        select job_id from ready where {in_lane("l")} and {_IN_RANGE} and {_NOT_COMPENSATING} {_NEWEST}
    ) w
    where ($5 is null or l.type = any($5)) and ($6 is null or l.queue = any($6))
"""
_STANDING = {
    table: f"select job_id from {table} where {_IN_RANGE} and {_ASKED_HERE}{only} {_NEWEST}"
    for table, only in {
        "scheduled": f" and {_NOT_COMPENSATING}",
        "blocked": f" and {_NOT_COMPENSATING}",
        "running": "",
    }.items()
}
_COMPENSATING = tuple(
    f"select job_id from {table} where {_IN_RANGE} and {_ASKED_HERE} and {_COMPENSATES} {_NEWEST}"
    for table in ("ready", "scheduled", "blocked")
)
_OF_LABELS = f"""
    select w.job_id from unnest($9) as a (labels)
    cross join lateral (select job_id from jobs where {_IN_RANGE} and labels @> a.labels::jsonb offset 0) w
"""
# `offset 0` keeps the planner from choosing another index for the order of ids.
_PLACED = f"""
    select p.job_id from (
        select job_id from jobs
        where {_IN_RANGE} and created_at >= coalesce($10, '-infinity') and created_at < coalesce($11, 'infinity')
        and {PLACED} offset 0
    ) p
    {_NEWEST}
"""

# Conditions that a path does not answer are looked up job by job; `offset 0` keeps them from becoming a join.
_ASKED = {
    "types": "type = any($5)",
    "queues": "queue = any($6)",
    "labels": "labels @> any($9::jsonb[])",
    "created_since": "created_at >= $10",
    "created_before": "created_at < $11",
    "batches": "batch_id = any($12)",
    "parents": "parent_id = any($14)",
}
_AS_ASKED = "exists (select from jobs where tenant_id = $1 and job_id = c.job_id and {asked} offset 0)"


def _numbers(kinds: Iterable[EventKind]) -> str:
    return ", ".join(f"{kind:d}" for kind in kinds)


_STATUS = f"""
    coalesce((
        select case when kind not in ({_numbers(_QUEUED)}) then kind else coalesce((
            select case when kind = {EventKind.COMPENSATING:d} then kind end from events
            where tenant_id = $1 and job_id = c.job_id
              and kind in ({EventKind.COMPENSATING:d}, {EventKind.FAILED:d}, {EventKind.CANCELLED:d})
            order by sequence desc limit 1
        ), kind) end
        from events
        where tenant_id = $1 and job_id = c.job_id and kind not in ({_numbers(sorted(PLACING_NOTHING))})
        order by sequence desc limit 1
    ), 0) = any($7)
"""


class AccessPath(NamedTuple):
    """Access path: statements that yield ids, each newest first, and together all that may match; and the filters that
    they answer.
    """

    sources: tuple[str, ...]
    answers: frozenset[str] = frozenset()

    @property
    def ids(self) -> str:
        """Returns the statement for the union of the sources."""
        return " union all ".join(f"({source})" for source in self.sources)


# Jobs whose ids have another time than their record.
PLACED_ONLY = AccessPath((_PLACED,), frozenset({"created_since", "created_before"}))
BY_LABELS = AccessPath((_OF_LABELS,), frozenset({"labels"}))


def access_paths_of(job_filter: ListFilter) -> list[AccessPath]:
    """Returns the access paths that this filter offers."""
    paths = []
    if job_filter.batches is not None:
        paths.append(AccessPath((_OF_BATCHES,), frozenset({"batches"})))
    if job_filter.parents is not None:
        paths.append(AccessPath((_OF_PARENTS,), frozenset({"parents"})))
    if job_filter.statuses is not None:
        paths.append(_path_of_statuses(job_filter.statuses))
    if job_filter.queues is not None and "default" not in job_filter.queues:
        paths.append(AccessPath((_OF_QUEUES,), frozenset({"queues"})))
    if job_filter.types is not None:
        paths.append(AccessPath((_OF_TYPES,), frozenset({"types"})))
    return paths or [AccessPath((EVERY_JOB,))]


def _path_of_statuses(statuses: Sequence[Status]) -> AccessPath:
    sources = [_READY, _STANDING["scheduled"], _STANDING["blocked"]] if Status.PENDING in statuses else []
    sources += [_STANDING["running"], *_COMPENSATING] if Status.RUNNING in statuses else []
    if {Status.PENDING, Status.RUNNING}.issuperset(statuses):
        return AccessPath(tuple(sources), frozenset({"statuses", "types", "queues"}))
    return AccessPath((*sources, _ENDED))  # an ended job may have been retried, so its status is looked up


def find_statement(job_filter: ListFilter, path: AccessPath) -> str:
    """Returns the statement for the newest matching jobs on this access path."""
    asked = [name for name in _ASKED if getattr(job_filter, name) is not None and name not in path.answers]
    conditions = [_AS_ASKED.format(asked=" and ".join(_ASKED[name] for name in asked))] if asked else []
    if job_filter.statuses is not None and "statuses" not in path.answers:
        conditions.append(_STATUS)
    where = f"where {' and '.join(conditions)}" if conditions else ""
    # A job with two ends is found twice.
    ids = f"select distinct job_id from ({path.ids}) s" if _ENDED in path.sources else path.ids
    return f"{GIVEN} select c.job_id from ({ids}) c {where} order by c.job_id desc limit $13"


def floors_statement(paths: Iterable[AccessPath]) -> str:
    """Returns the statement for how far back each path reaches with `$4` entries; null: to the end."""
    floors = (f"(select job_id from ({path.ids}) c order by job_id desc offset $4 - 1 limit 1)" for path in paths)
    return f"{GIVEN} select {', '.join(floors)}"


def answers_all(job_filter: ListFilter, path: AccessPath) -> bool:
    """Returns whether this path answers the whole filter."""
    names = ("statuses", *_ASKED)
    return all(getattr(job_filter, name) is None or name in path.answers for name in names)


def arguments(tenant_id: int, job_filter: ListFilter, *, most: int, limit: int) -> list[object]:
    """Returns the arguments of every statement here: `most` bounds each source, `limit` the result."""
    kinds = [kind for status in job_filter.statuses or () for kind in KINDS[status]]
    return [
        tenant_id,
        job_filter.since,
        job_filter.before,
        most,
        job_filter.types,
        job_filter.queues,
        kinds,
        [kind for kind in kinds if kind.terminal],
        job_filter.labels,
        job_filter.created_since,
        job_filter.created_before,
        job_filter.batches,
        limit,
        job_filter.parents,
    ]


# Each statement has one intended plan; these settings exclude others that look cheaper while a table is small.
PLANS = """
set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off
"""
