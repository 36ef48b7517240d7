"""Rebuilds the placement of unfinished jobs from their events, in place of the rows that they have."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from duly.domain.derived_state import DerivedState, derive_state
from duly.domain.events import UNSUCCESSFUL, EventKind
from duly.domain.invariant_facts import JobFacts, JobRecord
from duly.domain.invariants import marks_of
from duly.domain.outcome import cancelled_error, dependency_error
from duly.store.ledger.end_jobs import WaitingJobEnd, end_waiting_jobs
from duly.store.maintenance.repair_writes import clear, mark_parents, read_last_events, release_keys, requeue_lost
from duly.store.maintenance.step_records import Parking, read_parkings
from duly.store.postgres.database import Connection
from duly.store.ties.placement import HotRow, Placement, acquire_keys, place, place_when_possible
from duly.store.ties.unique_keys_and_dependencies import record_dependencies

SOURCE = "repair"


class Placed(NamedTuple):
    """Row of a job in its hot table, the jobs that it waits for, and its end if it cannot run any more."""

    row: HotRow
    parents: Sequence[UUID] = ()
    end: WaitingJobEnd | None = None

    @property
    def job_id(self) -> UUID:
        """Id of the job."""
        return self.row.job_id

    @property
    def waits(self) -> bool:
        """True if the job is not ready."""
        return self.row.place in {Placement.SCHEDULED, Placement.DEPENDENCIES}

    @property
    def held(self) -> bool:
        """True if the job waits with its concurrency key, which it acquired before its first start."""
        return self.row.place >= Placement.TIMER


async def rebuild_placement(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Removes these jobs from all hot tables, and places those that have not ended in one.

    A running attempt is requeued without being counted: its worker cannot record anything any more. Runs in the
    caller's transaction, whose snapshot the facts come from.
    """
    await clear(connection, [job.job_id for job in jobs])
    derived = {job.job_id: derive_state(job.job_id, job.history) for job in jobs if job.record is not None}
    unfinished = [job for job in jobs if job.record is not None and not derived[job.job_id].ended]
    ends = await read_last_events(
        connection, [parent for job in unfinished for parent in _parents(job, derived[job.job_id])]
    )
    placed = [_placed(job, job.record, derived[job.job_id], ends) for job in unfinished if job.record is not None]
    placed = await _parked(connection, placed, derived)
    given_up = [each.row for each in placed if derived[each.job_id].in_attempt]
    await requeue_lost(connection, given_up, source=SOURCE)
    await _place(connection, placed)


async def _parked(
    connection: Connection, placed: Sequence[Placed], derived: Mapping[UUID, DerivedState]
) -> list[Placed]:
    """Returns these with the places of the parked jobs among them."""
    parked = [(each.row.tenant_id, each.job_id) for each in placed if derived[each.job_id].parked]
    parkings = await read_parkings(connection, parked)
    tenants = {job_id: tenant_id for tenant_id, job_id in parked}
    ends = await read_last_events(
        connection, [(tenants[job_id], child) for job_id, parking in parkings.items() for child in parking.children]
    )
    return [_parked_as(each, parkings[each.job_id], ends) if each.job_id in parkings else each for each in placed]


def _parked_as(placed: Placed, parking: Parking, ends: Mapping[UUID, EventKind]) -> Placed:
    """Returns the place of a parked job. If the child jobs that it waits for have ended, it is due now."""
    if open_ := [child for child in parking.children if child in ends and not ends[child].terminal]:
        return Placed(placed.row._replace(place=Placement.CHILDREN), parents=open_)
    place = Placement.SIGNAL if parking.for_signal else Placement.TIMER
    return placed._replace(row=placed.row._replace(place=place, run_at=parking.until))


async def _place(connection: Connection, placed: Sequence[Placed]) -> None:
    """Inserts the rows, dependencies and ends of these jobs."""
    waiting = [each for each in placed if each.waits]
    await release_keys(connection, [each.job_id for each in waiting])
    await place(connection, [each.row for each in waiting])
    await place_when_possible(connection, [each.row for each in placed if not each.waits and not each.held])
    held = [each.row for each in placed if each.held]
    keyed = [(row.tenant_id, row.concurrency_key, row.job_id) for row in held]
    await acquire_keys(connection, [(tenant, key, job_id) for tenant, key, job_id in keyed if key is not None])
    await place(connection, held)
    waits = [(each.row.tenant_id, parent, each.job_id) for each in placed for parent in each.parents]
    await record_dependencies(connection, waits)
    await mark_parents(connection, [parent for _, parent, _ in waits])
    if ends := [each.end for each in placed if each.end is not None]:
        await end_waiting_jobs(connection, ends, source=SOURCE)


def _parents(job: JobFacts, derived: DerivedState) -> list[tuple[int, UUID]]:
    """Returns the jobs that it may still wait for: none once it has started."""
    if job.record is None or derived.started:
        return []
    return [(job.record.tenant_id, parent) for parent in job.record.depends_on or ()]


def _placed(job: JobFacts, submission: JobRecord, derived: DerivedState, ends: Mapping[UUID, EventKind]) -> Placed:
    """Returns where an unfinished job belongs."""
    row = _row(job, submission, derived)
    if derived.in_attempt and derived.cancel_requested:
        end = WaitingJobEnd(submission.tenant_id, job.job_id, EventKind.CANCELLED, cancelled_error())
        return Placed(row, end=end)
    parents = [parent for _, parent in _parents(job, derived)]
    open_ = [parent for parent in parents if parent in ends and not ends[parent].terminal]
    failed_parent = next((parent for parent in parents if ends.get(parent) in UNSUCCESSFUL), None)
    if failed_parent is not None and not submission.despite_failure:
        end = WaitingJobEnd(submission.tenant_id, job.job_id, EventKind.FAILED, dependency_error(failed_parent))
        return Placed(row._replace(place=Placement.DEPENDENCIES, run_at=submission.run_at), end=end)
    if open_:
        waiting = row._replace(place=Placement.DEPENDENCIES, waits_for=len(open_), run_at=submission.run_at)
        return Placed(waiting, parents=open_)
    # A job that was due is found due again; only a job that holds its key was past that.
    if (
        submission.run_at is not None
        and derived.first_round
        and not derived.started
        and job.ties.concurrency_key is None
    ):
        return Placed(row._replace(place=Placement.SCHEDULED, run_at=submission.run_at))
    return Placed(row)


def _row(job: JobFacts, submission: JobRecord, derived: DerivedState) -> HotRow:
    """Returns the row of a ready job, derived from its events and submission, with the event that ends a running
    attempt.
    """
    running = derived.in_attempt
    return HotRow(
        place=Placement.HELD if derived.held else Placement.READY,
        tenant_id=submission.tenant_id,
        job_id=job.job_id,
        token=derived.starts,
        sequence=derived.sequence + running,
        timeout_seconds=submission.timeout_seconds,
        priority=submission.priority,
        attempt=derived.attempt - running,
        crashes=derived.crashes,
        callback_events=submission.callback_events,
        marks=int(marks_of(job, submission, derived)),
        queue=submission.queue,
        type=submission.type,
        batch_id=submission.batch_id,
        expires_at=submission.expires_at if derived.first_round and not derived.started else None,
        run_at=None,
        concurrency_key=submission.concurrency_key,
        waits_for=0,
    )
