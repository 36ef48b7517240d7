"""Redrives jobs that failed, were cancelled or are held: they run again with fresh attempts, if their ties allow it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.outcome import dependency_error
from duly.errors import NotRetryable, StepUnknown
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.ledger.end_jobs import WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import Connection, Database
from duly.store.queue.ready import LaneStart
from duly.store.ties.held import FromStep, read_recorded_steps, release_held
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


async def redrive(
    database: Database, wakeups: Wakeups, keys: Sequence[tuple[int, UUID]], *, from_step: str | None = None
) -> Redriven:
    """Redrives these (tenant, job) in one transaction; ignores jobs that did not fail, were not cancelled, and are not
    held.

    Args:
        from_step: name of a recorded step: it and all later ones are forgotten. For one job.

    Raises:
        StepUnknown: the job has no such step.
    """
    async with database.pinned() as connection:
        step = await _find_step(connection, keys[0], from_step) if from_step is not None else None
        redriven, lanes = await _redrive(connection, keys, step)
        if step is not None and not redriven.job_ids:
            raise NotRetryable.now()  # rolls the forgetting back
    for start in lanes:
        wakeups.ready(start.lane, start.floor)
    wakeups.local.scheduled(0)
    wakeups.changed(redriven.job_ids)
    wakeups.follow_ups()
    return redriven


async def _find_step(connection: Connection, key: tuple[int, UUID], name: str) -> FromStep:
    """Returns a recorded step of a job."""
    steps = await read_recorded_steps(connection, *key)
    if name not in steps:
        raise StepUnknown.of(name, list(steps))
    return FromStep(name, steps[name])


async def _redrive(
    connection: Connection, keys: Sequence[tuple[int, UUID]], step: FromStep | None
) -> tuple[Redriven, list[LaneStart]]:
    """Releases those of these jobs that are held, and requeues those that have ended, except where their unique key is
    taken.
    """
    released = await release_held(connection, keys, source="api", from_step=step)
    held = {start.floor for start in released}
    if len(held) == len(keys):
        return Redriven(list(held), []), released
    redriven, lanes = await _redrive_ended(connection, [key for key in keys if key[1] not in held], step)
    return redriven._replace(job_ids=[*held, *redriven.job_ids]), released + lanes


async def _redrive_ended(
    connection: Connection, keys: Sequence[tuple[int, UUID]], step: FromStep | None
) -> tuple[Redriven, list[LaneStart]]:
    """Requeues these jobs, except those whose unique key is taken."""
    by_key = await read_unique_keys(connection, keys)
    fresh, holders = await acquire_unique_keys(connection, {key: jobs[0] for key, jobs in by_key.items()})
    taken = [job for key, jobs in by_key.items() for job in (jobs if key in holders else jobs[1:])]
    free = [key for key in keys if key[1] not in set(taken)]
    requeued = await requeue(connection, free, source="api", from_step=step)
    ids = [each.standing.job_id for each in requeued]
    await release_unique_keys(connection, [(key[0], by_key[key][0]) for key in fresh if by_key[key][0] not in ids])
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
