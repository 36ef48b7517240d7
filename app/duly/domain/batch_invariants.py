"""Invariants of every batch, and the violations of them."""

from collections.abc import Iterator, Sequence

from duly.domain.counted_noun import counted_noun
from duly.domain.invariant_facts import BatchFacts, RepairAction, Violation


def batch_violations(batch: BatchFacts) -> Iterator[Violation]:
    """Yields the violation of one batch; it reports at most one."""
    outside = batch.oldest is not None and batch.oldest < batch.first_id
    outside |= batch.newest is not None and batch.newest > batch.last_id
    if not batch.recorded:
        repair_action, words = RepairAction.RECORD_BATCH, f"not recorded, but has {counted_noun(batch.jobs, 'job')}"
    elif batch.jobs != batch.total or outside:
        expected = f"has {counted_noun(batch.total, 'job')} from {batch.first_id} to {batch.last_id} by its row"
        repair_action, words = (
            RepairAction.RESIZE_BATCH,
            f"{expected}, but {batch.jobs} from {batch.oldest} to {batch.newest} in jobs",
        )
    elif off := count_off(batch):
        repair_action, words = RepairAction.COUNT_BATCH, off
    else:
        return
    yield Violation(repair_action, batch.tenant_id, batch.batch_id, f"batch {batch.batch_id}: {words}")


def count_off(batch: BatchFacts) -> str | None:
    """Returns the error in the counts of a batch; None if they are right. While tallies are pending, the batch may be
    incomplete.
    """
    counted = [*map(sum, zip(batch.counted, batch.tallied, strict=True))]
    if counted != [*batch.ended]:
        return f"counts are {_ends(counted)}, but {_ends(batch.ended)} by the events of its jobs"
    complete = sum(batch.ended) >= batch.total
    if not batch.tallies and complete != (batch.completed_at is not None):
        return "is complete, but not marked as complete" if complete else "is marked as complete, but is not"
    if not batch.tallies and complete and batch.then_due:
        return "is complete, but its `then` job was not submitted"
    return None


def _ends(counts: Sequence[int]) -> str:
    return "{} completed, {} failed, {} cancelled".format(*counts)
