"""The promises that hold of every job and every batch at any moment, and how one that does not is told of."""

from collections.abc import Iterable, Iterator, Sequence

from duly.domain.derived_state import DerivedState, derive_state
from duly.domain.event_views import WEBHOOK_BIT_OF
from duly.domain.events import EventKind, Status
from duly.domain.invariant_facts import COPIED, BatchFacts, HotRecord, JobFacts, JobRecord, RepairAction, Violation
from duly.domain.job import Mark, WaitReason

STATUS_OF_PLACE = {
    "ready": Status.PENDING,
    "scheduled": Status.PENDING,
    "blocked": Status.PENDING,
    "running": Status.RUNNING,
}
# The bit of `callback_events` that asks for a webhook of an event. Of progress not every one has a webhook.
BIT_OF_KIND = {int(kind): bit for kind, bit in WEBHOOK_BIT_OF.items() if kind is not EventKind.PROGRESSED}
MARKS_OF_ITS_OWN = Mark.KEYED | Mark.UNIQUE | Mark.MERGED | Mark.CHECKPOINT


def violations(job: JobFacts) -> Iterator[Violation]:
    """The promises that are broken for this job; none, as a rule."""
    if job.asked is None:
        yield from _unknown(job)
        return
    if job.history.foreign or job.ties.foreign:
        yield _breach(job, RepairAction.NONE, "has rows that belong to another tenant")
    try:
        told = derive_state(job.job_id, job.history)
    except ValueError as error:
        yield Violation(RepairAction.NONE, job.asked.tenant_id, job.job_id, str(error))
        return
    yield from _of_place(job, job.asked, told)
    yield from _of_keys(job, job.asked, told)
    yield from _of_dependencies(job, told)
    yield from _of_checkpoint(job, told)
    yield from _of_consequences(job)
    yield from _of_webhooks(job, job.asked)


def _breach(job: JobFacts, cure: RepairAction, words: str) -> Violation:
    tenant_id = job.asked.tenant_id if job.asked is not None else 0
    return Violation(cure, tenant_id, job.job_id, f"job {job.job_id} {words}")


def _unknown(job: JobFacts) -> Iterator[Violation]:
    """Whatever is there of a job that the ledger does not know."""
    ties = job.ties
    there = [
        (RepairAction.NONE, "events", bool(job.history.sequences)),
        (RepairAction.PLACE, "a row in a hot table", job.stand is not None),
        (RepairAction.DROP_UNIQUE, "a unique key", ties.unique is not None),
        (RepairAction.DROP_KEY, "a concurrency key", ties.concurrency_key is not None),
        (RepairAction.DROP_WAITS, "others to wait for", ties.waits > 0),
        (RepairAction.COUNT_DOWN, "others that wait for it", ties.followers > 0),
        (RepairAction.DROP_CHECKPOINT, "a checkpoint", ties.checkpoint),
        (RepairAction.DROP_ENDINGS, "an end", bool(ties.endings)),
        (RepairAction.DROP_DELIVERIES, "webhooks", bool(ties.due or ties.addressed)),
    ]
    for cure, what, is_there in there:
        if is_there:
            yield _breach(job, cure, f"was never recorded, and has {what}")


def _of_place(job: JobFacts, asked: JobRecord, told: DerivedState) -> Iterator[Violation]:
    """An unfinished job stands in one place, as its events tell; an ended one nowhere."""
    stand = job.stand
    places = stand.places if stand is not None else ()
    cure = RepairAction.PLACE_HOLDER if asked.concurrency_key is not None and told.started else RepairAction.PLACE
    if len(places) != (0 if told.ended else 1):
        where = " and ".join(sorted(places)) or "nowhere"
        yield _breach(job, cure, f"is {told.status} by its events and stands {where}")
    elif stand is not None:
        for words in _differences(job, stand, asked, told):
            yield _breach(job, cure, words)
        yield from _of_marks(job, stand, asked)


def _differences(job: JobFacts, stand: HotRecord, asked: JobRecord, told: DerivedState) -> Iterator[str]:
    told_of = (told.status, told.sequence, told.attempt, told.starts, told.crashes)
    stands = (STATUS_OF_PLACE[stand.place], stand.sequence, stand.attempt, stand.token, stand.crashes)
    names = ("status", "sequence", "attempt", "token", "crashes")
    for name, there, here in zip(names, told_of, stands, strict=True):
        if there != here:
            yield f"has the {name} {there} by its events and {here} where it stands ({stand.place})"
    for name, there, here in zip(COPIED, asked, stand, strict=False):
        if there != here:
            yield f"was recorded with the {name} {there} and stands ({stand.place}) with {here}"
    if stand.place == "running":
        if stand.cancel_requested != told.cancel_requested:
            yield "is wanted cancelled by its events or by its row, but not by both"
    elif stand.expires_at != (asked.expires_at if told.first_round and not told.started else None):
        yield f"expires at {asked.expires_at} as it was recorded, and at {stand.expires_at} where it stands"
    if stand.place == "blocked":
        yield from _of_blocked(job, stand, asked)


