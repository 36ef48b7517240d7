"""Invariants of every job, and the violations of them."""

from collections.abc import Iterable, Iterator, Sequence

from duly.domain.counted_noun import counted_noun
from duly.domain.derived_state import DerivedState, derive_state
from duly.domain.event_views import WEBHOOK_BIT_OF
from duly.domain.events import EventKind, Status
from duly.domain.invariant_facts import COPIED, HotRecord, JobFacts, JobRecord, RepairAction, Violation
from duly.domain.job import Mark, WaitReason

_PARKED = {WaitReason.TIMER, WaitReason.SIGNAL, WaitReason.CHILDREN}
HOT_TABLES = ("ready", "scheduled", "blocked", "running")
# Bit of `callback_events` of each kind of event that must have a webhook: progress is reported once a second at most.
BIT_OF_KIND = {int(kind): bit for kind, bit in WEBHOOK_BIT_OF.items() if kind is not EventKind.PROGRESSED}
MARKS_OF_ITS_OWN = Mark.KEYED | Mark.UNIQUE | Mark.MERGED | Mark.CHECKPOINT | Mark.HOLDS | Mark.COMPENSATING


def violations(job: JobFacts) -> Iterator[Violation]:
    """Yields the violations of one job; as a rule there are none."""
    if job.record is None:
        yield from _unknown(job)
        return
    if job.history.foreign or job.ties.foreign:
        yield _violation(job, RepairAction.NONE, "has rows of another tenant")
    try:
        derived = derive_state(job.job_id, job.history)
    except ValueError as error:
        yield Violation(RepairAction.NONE, job.record.tenant_id, job.job_id, str(error))
        return
    yield from _of_place(job, job.record, derived)
    yield from _of_keys(job, job.record, derived)
    yield from _of_dependencies(job, derived)
    yield from _of_checkpoint(job, derived)
    yield from _of_lease(job, job.record, derived)
    yield from _of_follow_ups(job)
    yield from _of_webhooks(job, job.record)


def _violation(job: JobFacts, repair_action: RepairAction, words: str) -> Violation:
    tenant_id = job.record.tenant_id if job.record is not None else 0
    return Violation(repair_action, tenant_id, job.job_id, f"job {job.job_id}: {words}")


def _unknown(job: JobFacts) -> Iterator[Violation]:
    """Yields the rows that refer to a job without a row in `jobs`."""
    ties = job.ties
    leftovers = [
        (RepairAction.NONE, "events", bool(job.history.sequences)),
        (RepairAction.PLACE, "a row in a hot table", job.hot_row is not None),
        (RepairAction.DROP_UNIQUE, "a unique key", ties.unique is not None),
        (RepairAction.DROP_KEY, "a concurrency key", ties.concurrency_key is not None),
        (RepairAction.DROP_WAITS, "dependencies", ties.waits > 0),
        (RepairAction.COUNT_DOWN, "dependents", ties.followers > 0),
        (RepairAction.DROP_CHECKPOINT, "a checkpoint", ties.checkpoint),
        (RepairAction.DROP_LEASE, "a lease", ties.lease is not None),
        (RepairAction.DROP_ENDINGS, "pending follow-ups", bool(ties.endings)),
        (RepairAction.DROP_DELIVERIES, "deliveries", bool(ties.due or ties.addressed)),
    ]
    for repair_action, what, exists in leftovers:
        if exists:
            yield _violation(job, repair_action, f"not recorded, but has {what}")


def _of_place(job: JobFacts, record: JobRecord, derived: DerivedState) -> Iterator[Violation]:
    """Yields violations of: an unfinished job has one hot row, which agrees with its events; an ended one has none."""
    hot_row = job.hot_row
    tables = hot_row.tables if hot_row is not None else ()
    repair_action = _placing(record, derived)
    if len(tables) != (0 if derived.ended else 1):
        yield _violation(job, repair_action, _misplaced(derived.status, tables))
    elif hot_row is not None:
        for words in _differences(job, hot_row, record, derived):
            yield _violation(job, repair_action, words)
        yield from _of_marks(job, hot_row, record, derived)


