"""Lists of jobs: finding those that a filter asks for, newest first, at a bounded cost whatever it asks.

Each filter offers a way to walk the ledger in the order of ids: an index, or the small tables of what is unfinished.
Where one way answers the whole filter, a page is read from it in one go. Else the walk goes in rounds. In each, the way
that comes furthest back in time with the same number of entries is taken, and what else is asked is looked up job by
job. Labels have an index without order: where walking finds too few, it is asked for days at a time.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import Status
from duly.domain.ids import LARGEST, SMALLEST, made_at, smallest_id_at
from duly.domain.job import JobView
from duly.store.database import Connection
from duly.store.ready import LANES
from duly.store.views import view_each

# So many entries for each job that is wanted are looked at in the first round, and in each later one four times more.
FIRST_ROUND = 4
ROUNDS_GROW = 4
LARGEST_ROUND = 50_000
# Where so many entries were looked at in vain, the index of labels is asked.
ENOUGH_WALKED = 4_000
# A walk ends here with what it has found, and goes on with the next page.
WALK_SECONDS = 1.0


class ListFilter(NamedTuple):
    """Which jobs are wanted; None means no restriction. `before` and `since` bound the ids, `created_before` and
    `created_since` the times that readers see. Of `labels` (sets, as JSON) a job has to fit one.
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


class Found(NamedTuple):
    """Ids, newest first. `reached` is set where the walk ended early: all ids from there on were looked at."""

    job_ids: list[UUID]
    reached: UUID | None


class Page(NamedTuple):
    """Jobs, newest first. The next page begins before `next`; None: there is none."""

    views: list[JobView]
    next: UUID | None


# What a reader sees of a job follows from its newest event, none counting as 0: see `duly.domain.events.fold`.
KINDS = {
    Status.PENDING: (0, 3, 4, 6),
    Status.RUNNING: (1, 2, 5),
    Status.COMPLETED: (10,),
    Status.FAILED: (11,),
    Status.CANCELLED: (12,),
}

# Every statement takes the same arguments, whichever of them it uses.
_GIVEN = """with given as (
    select $1::int, $2::uuid, $3::uuid, $4::bigint, $5::text[], $6::text[], $7::smallint[], $8::smallint[], $9::text[],
           $10::timestamptz, $11::timestamptz, $12::uuid[], $13::bigint
)
"""
_IN_RANGE = "tenant_id = $1 and job_id >= $2 and job_id < $3"
_NEWEST = "order by job_id desc limit $4"

_EVERY_JOB = f"select job_id from jobs where {_IN_RANGE} {_NEWEST}"
_OF_TYPES = f"""
    select w.job_id from unnest($5) as a (type)
    cross join lateral (select job_id from jobs where {_IN_RANGE} and type = a.type {_NEWEST}) w
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
_ENDED = f"""
    select w.job_id from unnest($8) as a (kind)
    cross join lateral (
        select job_id from events where {_IN_RANGE} and kind = a.kind and kind >= 10 {_NEWEST}
    ) w
"""
_ASKED_HERE = "($5 is null or type = any($5)) and ($6 is null or queue = any($6))"
_READY = f"""
    select w.job_id from ({LANES}) l
    cross join lateral (
        select job_id from ready
        where queue = l.queue and type = l.type and priority = l.priority and {_IN_RANGE} {_NEWEST}
    ) w
    where ($5 is null or l.type = any($5)) and ($6 is null or l.queue = any($6))
"""
_STANDING = {
    table: f"select job_id from {table} where {_IN_RANGE} and {_ASKED_HERE} {_NEWEST}"
    for table in ("scheduled", "blocked", "running")
}
_OF_LABELS = f"""
    select w.job_id from unnest($9) as a (labels)
    cross join lateral (select job_id from jobs where {_IN_RANGE} and labels @> a.labels::jsonb offset 0) w
