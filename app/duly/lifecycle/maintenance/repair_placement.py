"""Rebuilds the placement of unfinished jobs from their events, in place of the rows that they have."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.derived_state import DerivedState, derive_state
from duly.domain.events import UNSUCCESSFUL, EventKind, Status
from duly.domain.invariant_facts import JobFacts, JobRecord
from duly.domain.invariants import marks_of
from duly.domain.outcome import cancelled_error, dependency_error
from duly.store.ledger.terminal import WaitingJobEnd, end_waiting
from duly.store.maintenance.repair_writes import clear, drop_keys, last_events, mark_parents, requeue_lost
from duly.store.postgres.database import Connection
from duly.store.ties.placement import HotRow, Placement, place, place_when_possible
from duly.store.ties.unique_keys_and_dependencies import record_dependencies

SOURCE = "repair"


class Placed(NamedTuple):
    """Row of a job in its hot table, the jobs that it waits for, and its end if it cannot run any more."""

    standing: HotRow
    parents: Sequence[UUID] = ()
    end: WaitingJobEnd | None = None

    @property
    def job_id(self) -> UUID:
        return self.standing.job_id

    @property
    def waits(self) -> bool:
        """True if the job is not ready."""
        return self.standing.place in {Placement.SCHEDULED, Placement.DEPENDENCIES}


async def rebuild_placement(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Removes these jobs from all hot tables, and places those that have not ended in one.

    A running attempt is requeued without being counted: its worker cannot record anything any more. Runs in the
    caller's transaction, whose snapshot the facts come from.
    """
    await clear(connection, [job.job_id for job in jobs])
    told = {job.job_id: derive_state(job.job_id, job.history) for job in jobs if job.asked is not None}
    unfinished = [job for job in jobs if job.asked is not None and not told[job.job_id].ended]
    ends = await last_events(connection, [parent for job in unfinished for parent in _parents(job, told[job.job_id])])
    placed = [_placed(job, job.asked, told[job.job_id], ends) for job in unfinished if job.asked is not None]
    given_up = [each.standing for each in placed if told[each.job_id].status is Status.RUNNING]
    await requeue_lost(connection, given_up, source=SOURCE)
    await _place(connection, placed)


async def _place(connection: Connection, placed: Sequence[Placed]) -> None:
    waiting = [each for each in placed if each.waits]
    await drop_keys(connection, [each.job_id for each in waiting])
    await place(connection, [each.standing for each in waiting])
    await place_when_possible(connection, [each.standing for each in placed if not each.waits])
    waits = [(each.standing.tenant_id, parent, each.job_id) for each in placed for parent in each.parents]
    await record_dependencies(connection, waits)
    await mark_parents(connection, [parent for _, parent, _ in waits])
    if ends := [each.end for each in placed if each.end is not None]:
        await end_waiting(connection, ends, source=SOURCE)


def _parents(job: JobFacts, told: DerivedState) -> list[tuple[int, UUID]]:
    """Returns the jobs that it may still wait for: none once it has started."""
    if job.asked is None or told.started:
        return []
    return [(job.asked.tenant_id, parent) for parent in job.asked.depends_on or ()]


def _placed(job: JobFacts, asked: JobRecord, told: DerivedState, ends: Mapping[UUID, EventKind]) -> Placed:
    standing = _standing(job, asked, told)
    if told.status is Status.RUNNING and told.cancel_requested:
        end = WaitingJobEnd(asked.tenant_id, job.job_id, EventKind.CANCELLED, cancelled_error())
        return Placed(standing, end=end)
    parents = [parent for _, parent in _parents(job, told)]
    open_ = [parent for parent in parents if parent in ends and not ends[parent].terminal]
    lost = next((parent for parent in parents if ends.get(parent) in UNSUCCESSFUL), None)
    if lost is not None and not asked.despite_failure:
        end = WaitingJobEnd(asked.tenant_id, job.job_id, EventKind.FAILED, dependency_error(lost))
        return Placed(standing._replace(place=Placement.DEPENDENCIES, run_at=asked.run_at), end=end)
    if open_:
        waiting = standing._replace(place=Placement.DEPENDENCIES, waits_for=len(open_), run_at=asked.run_at)
        return Placed(waiting, parents=open_)
    # A job that was due is found due again; only a job that holds its key was past that.
    if asked.run_at is not None and told.first_round and not told.started and job.ties.concurrency_key is None:
        return Placed(standing._replace(place=Placement.SCHEDULED, run_at=asked.run_at))
    return Placed(standing)


def _standing(job: JobFacts, asked: JobRecord, told: DerivedState) -> HotRow:
    """Returns the row of a ready job, derived from its events and submission, with the event that ends a running
    attempt.
    """
    running = told.status is Status.RUNNING
    return HotRow(
        place=Placement.READY,
        tenant_id=asked.tenant_id,
        job_id=job.job_id,
        token=told.starts,
        sequence=told.sequence + running,
        timeout_seconds=asked.timeout_seconds,
        priority=asked.priority,
        attempt=told.attempt - running,
        crashes=told.crashes,
        callback_events=asked.callback_events,
        marks=int(marks_of(job, asked)),
        queue=asked.queue,
        type=asked.type,
        batch_id=asked.batch_id,
        expires_at=asked.expires_at if told.first_round and not told.started else None,
        run_at=None,
        concurrency_key=asked.concurrency_key,
        waits_for=0,
    )
