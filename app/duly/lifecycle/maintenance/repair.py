"""Repairs violations of invariants: rebuilds from the ledger what other tables have lost, while the service runs.

A few jobs are repaired at a time, from a snapshot of what is recorded of them. Nothing is written if a row of theirs
has changed since then, so the repair blocks nothing and undoes no work.
"""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from duly.domain.audit import Actor, AuditEntry
from duly.domain.batch_invariants import batch_violations
from duly.domain.derived_steps import step_differences
from duly.domain.invariant_facts import JobFacts, RepairAction
from duly.domain.invariants import lacks_unique_key, violations
from duly.domain.job import DEFAULT_TENANT
from duly.lifecycle.maintenance.check import CheckReport, survey
from duly.lifecycle.maintenance.repair_actions import BATCHES, JOBS, count_batch
from duly.store.access.audit import record_change
from duly.store.maintenance.invariant_snapshot import read_batches, read_jobs
from duly.store.maintenance.repair_writes import alone, grant_keys, restore_control
from duly.store.maintenance.step_records import read_steps_of, rewrite_steps
from duly.store.postgres.database import Connection, Database, RecordBusy, RecordRefused

log = structlog.stdlib.get_logger("duly.repair")

BATCH = 500
TRIES = 10
LONGEST_PAUSE_SECONDS = 0.1
# A repair may reveal violations that were hidden before: the rounds of check and repair.
ROUNDS = 4

Key = tuple[int, UUID]  # tenant and job, or batch


class RepairInProgress(Exception):
    """Another repair of this database is running."""


@dataclass(slots=True)
class Repaired:
    """Number of jobs and batches that were repaired, by kind of repair, and the report of the last check."""

    done: Counter[RepairAction] = field(default_factory=Counter)
    report: CheckReport = field(default_factory=CheckReport)


async def repair(database: Database, *, by: Actor | None = None) -> Repaired:
    """Checks and repairs, again until no violation is left that can be repaired.

    Raises:
        RepairInProgress: another repair is running.
        DatabaseOutage, RecordRefused: see `duly.store.postgres.database`; finished repairs stay.
    """
    repaired = Repaired()
    async with database.connection() as connection, alone(connection) as may:
        if not may:
            raise RepairInProgress
        for _ in range(ROUNDS):
            repaired.report = CheckReport()
            found = await _look(database, repaired.report)
            if not found:
                break
            repaired.done += await _cure(database, found, by)
        else:
            repaired.report = CheckReport()
            await _look(database, repaired.report)
    return repaired


async def _look(database: Database, report: CheckReport) -> dict[RepairAction, list[Key]]:
    """Returns all jobs and batches that can be repaired, by kind of repair; each once."""
    found: defaultdict[RepairAction, dict[Key, None]] = defaultdict(dict)
    async with database.connection() as connection:
        async for breach in survey(connection, report):
            report.note(breach)
            if breach.repair_action is not RepairAction.NONE:
                found[breach.repair_action][breach.tenant_id, breach.subject or UUID(int=0)] = None
    return {repair_action: list(keys) for repair_action, keys in found.items()}


async def _cure(database: Database, found: dict[RepairAction, list[Key]], by: Actor | None) -> Counter[RepairAction]:
    """Repairs all jobs or batches that need one kind of repair. Returns their number."""
    done: Counter[RepairAction] = Counter()
    for repair_action in RepairAction:
        keys = found.get(repair_action, [])
        if repair_action is RepairAction.HAND_OUT:
            with suppress(RecordBusy):  # the next check shows its other violations
                done[repair_action] += await _in_a_snapshot(database, grant_keys)
        for start in range(0, len(keys), BATCH):
            done[repair_action] += await _cure_some(database, repair_action, keys[start : start + BATCH])
    done[RepairAction.CONTROL] += len(found.get(RepairAction.CONTROL, []))
    if +done:
        async with database.connection() as connection, connection.transaction():
            await restore_control(connection)
            counts = {action.name.lower(): count for action, count in (+done).items()}
            entry = AuditEntry("ledger.repaired", "database", None, counts)
            await record_change(connection, DEFAULT_TENANT, by, entry)
    return +done


async def _cure_some(database: Database, repair_action: RepairAction, keys: Sequence[Key]) -> int:
    """Repairs these in one transaction; in smaller ones if that is refused or conflicts with others."""
    if repair_action not in {*JOBS, *BATCHES, RepairAction.RECORD_STEPS}:
        return 0
    try:
        return await _in_a_snapshot(database, lambda connection: _apply(connection, repair_action, keys))
    except RecordRefused as error:
        if len(keys) == 1:
            subject = str(keys[0][1])
            log.warning(f"could not repair {subject}: {error}", action="repair_refused", id=subject, error=str(error))
            return 0
    half = len(keys) // 2
    return await _cure_some(database, repair_action, keys[:half]) + await _cure_some(
        database, repair_action, keys[half:]
    )


async def _in_a_snapshot(database: Database, work: Callable[[Connection], Awaitable[int]]) -> int:
    """Runs `work` in a snapshot, again if another transaction has changed what it read and writes.

    Raises:
        RecordBusy: it conflicted each time.
    """
    for _ in range(TRIES):
        try:
            async with database.connection() as connection, connection.transaction(isolation="repeatable_read"):
                return await work(connection)
        except RecordBusy:
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))  # noqa: S311  # jitter
    raise RecordBusy("its rows kept changing")


async def _apply(connection: Connection, repair_action: RepairAction, keys: Sequence[Key]) -> int:
    """Repairs those that still need it. Returns their number."""
    if repair_action in BATCHES:
        batches = await read_batches(connection, [batch_id for _, batch_id in keys])
        broken = [batch for batch in batches if any(batch_violations(batch))]
        for batch in broken:
            await count_batch(connection, batch)
        return len(broken)
    if repair_action is RepairAction.RECORD_STEPS:
        facts = await read_steps_of(connection, [job_id for _, job_id in keys])
        wrong = [job for job in facts if step_differences(job.expected, job.actual)]
        await rewrite_steps(connection, wrong)
        return len(wrong)
    jobs = [job for job in await read_jobs(connection, keys) if _needs(repair_action, job)]
    if jobs:
        await JOBS[repair_action](connection, jobs)
    return len(jobs)


def _needs(repair_action: RepairAction, job: JobFacts) -> bool:
    if repair_action is RepairAction.HOLD_UNIQUE:
        return lacks_unique_key(job)
    if repair_action is RepairAction.DROP_SUBMISSION:
        return job.record is not None
    return any(breach.repair_action is repair_action for breach in violations(job))