"""

# What a way does not answer is looked up job by job; `offset 0` keeps it from becoming a join.
_ASKED = {
    "types": "type = any($5)",
    "queues": "queue = any($6)",
    "labels": "labels @> any($9::jsonb[])",
    "created_since": "created_at >= $10",
    "created_before": "created_at < $11",
    "batches": "batch_id = any($12)",
}
_AS_ASKED = "exists (select from jobs where tenant_id = $1 and job_id = c.job_id and {asked} offset 0)"
_STATUS = """
    coalesce((select kind from events where job_id = c.job_id order by sequence desc limit 1), 0) = any($7)
"""


class Way(NamedTuple):
    """Statements that give ids, each newest first, together all that may fit; and which filters they answer."""

    sources: tuple[str, ...]
    answers: frozenset[str] = frozenset()

    @property
    def ids(self) -> str:
        return " union all ".join(f"({source})" for source in self.sources)


_BY_LABELS = Way((_OF_LABELS,), frozenset({"labels"}))


def ways_of(wanted: ListFilter) -> list[Way]:
    """The ways that this filter offers."""
    ways = []
    if wanted.batches is not None:
        ways.append(Way((_OF_BATCHES,), frozenset({"batches"})))
    if wanted.statuses is not None:
        ways.append(_way_of_statuses(wanted.statuses))
    if wanted.queues is not None and "default" not in wanted.queues:
        ways.append(Way((_OF_QUEUES,), frozenset({"queues"})))
    if wanted.types is not None:
        ways.append(Way((_OF_TYPES,), frozenset({"types"})))
    return ways or [Way((_EVERY_JOB,))]


def _way_of_statuses(statuses: Sequence[Status]) -> Way:
    sources = [_READY, _STANDING["scheduled"], _STANDING["blocked"]] if Status.PENDING in statuses else []
    sources += [_STANDING["running"]] if Status.RUNNING in statuses else []
    if {Status.PENDING, Status.RUNNING}.issuperset(statuses):
        return Way(tuple(sources), frozenset({"statuses", "types", "queues"}))
    return Way((*sources, _ENDED))  # an ended job may have been run again: what it is now is looked up


def find_statement(wanted: ListFilter, way: Way) -> str:
    """The newest of those that fit, walking this way."""
    asked = [name for name in _ASKED if getattr(wanted, name) is not None and name not in way.answers]
    conditions = [_AS_ASKED.format(asked=" and ".join(_ASKED[name] for name in asked))] if asked else []
    if wanted.statuses is not None and "statuses" not in way.answers:
        conditions.append(_STATUS)
    where = f"where {' and '.join(conditions)}" if conditions else ""
    # A job that ended twice is found twice.
    ids = f"select distinct job_id from ({way.ids}) s" if _ENDED in way.sources else way.ids
    return f"{_GIVEN} select c.job_id from ({ids}) c {where} order by c.job_id desc limit $13"


def floors_statement(ways: Iterable[Way]) -> str:
    """How far back in time each way comes with `$4` entries; null: to the end."""
    floors = (f"(select job_id from ({way.ids}) c order by job_id desc offset $4 - 1 limit 1)" for way in ways)
    return f"{_GIVEN} select {', '.join(floors)}"


def _answered(wanted: ListFilter, way: Way) -> bool:
    """Whether this way needs no look at single jobs."""
    names = ("statuses", *_ASKED)
    return all(getattr(wanted, name) is None or name in way.answers for name in names)


def arguments(tenant_id: int, wanted: ListFilter, *, most: int, limit: int) -> list[object]:
    """What every statement here is given: `most` bounds what each source gives, `limit` the answer."""
    kinds = [kind for status in wanted.statuses or () for kind in KINDS[status]]
    return [
        tenant_id,
        wanted.since,
        wanted.before,
        most,
        wanted.types,
        wanted.queues,
        kinds,
        [kind for kind in kinds if kind >= 10],  # noqa: PLR2004  # from there on they are terminal
        wanted.labels,
        wanted.created_since,
        wanted.created_before,
        wanted.batches,
        limit,
    ]


# Each statement leaves one way through the data; these keep the planner from finding another while a table is small.
PLANS = """
set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off; set local jit = off
"""


async def view_page(connection: Connection, tenant_id: int, wanted: ListFilter, *, limit: int) -> Page:
    """A page of this tenant's jobs, all as they stood at one moment. It may be short, or empty, and yet have a next
    one: where the walk took too long.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        found = await find_jobs(connection, tenant_id, wanted, limit=limit + 1, seconds=WALK_SECONDS)
        shown = found.job_ids[:limit]
        views = await view_each(connection, [(tenant_id, job_id) for job_id in shown]) if shown else []
    following = shown[-1] if len(found.job_ids) > limit else found.reached
    return Page([view for view in views if view is not None], following)


