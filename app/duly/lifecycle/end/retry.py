"""Redrives jobs that failed or were cancelled: runs them again, with fresh attempts, if their ties allow it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.outcome import dependency_error
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.ledger.end_jobs import WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import Connection, Database
from duly.store.queue.ready import LaneStart
from duly.store.ties.placement import HotRow, Placement, place, place_when_possible
from duly.store.ties.retry import RequeuedJob, read_unique_keys, requeue
from duly.store.ties.unique_keys_and_dependencies import (
    acquire_unique_keys,
    record_dependencies,
    release_unique_keys,
    watch_parents,
)


class Redriven(NamedTuple):
    """The jobs that run again, and those that may not, because another unfinished job has their unique key."""

    job_ids: list[UUID]
    taken: list[UUID]


async def redrive(database: Database, wakeups: Wakeups, keys: Sequence[tuple[int, UUID]]) -> Redriven:
    """Redrives these (tenant, job) in one transaction; ignores jobs that did not fail and were not cancelled."""
    async with database.pinned() as connection:
        redriven, lanes = await _redrive(connection, keys)
    for start in lanes:
        wakeups.ready(start.lane, start.floor)
    wakeups.local.scheduled(0)
    wakeups.changed(redriven.job_ids)
    wakeups.follow_ups()
    return redriven


async def _redrive(connection: Connection, keys: Sequence[tuple[int, UUID]]) -> tuple[Redriven, list[LaneStart]]:
    """Requeues these jobs, except those whose unique key is taken."""
    by_key = await read_unique_keys(connection, keys)
    fresh, holders = await acquire_unique_keys(connection, {key: jobs[0] for key, jobs in by_key.items()})
    taken = [job for key, jobs in by_key.items() for job in (jobs if key in holders else jobs[1:])]
    requeued = await requeue(connection, [key for key in keys if key[1] not in set(taken)], source="api")
    ids = [each.standing.job_id for each in requeued]
    if needless := [by_key[key][0] for key in fresh if by_key[key][0] not in ids]:
        await release_unique_keys(connection, needless)
    return Redriven(ids, taken), await _place(connection, requeued)


async def _place(connection: Connection, requeued: Sequence[RequeuedJob]) -> list[LaneStart]:
    free = [each.standing for each in requeued if not each.depends_on]
    lanes = await place_when_possible(connection, free)
    for waiting in _parents_first([each for each in requeued if each.depends_on]):
        await _place_dependents(connection, waiting)
    return lanes


def _parents_first(waiting: Sequence[RequeuedJob]) -> Iterator[list[RequeuedJob]]:
    """Yields these jobs in layers: each job after the ones that it depends on."""
    left = {each.standing.job_id: each for each in waiting}
    while left:
        layer = [each for each in left.values() if not any(parent in left for parent in each.depends_on)]
        for each in layer:
            del left[each.standing.job_id]
        yield layer


async def _place_dependents(connection: Connection, waiting: Sequence[RequeuedJob]) -> None:
    """Places jobs that depend on others; those whose dependency failed fail again."""
    parents = [(each.standing.tenant_id, parent) for each in waiting for parent in each.depends_on]
    ended = await watch_parents(connection, parents)
    await place(connection, [_placement(each, ended) for each in waiting])
    dependents = {
        each.standing.job_id: failed_parent for each in waiting if (failed_parent := _failed_dependency(each, ended))
    }
    await record_dependencies(
        connection,
        [
            (each.standing.tenant_id, parent, each.standing.job_id)
            for each in waiting
            for parent in each.depends_on
            if parent not in ended and each.standing.job_id not in dependents
        ],
    )
    ends = [
        WaitingJobEnd(each.standing.tenant_id, each.standing.job_id, EventKind.FAILED, dependency_error(failed_parent))
        for each in waiting
        if (failed_parent := dependents.get(each.standing.job_id))
    ]
    if ends:
        await end_waiting_jobs(connection, ends, source="api")


def _failed_dependency(each: RequeuedJob, ended: dict[UUID, EventKind]) -> UUID | None:
    if each.despite_failure:
        return None
    return next((parent for parent in each.depends_on if ended.get(parent) in UNSUCCESSFUL), None)


def _placement(each: RequeuedJob, ended: dict[UUID, EventKind]) -> HotRow:
    unmet = sum(parent not in ended for parent in each.depends_on)
    where = Placement.DEPENDENCIES if unmet or _failed_dependency(each, ended) else Placement.SCHEDULED
    return each.standing._replace(place=where, waits_for=unmet)