def _placing(record: JobRecord, derived: DerivedState) -> RepairAction:
    return RepairAction.PLACE_HOLDER if record.concurrency_key is not None and derived.started else RepairAction.PLACE


def _misplaced(status: Status, tables: Sequence[str]) -> str:
    """Returns the error of a job that has no hot row, several, or one after its end."""
    if not tables:
        *tables, last = HOT_TABLES
        return f"{status}, but has no row in {', '.join(tables)} or {last}"
    return f"{status}, but has a row in {' and '.join(sorted(tables))}"


def _differences(job: JobFacts, hot_row: HotRecord, record: JobRecord, derived: DerivedState) -> Iterator[str]:
    yield from _of_table(hot_row, derived)
    expected_values = (derived.sequence, derived.attempt, derived.starts, derived.crashes)
    actual_values = (hot_row.sequence, hot_row.attempt, hot_row.token, hot_row.crashes)
    counters = ("sequence", "attempt", "token", "crashes")
    for name, counted, stored in zip(counters, expected_values, actual_values, strict=True):
        if counted != stored:
            yield f"{name} is {counted} by its events, but {stored} in {hot_row.table}"
    for name, expected, actual in zip(COPIED, record, hot_row, strict=False):
        if expected != actual:
            yield f"{name} is {expected} in jobs, but {actual} in {hot_row.table}"
    if hot_row.table == "running":
        if hot_row.cancel_requested != derived.cancel_requested:
            yield "cancellation is requested either by its events or in running, but not by both"
    elif hot_row.expires_at != (record.expires_at if derived.first_round and not derived.started else None):
        yield f"expires_at is {record.expires_at} in jobs, but {hot_row.expires_at} in {hot_row.table}"
    if hot_row.table == "blocked":
        yield from _of_blocked(job, hot_row, record)
    if waits_for_children(hot_row) and not job.ties.waits:
        yield "waits for child jobs, but no dependency is recorded"


def _of_table(hot_row: HotRecord, derived: DerivedState) -> Iterator[str]:
    """Yields violations of: a job is in `running` during its attempts, in `scheduled` while it is parked or held."""
    if derived.in_attempt != (hot_row.table == "running"):
        stated: str = Status.RUNNING if hot_row.table == "running" else Status.PENDING
        yield f"status is {derived.status} by its events, but {stated} in {hot_row.table}"
    parked = hot_row.table == "scheduled" and hot_row.reason in _PARKED
    if derived.parked != parked:
        stated = "parked" if derived.parked else "not parked"
        yield f"is {stated} by its events, but its row in {hot_row.table} says otherwise"
    if derived.held != (hot_row.table == "scheduled" and hot_row.reason == WaitReason.HELD):
        stated = "held" if derived.held else "not held"
        yield f"is {stated} by its events, but its row in {hot_row.table} says otherwise"


def waits_for_children(hot_row: HotRecord) -> bool:
    """Returns whether the job is parked until child jobs have ended."""
    return hot_row.table == "scheduled" and hot_row.reason == WaitReason.CHILDREN


def _of_blocked(job: JobFacts, hot_row: HotRecord, record: JobRecord) -> Iterator[str]:
    """Yields violations of: a blocked job waits for as many dependencies as are recorded, or for its own key."""
    match hot_row.reason:
        case WaitReason.DEPENDENCIES:
            if not 0 < job.ties.waits == hot_row.waits_for:
                yield f"waits_for is {hot_row.waits_for}, but {job.ties.waits} dependencies are recorded"
        case WaitReason.CONCURRENCY if (
            record.concurrency_key is None or hot_row.concurrency_key != record.concurrency_key
        ):
            yield f"waits for the concurrency key {hot_row.concurrency_key!r}, which is not its own"
        case WaitReason.CONCURRENCY:
            pass
        case _:
            yield f"is blocked for an unknown reason ({hot_row.reason})"