async def find_jobs(
    connection: Connection, tenant_id: int, wanted: ListFilter, *, limit: int, seconds: float
) -> Found:
    """The newest jobs that fit, up to `limit`, as far as they are found in `seconds`.

    The transaction is the caller's, with `PLANS` set in it.
    """
    ways = ways_of(wanted)
    for way in ways:
        if _answered(wanted, way):
            given = arguments(tenant_id, wanted, most=limit, limit=limit)
            return Found(await _ids(connection, find_statement(wanted, way), given), None)
    return await _walk(connection, tenant_id, wanted, ways, limit=limit, until=time.monotonic() + seconds)


async def _ids(connection: Connection, statement: str, given: Sequence[object]) -> list[UUID]:
    return [row[0] for row in await connection.fetch(statement, *given)]


async def _walk(
    connection: Connection, tenant_id: int, wanted: ListFilter, ways: Sequence[Way], *, limit: int, until: float
) -> Found:
    """In rounds, each over a range of ids that ends where the best way comes to."""
    found: list[UUID] = []
    most, walked = FIRST_ROUND * limit, 0
    while True:
        floors = await connection.fetchrow(
            floors_statement(ways), *arguments(tenant_id, wanted, most=most, limit=limit)
        )
        floor, place = min((floor or SMALLEST, place) for place, floor in enumerate(floors))
        here = wanted._replace(since=max(floor, wanted.since))
        given = arguments(tenant_id, here, most=most, limit=limit - len(found))
        found += await _ids(connection, find_statement(here, ways[place]), given)
        if len(found) >= limit or floor == SMALLEST:
            return Found(found, None)
        wanted, walked = wanted._replace(before=floor), walked + most
        if wanted.labels is not None and walked >= ENOUGH_WALKED:
            return await _search(connection, tenant_id, wanted, found, limit=limit, until=until)
        if time.monotonic() >= until:
            return Found(found, floor)
        most = min(most * ROUNDS_GROW, LARGEST_ROUND)


async def _search(
    connection: Connection, tenant_id: int, wanted: ListFilter, found: list[UUID], *, limit: int, until: float
) -> Found:
    """By labels: the newest day on which there are jobs, then two, four, and so on."""
    days = 1
    while time.monotonic() < until:
        given = arguments(tenant_id, wanted, most=1, limit=1)
        newest = await _ids(connection, f"{_GIVEN} {_EVERY_JOB}", given)
        if not newest:
            return Found(found, None)
        bottom = max(smallest_id_at(_midnight(newest[0]) - timedelta(days=days - 1)), wanted.since)
        here = wanted._replace(since=bottom)
        given = arguments(tenant_id, here, most=1, limit=limit - len(found))
        found += await _ids(connection, find_statement(here, _BY_LABELS), given)
        if len(found) >= limit:
            return Found(found, None)
        wanted, days = wanted._replace(before=bottom), days * 2
    return Found(found, wanted.before)


def _midnight(job_id: UUID) -> datetime:
    """When the day began on which this id was made."""
    day = made_at(job_id).date()
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
