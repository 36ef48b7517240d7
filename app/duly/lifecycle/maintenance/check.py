"""Checks every invariant against what is recorded of every job and batch, in one snapshot."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from duly.domain.batch_invariants import batch_violations
from duly.domain.derived_steps import step_differences
from duly.domain.invariant_facts import JobFacts, RepairAction, Violation
from duly.domain.invariants import lacks_unique_key, violations
from duly.store.maintenance.invariant_snapshot import (
    find_without_successor,
    has_control,
    read_all_batches,
    read_all_jobs,
    read_kept_ranges,
)
from duly.store.maintenance.step_records import find_uncompensated, read_all_steps
from duly.store.postgres.database import Connection, Database
from duly.store.submit.inbox import find_recorded_in_inbox

# Violations that a report shows; all are counted.
SHOWN = 100
LACKING_AT_ONCE = 10_000
# Ranges of ids whose days were not dropped.
DayRanges: TypeAlias = Sequence[tuple[UUID, UUID]]


@dataclass(slots=True)
class CheckReport:
    """Result of a check: the number of jobs and batches that it read, and the violations."""

    jobs: int = 0
    batches: int = 0
    broken: int = 0
    shown: list[Violation] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """True if there is no violation."""
        return not self.broken

    def note(self, breach: Violation) -> None:
        """Counts a violation, and keeps the first ones."""
        self.broken += 1
        if len(self.shown) < SHOWN:
            self.shown.append(breach)


async def check(database: Database) -> CheckReport:
    """Checks everything once. Changes and locks nothing.

    Raises:
        DatabaseOutage, RecordRefused: see `duly.store.postgres.database`.
    """
    report = CheckReport()
    async with database.connection() as connection:
        async for breach in survey(connection, report):
            report.note(breach)
    return report


async def survey(connection: Connection, report: CheckReport) -> AsyncIterator[Violation]:
    """Yields every violation as it is found, in one snapshot; counts in the report what was read."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        if not await has_control(connection):
            yield Violation(
                RepairAction.CONTROL, 0, None, "the version of claim restrictions is missing, so no job is claimed"
            )
        day_ranges = await read_kept_ranges(connection)
        async for breach in _of_jobs(connection, report, day_ranges):
            yield breach
        async for breach in _of_steps(connection, day_ranges):
            yield breach
        for tenant_id, job_id in await find_recorded_in_inbox(connection):
            message = f"job {job_id}: recorded, but its submission is still in the inbox"
            yield Violation(RepairAction.DROP_SUBMISSION, tenant_id, job_id, message)
        async for breach in _of_batches(connection, report, day_ranges):
            yield breach


async def _of_jobs(connection: Connection, report: CheckReport, day_ranges: DayRanges) -> AsyncIterator[Violation]:
    """Yields violations of jobs; those about unique keys last."""
    lacking: list[tuple[int, UUID]] = []
    async for job in read_all_jobs(connection):
        report.jobs += job.record is not None
        if job.record is None and _is_remainder(job) and not _is_kept(day_ranges, job.job_id, job.job_id):
            continue  # history of a day that is being dropped
        for breach in violations(job):
            yield breach
        if job.record is not None and lacks_unique_key(job):
            lacking.append((job.record.tenant_id, job.job_id))
    for start in range(0, len(lacking), LACKING_AT_ONCE):
        chosen = lacking[start : start + LACKING_AT_ONCE]
        tenants = {job_id: tenant_id for tenant_id, job_id in chosen}
        for job_id, key in (await find_without_successor(connection, chosen)).items():
            message = f"job {job_id}: unfinished, but no job holds its unique key {key!r}"
            yield Violation(RepairAction.HOLD_UNIQUE, tenants[job_id], job_id, message)


def _is_remainder(job: JobFacts) -> bool:
    """Returns True if only the history of the job is left."""
    ties = job.ties
    held = ties.unique or ties.concurrency_key or ties.waits or ties.followers
    return job.hot_row is None and not (held or ties.endings or ties.due or ties.addressed)


async def _of_steps(connection: Connection, day_ranges: DayRanges) -> AsyncIterator[Violation]:
    async for job in read_all_steps(connection):
        if _is_kept(day_ranges, job.job_id, job.job_id):
            for words in step_differences(job.expected, job.actual):
                yield Violation(RepairAction.RECORD_STEPS, job.tenant_id, job.job_id, f"job {job.job_id}: {words}")
    for ended in await find_uncompensated(connection):
        words = f"has ended, but its completed steps were not compensated: {', '.join(ended.steps)}"
        yield Violation(RepairAction.NONE, ended.tenant_id, ended.job_id, f"job {ended.job_id}: {words}")


async def _of_batches(connection: Connection, report: CheckReport, day_ranges: DayRanges) -> AsyncIterator[Violation]:
    async for batch in read_all_batches(connection):
        report.batches += 1
        if _is_kept(day_ranges, batch.first_id, batch.last_id):  # else its jobs cannot be counted any more
            for breach in batch_violations(batch):
                yield breach


def _is_kept(day_ranges: DayRanges, first: UUID, last: UUID) -> bool:
    """Returns True if no job with an id in this range was dropped with its day."""
    return any(low <= first < high and (last < high or high == day_ranges[-1][1]) for low, high in day_ranges)