def marks_of(job: JobFacts, record: JobRecord, derived: DerivedState) -> Mark:
    """Returns the marks that its hot row should have."""
    ties = job.ties
    return (
        (Mark.KEYED if record.concurrency_key is not None else Mark(0))
        | (Mark.UNIQUE if record.unique_key is not None else Mark(0))
        | (Mark.DEPENDED if ties.followers else Mark(0))
        | (Mark.MERGED if job.history.merged else Mark(0))
        | (Mark.CHECKPOINT if ties.checkpoint else Mark(0))
        | (Mark.STEPS if ties.steps else Mark(0))
        | (Mark.COMPENSABLE if ties.compensable else Mark(0))
        | (Mark.HOLDS if record.holds else Mark(0))
        | (Mark.COMPENSATING if derived.compensating else Mark(0))
    )


def _of_marks(job: JobFacts, hot_row: HotRecord, record: JobRecord, derived: DerivedState) -> Iterator[Violation]:
    """Yields violations of: no mark is missing, and none but DEPENDED may be left over."""
    expected_marks = marks_of(job, record, derived)
    if (hot_row.marks ^ expected_marks) & MARKS_OF_ITS_OWN or expected_marks & ~hot_row.marks:
        yield _violation(job, RepairAction.MARK, f"marks should be {expected_marks!r}, but are {Mark(hot_row.marks)!r}")


def key_due(hot_row: HotRecord | None, record: JobRecord) -> str | None:
    """Returns the concurrency key that a job must hold in this hot row: from before it is ready until it has ended."""
    if (
        hot_row is None
        or hot_row.table == "blocked"
        or (hot_row.table, hot_row.reason) == ("scheduled", WaitReason.TIME)
    ):
        return None
    return record.concurrency_key


def _of_keys(job: JobFacts, record: JobRecord, derived: DerivedState) -> Iterator[Violation]:
    held, due = job.ties.concurrency_key, key_due(job.hot_row, record)
    if held is not None and held != due and not (held == record.concurrency_key and _may_keep_key(job)):
        yield _violation(job, RepairAction.DROP_KEY, f"holds the concurrency key {held!r}, but must not in its state")
    if due is not None and held != due:
        yield _violation(job, RepairAction.HOLD_KEY, f"may run, but does not hold its concurrency key {due!r}")
    hot_row = job.hot_row
    if (
        hot_row is not None
        and hot_row.reason == WaitReason.CONCURRENCY
        and hot_row.table == "blocked"
        and not hot_row.key_held
    ):
        yield _violation(
            job, RepairAction.HAND_OUT, f"waits for the concurrency key {hot_row.concurrency_key!r}, which is free"
        )
    if job.ties.unique is not None and (derived.ended or job.ties.unique != (record.type, record.unique_key)):
        yield _violation(
            job,
            RepairAction.DROP_UNIQUE,
            f"holds the unique key {job.ties.unique[1]!r}, but it has ended or has another key",
        )


def _may_keep_key(job: JobFacts) -> bool:
    """Returns whether the job may hold a key that it does not need: it has ended and is about to pass it on, or it was
    retried before that and is about to be ready.
    """
    return bool(job.ties.ending_marks & Mark.KEYED) or (job.hot_row is not None and job.hot_row.table == "scheduled")


def lacks_unique_key(job: JobFacts) -> bool:
    """Returns whether an unfinished job does not hold its unique key. That is valid where a later job with the key took
    it over after this one had started.
    """
    return (
        job.record is not None and job.record.unique_key is not None and job.ties.unique is None and not _tells_end(job)
    )


def _tells_end(job: JobFacts) -> bool:
    kinds = job.history.kinds
    return bool(kinds) and kinds[-1] >= EventKind.COMPLETED


