"""List of jobs: finds the jobs that match a filter, newest first, at a bounded cost.

A filter offers access paths. Where one answers the whole filter, a page is one read of it. Otherwise the list walks in
rounds: each round takes the path that reaches furthest back with the same number of entries, and looks up the rest of
the filter job by job. The index of labels has no order; where a walk finds too few jobs, it is searched by ranges of
days.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from duly.domain.ids import LARGEST, SMALLEST, made_at, smallest_id_at
from duly.domain.job import JobView
from duly.store.postgres.catalog_types import only
from duly.store.postgres.database import Connection
from duly.store.read.access_paths import (
    BY_LABELS,
    CLOCKS_DIFFER_SECONDS,
    EVERY_JOB,
    GIVEN,
    PLACED_ONLY,
    PLANS,
    AccessPath,
    ListFilter,
    access_paths_of,
    answers_all,
    arguments,
    find_statement,
    floors_statement,
)
from duly.store.read.job_view import view_each

CLOCKS_DIFFER = timedelta(seconds=CLOCKS_DIFFER_SECONDS)
# Entries examined for each requested job in the first round; each later round examines four times as many.
FIRST_ROUND = 4
ROUNDS_GROW = 4
LARGEST_ROUND = 50_000
# A path with at most this many entries is preferred to one that answers the whole filter and may have millions.
FEW = 2_000
# After this many entries without enough matches the index of labels is used.
ENOUGH_WALKED = 1_000
# Bound of a walk, which continues with the next page.
WALK_SECONDS = 1.0


class Found(NamedTuple):
    """Ids, newest first. `reached` is set where the walk ended early: all ids from there on were examined."""

    job_ids: list[UUID]
    reached: UUID | None


class Page(NamedTuple):
    """Jobs, newest first. The next page begins before `next`; None: this is the last page."""

    views: list[JobView]
    next: UUID | None


async def view_page(connection: Connection, tenant_id: int, job_filter: ListFilter, *, limit: int) -> Page:
    """Returns a page of this tenant's jobs from one snapshot. Where the walk took too long the page may be short, even
    empty, and still have a next one.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        found = await find_jobs(connection, tenant_id, job_filter, limit=limit + 1, seconds=WALK_SECONDS)
        shown = found.job_ids[:limit]
        views = await view_each(connection, [(tenant_id, job_id) for job_id in shown]) if shown else []
    following = shown[-1] if len(found.job_ids) > limit else found.reached
    return Page([view for view in views if view is not None], following)


async def find_jobs(
    connection: Connection, tenant_id: int, job_filter: ListFilter, *, limit: int, seconds: float
) -> Found:
    """Returns up to `limit` of the newest matching jobs that are found within `seconds`.

    The caller's transaction has `PLANS` set.
    """
    until = time.monotonic() + seconds
    found: list[UUID] = []
    for id_range, paths in _id_ranges(job_filter):
        page = await _find_in(connection, tenant_id, id_range, paths, limit=limit - len(found), until=until)
        found += page.job_ids
        if len(found) >= limit or page.reached is not None:
            return Found(found, page.reached)
    return Found(found, None)


