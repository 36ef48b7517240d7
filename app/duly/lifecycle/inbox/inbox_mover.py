"""Moves submissions from the inbox into the ledger, on any number of nodes.

One transaction locks some rows, records their jobs and deletes the rows, so a job is recorded once whichever node stops
at whatever moment.
"""

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from duly.domain.cells import cell_of
from duly.domain.events import EventKind
from duly.domain.ids import IdMaker, made_at
from duly.domain.job import Accepted, NewJob
from duly.errors import BacklogFull, RateLimited
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.follow_ups import wake_for_ended
from duly.lifecycle.inbox.inbox_reader import InboxReader, Refusal, deduplicated, id_taken, of_other_cell, refusal_of
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.submit.insert import insert_jobs, wake_for_submitted
from duly.lifecycle.submit.queue_limit import QueueLimit, insert_within_limit
from duly.lifecycle.submit.submission_limiter import SubmissionLimiter, SubmissionLimiters
from duly.lifecycle.submit.submit import record_keyed
from duly.lifecycle.submit.traced_submission import TracedSubmission
from duly.lifecycle.writes.round_size import RoundSize
from duly.store.ledger.end_jobs import EndedWaitingJob, WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import (
    Connection,
    Database,
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseOutage,
    PartitionMissing,
    RecordBusy,
    RecordRefused,
)
from duly.store.submit.inbox import InboxLane, InboxRow, delete_from_inbox, has_rows, take_inbox
from duly.store.ties.unique_keys_and_dependencies import find_ids
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing

BATCH = 200
LOOK_SECONDS = 1.0
# For a while after a round that recorded something, rows may follow without a hint of their own.
BUSY_SECONDS = 0.02
QUIET_AFTER_SECONDS = 0.5
# A queue or a tenant at its submission limits is passed over for this long.
CLOSED_SECONDS = 1.0
_NOT_ABOUT_CONTENT = (RecordBusy, DatabaseMisconfigured)


@dataclass(slots=True)
class _Moved:
    """Result of one transaction: the jobs that wait to run, and those that ended at once."""

    rows: Sequence[InboxRow] = ()
    jobs: list[NewJob] = field(default_factory=list)
    results: list[Accepted | Exception] = field(default_factory=list)
    ended: list[EndedWaitingJob] = field(default_factory=list)


