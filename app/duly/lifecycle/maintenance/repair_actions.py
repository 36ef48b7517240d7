"""Repair actions: one for each kind of violation, for several jobs, in the caller's transaction.

The facts of the jobs come from the snapshot of that transaction.
"""

from collections.abc import Awaitable, Callable, Sequence

from duly.domain.derived_state import derive_state
from duly.domain.invariant_facts import BatchFacts, JobFacts, RepairAction
from duly.domain.invariants import (
    MARKS_OF_ITS_OWN,
    false_endings,
    false_webhooks,
    key_due,
    marks_of,
    missing_webhooks,
)
from duly.lifecycle.maintenance.repair_placement import rebuild_placement
from duly.store.maintenance.repair_writes import (
    Correction,
    correct_batch,
    delete_dependencies,
    drop_checkpoints,
    drop_deliveries,
    drop_endings,
    drop_leases,
    drop_unique_keys,
    follow,
    mark,
    release_keys,
    restore_unique_keys,
    write_webhooks,
)
from duly.store.postgres.database import Connection
from duly.store.submit.inbox import delete_from_inbox
from duly.store.ties.placement import acquire_keys, count_down
from duly.store.ties.waiting_parents import resume_waiting_parents


async def _drop_keys(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await release_keys(connection, [job.job_id for job in jobs])


async def _drop_unique(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await drop_unique_keys(connection, [job.job_id for job in jobs])


async def _drop_waits(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await delete_dependencies(connection, [job.job_id for job in jobs])


async def _drop_checkpoints(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await drop_checkpoints(connection, [job.job_id for job in jobs])


async def _drop_leases(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await drop_leases(connection, [job.job_id for job in jobs])


async def _drop_endings(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await drop_endings(connection, [(job.job_id, *end) for job in jobs for end in false_endings(job)])


async def _drop_deliveries(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await drop_deliveries(connection, [(job.job_id, *due) for job in jobs for due in false_webhooks(job)])


async def _hold_keys(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Gives jobs the concurrency keys that their place requires; where another job holds the key, they wait."""
    keys = [
        (job.record.tenant_id, key, job.job_id)
        for job in jobs
        if job.record is not None and (key := key_due(job.hot_row, job.record)) is not None
    ]
    held = await acquire_keys(connection, keys)
    await rebuild_placement(connection, [job for job in jobs if job.job_id not in held])


async def _hold_unique(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Gives unfinished jobs their unique keys back."""
    await restore_unique_keys(
        connection,
        [
            (job.record.tenant_id, job.record.type, job.record.unique_key, job.job_id)
            for job in jobs
            if job.record is not None and job.record.unique_key is not None
        ],
    )


async def _mark(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Corrects the marks that follow from the ledger; keeps the others."""
    marks = {
        job.job_id: job.hot_row.marks & ~int(MARKS_OF_ITS_OWN)
        | int(marks_of(job, job.record, derive_state(job.job_id, job.history)))
        for job in jobs
        if job.record is not None and job.hot_row is not None
    }
    await mark(connection, marks)


async def _follow(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    ends = [
        (job.record.tenant_id, job.job_id, job.history.sequences[-1], job.history.kinds[-1])
        for job in jobs
        if job.record is not None
    ]
    await follow(connection, ends)


async def _count_down(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    job_ids = [job.job_id for job in jobs]
    await resume_waiting_parents(connection, job_ids, source="repair")
    await count_down(connection, job_ids)


async def _tell(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    """Writes the webhook deliveries that are missing."""
    events = [
        (job.record.tenant_id, job.job_id, sequence, job.history.kinds[sequence - 1])
        for job in jobs
        if job.record is not None
        for sequence in missing_webhooks(job, job.record)
    ]
    await write_webhooks(connection, events)


async def _drop_submissions(connection: Connection, jobs: Sequence[JobFacts]) -> None:
    await delete_from_inbox(connection, [(job.record.tenant_id, job.job_id) for job in jobs if job.record is not None])


async def count_batch(connection: Connection, batch: BatchFacts) -> None:
    """Adds the ends that a batch's counts lack, as if they had just happened."""
    counted = map(sum, zip(batch.counted, batch.tallied, strict=True))
    missing = (is_ - stood for is_, stood in zip(batch.ended, counted, strict=True))
    await correct_batch(connection, batch, Correction(*missing))


# The repair of each kind of violation: of jobs, and of batches.
JOBS: dict[RepairAction, Callable[[Connection, Sequence[JobFacts]], Awaitable[None]]] = {
    RepairAction.DROP_KEY: _drop_keys,
    RepairAction.DROP_UNIQUE: _drop_unique,
    RepairAction.DROP_WAITS: _drop_waits,
    RepairAction.DROP_ENDINGS: _drop_endings,
    RepairAction.DROP_DELIVERIES: _drop_deliveries,
    RepairAction.DROP_CHECKPOINT: _drop_checkpoints,
    RepairAction.DROP_LEASE: _drop_leases,
    RepairAction.HOLD_KEY: _hold_keys,
    RepairAction.PLACE_HOLDER: rebuild_placement,
    RepairAction.PLACE: rebuild_placement,
    RepairAction.HOLD_UNIQUE: _hold_unique,
    RepairAction.MARK: _mark,
    RepairAction.FOLLOW: _follow,
    RepairAction.COUNT_DOWN: _count_down,
    RepairAction.WRITE_WEBHOOKS: _tell,
    RepairAction.DROP_SUBMISSION: _drop_submissions,
}
BATCHES = frozenset({RepairAction.RECORD_BATCH, RepairAction.RESIZE_BATCH, RepairAction.COUNT_BATCH})