def _of_dependencies(job: JobFacts, derived: DerivedState) -> Iterator[Violation]:
    ties, hot_row = job.ties, job.hot_row
    waits = hot_row is not None and (
        waits_for_children(hot_row) or (hot_row.table == "blocked" and hot_row.reason == WaitReason.DEPENDENCIES)
    )
    if ties.waits and not waits:
        yield _violation(job, RepairAction.DROP_WAITS, "has dependencies, but does not wait for them")
    if ties.followers and derived.ended and not ties.ending_marks & Mark.DEPENDED:
        yield _violation(
            job, RepairAction.FOLLOW, f"has ended, but it still holds back {counted_noun(ties.followers, 'job')}"
        )


def _of_checkpoint(job: JobFacts, derived: DerivedState) -> Iterator[Violation]:
    if job.ties.checkpoint and derived.status in {Status.COMPLETED, Status.CANCELLED}:
        yield _violation(job, RepairAction.DROP_CHECKPOINT, f"is {derived.status}, but has a checkpoint")


def _of_lease(job: JobFacts, record: JobRecord, derived: DerivedState) -> Iterator[Violation]:
    """Yields violations of: an attempt marked as leased has a lease with its token, and no other job has one."""
    hot_row, lease = job.hot_row, job.ties.lease
    leased = hot_row is not None and hot_row.table == "running" and hot_row.marks & Mark.LEASED
    if leased and hot_row is not None and lease != hot_row.token:
        yield _violation(job, _placing(record, derived), "runs on a worker over HTTP, but has no lease")
    elif lease is not None and not leased:
        yield _violation(job, RepairAction.DROP_LEASE, "has a lease, but does not run under one")


def _of_follow_ups(job: JobFacts) -> Iterator[Violation]:
    if false := false_endings(job):
        yield _violation(
            job,
            RepairAction.DROP_ENDINGS,
            f"has pending follow-ups for events that are not its ends: {_numbers(sequence for sequence, _ in false)}",
        )


def _of_webhooks(job: JobFacts, record: JobRecord) -> Iterator[Violation]:
    if false := false_webhooks(job):
        words = f"has deliveries for events that do not exist: {_numbers(sequence for sequence, _ in false)}"
        yield _violation(job, RepairAction.DROP_DELIVERIES, words)
    if missing := missing_webhooks(job, record):
        yield _violation(
            job, RepairAction.WRITE_WEBHOOKS, f"has no delivery to its callback for the events {_numbers(missing)}"
        )


def false_endings(job: JobFacts) -> frozenset[tuple[int, int]]:
    """Returns pending follow-ups, as (sequence, kind) of the end, for which the job has no such event."""
    return job.ties.endings - _events(job) if job.ties.endings else job.ties.endings


def false_webhooks(job: JobFacts) -> frozenset[tuple[int, int]]:
    """Returns due deliveries, as (sequence, kind) of the event, for which the job has no such event."""
    webhooks = job.ties.due | job.ties.addressed
    return webhooks - _events(job) if webhooks else webhooks


def missing_webhooks(job: JobFacts, record: JobRecord) -> list[int]:
    """Returns sequences of events that its callback subscribes to, and that have neither a due nor a
    settled delivery.
    """
    if not record.callback_events:
        return []
    delivered = job.ties.settled | {sequence for sequence, _ in job.ties.due}
    return [
        sequence
        for sequence, kind in zip(job.history.sequences, job.history.kinds, strict=True)
        if record.callback_events & BIT_OF_KIND.get(kind, 0) and sequence not in delivered
    ]


def _events(job: JobFacts) -> set[tuple[int, int]]:
    """Returns the events as (sequence, kind); a job that is not recorded has none."""
    if job.record is None:
        return set()
    return set(zip(job.history.sequences, job.history.kinds, strict=True))


def _numbers(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