class InboxMover:
    """Moves submissions for one node; `step` is run by a loop."""

    def __init__(  # noqa: PLR0913  # the parts that it uses
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        reader: InboxReader,
        types: KnownTypes,
        limiters: SubmissionLimiters,
        queue_limit: QueueLimit,
        ids: IdMaker,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._metrics = metrics
        self._reader = reader
        self._types = types
        self._limiters = limiters
        self._insert = partial(insert_within_limit, limit=queue_limit)
        self._ids = ids
        self._tracing = tracing
        self._round_size: RoundSize[UUID] = RoundSize(metrics, most=BATCH, statement="inbox")
        self._refused: dict[UUID, Exception] = {}
        self._blamed: set[UUID] = set()
        self._busy_until = 0.0
        self._closed_until: dict[InboxLane, float] = {}

    async def step(self) -> float:
        """Moves some submissions, if there are any. Returns the seconds until the next look."""
        async with self._database.background() as connection:
            waiting = await has_rows(connection)
        found = await self._round() if waiting else 0
        if found:
            self._busy_until = time.monotonic() + QUIET_AFTER_SECONDS
        if found >= BATCH:
            return 0.0
        return BUSY_SECONDS if time.monotonic() < self._busy_until else LOOK_SECONDS

    async def _round(self) -> int:
        """Runs one transaction. Returns the number of submissions that it recorded or was refused."""
        taken: list[UUID] = []
        try:
            async with self._database.pinned() as connection:
                moved = await self._move(connection, taken)
        except DatabaseOutage:
            raise
        except Exception as error:  # any error: the other submissions must be recorded
            if not taken and self._round_size.limit == 1:
                raise
            if not (isinstance(error, PartitionMissing) and await self._make_partitions(taken)):
                self._blame(taken, error)
            return len(taken)
        self._round_size.recorded(taken)
        self._wake(moved)
        return len(moved.rows)

    async def _move(self, connection: Connection, taken: list[UUID]) -> _Moved:
        """Records the jobs of some rows and deletes these rows; adds the ids of all rows that it reads to `taken`."""
        rows = await take_inbox(
            connection, limit=self._round_size.limit, closed=self._closed(), exclude=self._round_size.aside()
        )
        taken += [row.job_id for row in rows]
        await self._load_types(connection, rows)
        ids_of_others = await self._ids_of_others(connection, rows)
        readings = {row: self._read(row, is_id_taken=row.job_id in ids_of_others) for row in rows}
        admitted = await self._admitted(readings)
        moved = _Moved(admitted)
        if not admitted:
            return moved
        refusals = {row: reading for row in admitted if isinstance(reading := readings[row], Refusal)}
        jobs = {row: reading for row in admitted if isinstance(reading := readings[row], NewJob)}
        if jobs:
            traced = TracedSubmission(self._tracing, list(jobs.values()))
            results = await record_keyed(connection, traced.jobs, self._insert)
            traced.recorded(results)
            for (row, job), result in zip(jobs.items(), results, strict=True):
                if (refusal := _refusal_in(result)) is not None:
                    refusals[row] = refusal
                else:
                    moved.jobs.append(job)
                    moved.results.append(result)
        moved.ended = await self._record_ended(connection, refusals)
        await delete_from_inbox(connection, [(row.tenant_id, row.job_id) for row in admitted])
        return moved

    async def _make_partitions(self, job_ids: Sequence[UUID]) -> bool:
        """Creates the partitions of days long past, of submissions that waited while no node ran. Returns True if any
        was lacking.
        """
        try:
            return bool(await self._database.make_partitions({made_at(job_id).date() for job_id in job_ids}))
        except DatabaseError:
            return False

    def _blame(self, taken: Sequence[UUID], error: Exception) -> None:
        """Halves the next round. A single row is skipped for a while, and recorded as invalid if its content is the
        reason.
        """
        blamed = self._round_size.refused(taken, error)
        if blamed is not None:
            self._blamed.add(blamed)
        if blamed is not None and isinstance(error, RecordRefused) and not isinstance(error, _NOT_ABOUT_CONTENT):
            self._refused[blamed] = error

    async def _ids_of_others(self, connection: Connection, rows: Sequence[InboxRow]) -> Collection[UUID]:
        """Returns the ids that other jobs have, of the rows that were refused before."""
        blamed = [row.job_id for row in rows if row.job_id in self._blamed]
        self._blamed.difference_update(blamed)
        return await find_ids(connection, blamed)

    async def _load_types(self, connection: Connection, rows: Sequence[InboxRow]) -> None:
        """Reads the job types of these tenants; again if one is unknown, which may have been declared just now."""
        tenants = {row.tenant_id for row in rows}
        await self._types.load(tenants, connection=connection)
        if any(self._types.find(row.tenant_id, row.type) is None for row in rows):
            await self._types.step()
            await self._types.load(tenants, connection=connection)

    def _read(self, row: InboxRow, *, is_id_taken: bool) -> NewJob | Refusal:
        """Returns the job of a submission; a refusal if the database has refused it before."""
        error = self._refused.pop(row.job_id, None)
        if is_id_taken:
            return id_taken(row.job_id)
        if cell_of(row.job_id, self._ids.cell.count) != self._ids.cell.number:
            return of_other_cell(row.job_id)
        return refusal_of(error, bare=True) if error is not None else self._reader.read(row)

    async def _record_ended(
        self, connection: Connection, refusals: Mapping[InboxRow, Refusal]
    ) -> list[EndedWaitingJob]:
        """Records jobs that end at once: those that are invalid or deduplicated."""
        if not refusals:
            return []
        for refusal in refusals.values():
            self._metrics.inbox_ended.labels("deduplicated" if refusal.cancelled else "invalid").inc()
        jobs = [self._ended(row, refusal) for row, refusal in refusals.items()]
        await insert_jobs(connection, jobs)
        ends = [
            WaitingJobEnd(
                job.tenant_id,
                job.job_id,
                EventKind.CANCELLED if refusal.cancelled else EventKind.FAILED,
                refusal.error,
            )
            for job, refusal in zip(jobs, refusals.values(), strict=True)
        ]
        return await end_waiting_jobs(connection, ends, source="inbox")

    def _ended(self, row: InboxRow, refusal: Refusal) -> NewJob:
        """Returns the job that ends at once. If its id is taken, it has a new one, and the taken id for correlation."""
        if not refusal.as_other:
            return self._reader.ended(row, refusal)
        job = self._reader.ended(row._replace(job_id=self._ids.new()), refusal)
        return job._replace(correlation_id=str(row.job_id))

    async def _admitted(self, readings: Mapping[InboxRow, NewJob | Refusal]) -> list[InboxRow]:
        """Returns the rows that the submission limits admit now; their lanes are closed for a while to the others."""
        lanes: defaultdict[tuple[InboxLane, str], list[InboxRow]] = defaultdict(list)
        admitted = []
        for row, reading in readings.items():
            if isinstance(reading, NewJob):
                lanes[InboxLane(row.tenant_id, row.queue), reading.queue].append(row)
            else:
                admitted.append(row)
        for (lane, queue), rows in lanes.items():
            limiter = await self._limiters.of(lane.tenant_id)
            room = await _room(limiter, queue, len(rows)) if limiter.enabled else len(rows)
            if room < len(rows):
                self._closed_until[lane] = time.monotonic() + CLOSED_SECONDS
            admitted += rows[:room]
        return admitted

    def _closed(self) -> list[InboxLane]:
        """Returns the lanes that are at their limits, and forgets the others."""
        now = time.monotonic()
        self._closed_until = {lane: until for lane, until in self._closed_until.items() if until > now}
        return list(self._closed_until)

    def _wake(self, moved: _Moved) -> None:
        fresh = wake_for_submitted(self._wakeups, moved.jobs, moved.results)
        self._metrics.recorded(fresh, statement="inbox")
        wake_for_ended(self._wakeups, self._metrics, moved.ended)


async def _room(limiter: SubmissionLimiter, queue: str, wanted: int) -> int:
    """Returns how many of this number of jobs the limits admit: all, or a half, a quarter … of them."""
    while wanted:
        try:
            await limiter.admit({queue: wanted})
        except (BacklogFull, RateLimited):
            wanted //= 2
        else:
            break
    return wanted


def _refusal_in(result: Accepted | Exception) -> Refusal | None:
    """Returns the refusal of a submission that was not recorded as a job of its own."""
    if isinstance(result, Exception):
        return refusal_of(result)
    return None if result.fresh else deduplicated(result.job_id)