def _of_blocked(job: JobFacts, stand: HotRecord, asked: JobRecord) -> Iterator[str]:
    """It waits for as many others as are recorded, or for a key that another one has."""
    match stand.reason:
        case WaitReason.DEPENDENCIES:
            if not 0 < job.ties.waits == stand.waits_for:
                yield f"waits for {stand.waits_for} others, and {job.ties.waits} are recorded"
        case WaitReason.CONCURRENCY if asked.concurrency_key is None or stand.concurrency_key != asked.concurrency_key:
            yield f"waits for the concurrency key {stand.concurrency_key!r}, which is not its own"
        case WaitReason.CONCURRENCY:
            pass
        case _:
            yield f"is blocked for no known reason ({stand.reason})"


def marks_of(job: JobFacts, asked: JobRecord) -> Mark:
    """The marks that its hot row should have."""
    ties = job.ties
    return (
        (Mark.KEYED if asked.concurrency_key is not None else Mark(0))
        | (Mark.UNIQUE if asked.unique_key is not None else Mark(0))
        | (Mark.DEPENDED if ties.followers else Mark(0))
        | (Mark.MERGED if job.history.merged else Mark(0))
        | (Mark.CHECKPOINT if ties.checkpoint else Mark(0))
    )


def _of_marks(job: JobFacts, stand: HotRecord, asked: JobRecord) -> Iterator[Violation]:
    """The mark DEPENDED may stay when nobody waits any more; no mark may be missing."""
    due = marks_of(job, asked)
    if (stand.marks ^ due) & MARKS_OF_ITS_OWN or due & ~stand.marks:
        yield _breach(job, RepairAction.MARK, f"should have the marks {due!r} and has {Mark(stand.marks)!r}")


def key_due(stand: HotRecord | None, asked: JobRecord) -> str | None:
    """The concurrency key that a job must hold where it stands: from before it is ready until it has ended."""
    if stand is None or stand.place == "blocked" or (stand.place, stand.reason) == ("scheduled", WaitReason.TIME):
        return None
    return asked.concurrency_key


def _of_keys(job: JobFacts, asked: JobRecord, told: DerivedState) -> Iterator[Violation]:
    held, due = job.ties.concurrency_key, key_due(job.stand, asked)
    if held is not None and held != due and not (held == asked.concurrency_key and _may_keep_key(job)):
        yield _breach(job, RepairAction.DROP_KEY, f"holds the concurrency key {held!r}, and is not one to hold it now")
    if due is not None and held != due:
        yield _breach(job, RepairAction.HOLD_KEY, f"may run without its concurrency key {due!r}")
    stand = job.stand
    if stand is not None and stand.reason == WaitReason.CONCURRENCY and stand.place == "blocked" and not stand.key_held:
        yield _breach(
            job, RepairAction.HAND_OUT, f"waits for the concurrency key {stand.concurrency_key!r}, which is free"
        )
    if job.ties.unique is not None and (told.ended or job.ties.unique != (asked.type, asked.unique_key)):
        yield _breach(
            job, RepairAction.DROP_UNIQUE, f"holds the unique key {job.ties.unique[1]!r}, and has no right to it"
        )


def _may_keep_key(job: JobFacts) -> bool:
    """Whether it may hold its key though it need not: it has ended, and passes it on in a moment; or it was set going
    again before it did, and is ready in a moment.
    """
    return bool(job.ties.ending_marks & Mark.KEYED) or (job.stand is not None and job.stand.place == "scheduled")


def lacks_unique_key(job: JobFacts) -> bool:
    """Whether it is unfinished and another one holds its unique key, or nobody does. It may be so where a later job of
    that key took over once this one had started.
    """
    return (
        job.asked is not None and job.asked.unique_key is not None and job.ties.unique is None and not _tells_end(job)
    )


def _tells_end(job: JobFacts) -> bool:
    kinds = job.history.kinds
    return bool(kinds) and kinds[-1] >= EventKind.COMPLETED