async def find_ids(connection: Connection, tenant_id: int, job_filter: ListFilter, *, limit: int) -> Found:
    """Returns ids of the newest jobs that match the filter, from one snapshot.

    More may follow where `limit` were found or `reached` is set.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(PLANS)
        return await find_jobs(connection, tenant_id, job_filter, limit=limit, seconds=WALK_SECONDS)


def _id_ranges(job_filter: ListFilter) -> Iterator[tuple[ListFilter, Sequence[AccessPath]]]:
    """Yields ranges of ids, newest first, with all jobs created in the requested time: ids of that time, give or take
    the difference of clocks, and on both sides only jobs whose ids have another time.
    """
    top, bottom = LARGEST, SMALLEST
    if job_filter.created_before is not None:
        top = smallest_id_at(job_filter.created_before + CLOCKS_DIFFER)
    if job_filter.created_since is not None:
        bottom = smallest_id_at(job_filter.created_since - CLOCKS_DIFFER)
    for since, before, paths in (
        (max(top, bottom), LARGEST, [PLACED_ONLY]),
        (bottom, top, access_paths_of(job_filter)),
        (SMALLEST, min(bottom, top), [PLACED_ONLY]),
    ):
        id_range = job_filter._replace(since=max(since, job_filter.since), before=min(before, job_filter.before))
        if id_range.since < id_range.before:
            yield id_range, paths


async def _find_in(
    connection: Connection,
    tenant_id: int,
    job_filter: ListFilter,
    paths: Sequence[AccessPath],
    *,
    limit: int,
    until: float,
) -> Found:
    """Returns the matching jobs of one range."""
    complete = next((path for path in paths if answers_all(job_filter, path)), None)
    if complete is None:
        return await _walk(connection, tenant_id, job_filter, paths, limit=limit, until=until)
    others = [path for path in paths if path is not complete]
    if others and (short := await _short(connection, tenant_id, job_filter, others)):
        values = arguments(tenant_id, job_filter, most=FEW, limit=limit)
        return Found(await _ids(connection, find_statement(job_filter, short), values), None)
    values = arguments(tenant_id, job_filter, most=limit, limit=limit)
    return Found(await _ids(connection, find_statement(job_filter, complete), values), None)


async def _short(
    connection: Connection, tenant_id: int, job_filter: ListFilter, paths: Sequence[AccessPath]
) -> AccessPath | None:
    """Returns one of these paths that is so short that it is read completely, if any."""
    values = arguments(tenant_id, job_filter, most=FEW, limit=0)
    floors = only(await connection.fetchrow(floors_statement(paths), *values))
    return next((path for path, floor in zip(paths, floors, strict=True) if floor is None), None)


async def _ids(connection: Connection, statement: str, values: Sequence[object]) -> list[UUID]:
    return [row[0] for row in await connection.fetch(statement, *values)]


async def _walk(
    connection: Connection,
    tenant_id: int,
    job_filter: ListFilter,
    paths: Sequence[AccessPath],
    *,
    limit: int,
    until: float,
) -> Found:
    """Walks in rounds, each over a range of ids that ends where the best path reaches."""
    found: list[UUID] = []
    most, walked = FIRST_ROUND * limit, 0
    while True:
        values = arguments(tenant_id, job_filter, most=most, limit=limit)
        floors = only(await connection.fetchrow(floors_statement(paths), *values))
        floor, place = min((floor or SMALLEST, place) for place, floor in enumerate(floors))
        here = job_filter._replace(since=max(floor, job_filter.since))
        values = arguments(tenant_id, here, most=most, limit=limit - len(found))
        found += await _ids(connection, find_statement(here, paths[place]), values)
        if len(found) >= limit or floor == SMALLEST:
            return Found(found, None)
        job_filter, walked = job_filter._replace(before=floor), walked + most
        if job_filter.labels is not None and walked >= ENOUGH_WALKED and PLACED_ONLY not in paths:
            return await _search(connection, tenant_id, job_filter, found, limit=limit, until=until)
        if time.monotonic() >= until:
            return Found(found, floor)
        most = min(most * ROUNDS_GROW, LARGEST_ROUND)


async def _search(
    connection: Connection, tenant_id: int, job_filter: ListFilter, found: list[UUID], *, limit: int, until: float
) -> Found:
    """Searches by labels: the newest day with jobs, then two, four, and so on."""
    days = 1
    while time.monotonic() < until:
        values = arguments(tenant_id, job_filter, most=1, limit=1)
        newest = await _ids(connection, f"{GIVEN} {EVERY_JOB}", values)
        if not newest:
            return Found(found, None)
        bottom = max(smallest_id_at(_midnight(newest[0]) - timedelta(days=days - 1)), job_filter.since)
        here = job_filter._replace(since=bottom)
        values = arguments(tenant_id, here, most=1, limit=limit - len(found))
        found += await _ids(connection, find_statement(here, BY_LABELS), values)
        if len(found) >= limit:
            return Found(found, None)
        job_filter, days = job_filter._replace(before=bottom), days * 2
    return Found(found, job_filter.before)


def _midnight(job_id: UUID) -> datetime:
    """Returns the beginning of the day in this id."""
    day = made_at(job_id).date()
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