def _of_dependencies(job: JobFacts, told: DerivedState) -> Iterator[Violation]:
    ties, stand = job.ties, job.stand
    waits = stand is not None and stand.place == "blocked" and stand.reason == WaitReason.DEPENDENCIES
    if ties.waits and not waits:
        yield _breach(job, RepairAction.DROP_WAITS, "has others to wait for, and does not wait for them")
    if ties.followers and told.ended and not ties.ending_marks & Mark.DEPENDED:
        yield _breach(job, RepairAction.FOLLOW, f"has ended, and {ties.followers} others wait for it")


def _of_checkpoint(job: JobFacts, told: DerivedState) -> Iterator[Violation]:
    if job.ties.checkpoint and told.status in {Status.COMPLETED, Status.CANCELLED}:
        yield _breach(job, RepairAction.DROP_CHECKPOINT, f"is {told.status} and has a checkpoint")


def _of_consequences(job: JobFacts) -> Iterator[Violation]:
    if false := false_endings(job):
        yield _breach(job, RepairAction.DROP_ENDINGS, f"did not end at {_numbers(sequence for sequence, _ in false)}")


def _of_webhooks(job: JobFacts, asked: JobRecord) -> Iterator[Violation]:
    if false := false_webhooks(job):
        words = f"has a webhook of an event that does not exist: {_numbers(sequence for sequence, _ in false)}"
        yield _breach(job, RepairAction.DROP_DELIVERIES, words)
    if missing := missing_webhooks(job, asked):
        yield _breach(job, RepairAction.TELL, f"has no webhook for its events {_numbers(missing)}")


def false_endings(job: JobFacts) -> frozenset[tuple[int, int]]:
    """Ends that are said to be still of consequence, as (sequence, kind), and are no events of the job."""
    return job.ties.endings - _events(job) if job.ties.endings else job.ties.endings


def false_webhooks(job: JobFacts) -> frozenset[tuple[int, int]]:
    """Webhooks to be sent, as (sequence, kind) of their events, and there are no such events."""
    webhooks = job.ties.due | job.ties.addressed
    return webhooks - _events(job) if webhooks else webhooks


def missing_webhooks(job: JobFacts, asked: JobRecord) -> list[int]:
    """The events that its callback asked to be told of, and neither was nor will be."""
    if not asked.callback_events:
        return []
    heard = job.ties.settled | {sequence for sequence, _ in job.ties.due}
    return [
        sequence
        for sequence, kind in zip(job.history.sequences, job.history.kinds, strict=True)
        if asked.callback_events & BIT_OF_KIND.get(kind, 0) and sequence not in heard
    ]


def _events(job: JobFacts) -> set[tuple[int, int]]:
    """As (sequence, kind); of a job that was never recorded none counts."""
    if job.asked is None:
        return set()
    return set(zip(job.history.sequences, job.history.kinds, strict=True))


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def breaches_of_batch(batch: BatchFacts) -> Iterator[Violation]:
    """The promises that are broken for this batch; at most one is told of."""
    outside = batch.oldest is not None and batch.oldest < batch.first_id
    outside |= batch.newest is not None and batch.newest > batch.last_id
    if not batch.recorded:
        cure, words = RepairAction.RECORD_BATCH, f"was never recorded, and has {batch.jobs} jobs"
    elif batch.jobs != batch.total or outside:
        says = f"says {batch.total} jobs from {batch.first_id} to {batch.last_id}"
        cure, words = RepairAction.RESIZE_BATCH, f"{says}, and has {batch.jobs} from {batch.oldest} to {batch.newest}"
    elif off := count_off(batch):
        cure, words = RepairAction.COUNT_BATCH, off
    else:
        return
    yield Violation(cure, batch.tenant_id, batch.batch_id, f"batch {batch.batch_id} {words}")


def count_off(batch: BatchFacts) -> str | None:
    """What is wrong with how it is counted. While tallies are still to be added, it need not be complete."""
    counted = [*map(sum, zip(batch.counted, batch.tallied, strict=True))]
    if counted != [*batch.ended]:
        return f"counts {_ends(counted)}, and by the events of its jobs it is {_ends(batch.ended)}"
    complete = sum(batch.ended) >= batch.total
    if not batch.tallies and complete != (batch.completed_at is not None):
        return "is complete, and not marked so" if complete else "is marked as complete, and is not"
    if not batch.tallies and complete and batch.then_due:
        return "is complete, and the job that is to follow it was not submitted"
    return None


def _ends(counts: Sequence[int]) -> str:
    return "{} completed, {} failed, {} cancelled".format(*counts)
