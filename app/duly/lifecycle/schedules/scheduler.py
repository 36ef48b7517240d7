"""Submits the jobs of due schedules, each due time once, on any number of nodes.

One transaction locks a schedule's row, records its due times and their jobs, and sets its next due time. The key of a
due time's record (schedule and time) refuses a second run.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson
import structlog

from duly.domain.cron import CronRefused, read_cron
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import Accepted, NewJob
from duly.domain.job_template import read_template, refusal_text
from duly.domain.schedule import Overlap, Plan, Run, Schedule, plan, run_of, runs_of
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, Unavailable
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.schedules.manage import schedule_not_found
from duly.lifecycle.submit.insert import wake_for_submitted
from duly.lifecycle.submit.queue_limit import QueueLimit, insert_within_limit
from duly.lifecycle.submit.traced_submission import TracedSubmission
from duly.lifecycle.writes.bisection import note_fault
from duly.store.postgres.database import Connection, Database, DatabaseOutage, RecordBusy
from duly.store.queue.schedules import (
    Key,
    ScheduleStep,
    advance,
    clock,
    correct_runs,
    hold_schedule,
    read_schedule,
    record_runs,
    record_schedule_error,
    seconds_to_next_run,
    take_due,
    unfinished,
)
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing

log = structlog.stdlib.get_logger("duly.scheduler")

BATCH = 100
# Due times in one round, over all schedules: a schedule that catches up on a million of them delays others by one round
# only, and blocks the event loop for the 25 ms that it takes to compute this number.
MOST_RUNS = 250
LONGEST_LOOK_SECONDS = 1.0
# Delay before due schedules that another node has locked are looked at again.
HELD_SECONDS = 0.05
# Back off this long for a schedule that fails, so it does not block others.
ASIDE_SECONDS = 10.0

Planned = tuple[Schedule, NewJob, Plan]
Recorded = tuple[list[NewJob], list[Accepted | Exception]]


class Scheduler:
    """Submits due jobs; `step` is run by a loop, on any number of nodes."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        types: KnownTypes,
        queue_limit: QueueLimit,
        clock: DatabaseClock,
        tracing: Tracing,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._metrics = metrics
        self._types = types
        self._queue_limit = queue_limit
        self._clock = clock
        self._tracing = tracing
        self._aside_until: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}

    async def step(self) -> float:
        """Submits what is due. Returns the seconds until the next schedule is due, by the database's clock."""
        async with self._database.background() as connection:
            seconds = await seconds_to_next_run(connection, exclude=self._aside())
        if seconds is None or seconds > 0:
            return LONGEST_LOOK_SECONDS if seconds is None else min(seconds, LONGEST_LOOK_SECONDS)
        return 0.0 if await self._fire(limit=BATCH) else HELD_SECONDS

    async def run(self, key: Key) -> Accepted:
        """Submits a schedule's job now, paused or not; its next due time stays.

        Raises:
            NotFound: there is none of this name.
            DulyError: its job is refused, as the same submission would be.
            Unavailable: the job's keys or dependencies could not be locked in time.
        """
        await self._admit_queue(key)
        try:
            async with self._database.connection() as connection, connection.transaction():
                held = await hold_schedule(connection, key)
                if held is None:
                    raise schedule_not_found(key)
                await self._types.load([key[0]], connection=connection)
                now = await clock(connection)
                now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # the precision of the API
                run = run_of(held, now, self._template(held), job_id=self._clock.ids.new())
                await record_runs(connection, [run])
                jobs, [result] = await self._record(connection, [run])
                if isinstance(result, Exception):
                    raise result
                await advance(connection, [ScheduleStep(*key, held.next_run_at, now, result.job_id)])
        except RecordBusy:
            raise Unavailable("Could not lock the job's keys or dependencies. Retry.") from None
        self._wake((jobs, [result]))
        return result

    async def _admit_queue(self, key: Key) -> None:
        """Admits the queue of a schedule's job, on a connection that is free again before the transaction.

        Raises:
            QueueLimitReached: it would be a queue too many.
        """
        async with self._database.connection() as connection:
            found = await read_schedule(connection, key)
        if found is not None:
            await self._queue_limit.admit(key[0], (read_template(found.recurrence.job).queue,))

    async def _fire(self, *, limit: int) -> bool:
        """Runs one transaction. Returns True if there was any schedule to take."""
        taken: list[Schedule] = []
        try:
            async with self._database.connection() as connection, connection.transaction():
                taken = await take_due(connection, exclude=self._aside(), limit=limit)
                recorded = await self._fire_taken(connection, taken)
        except DatabaseOutage:
            raise
        except Exception as error:  # any error: the other schedules must be run
            if limit == BATCH:
                note_fault(error, "schedule", self._metrics)
            if len(taken) > 1:  # nothing was recorded: find the one to blame
                return await self._fire(limit=len(taken) // 2)
            if not taken:
                raise
            self._set_aside(taken[0], error)
            async with self._database.connection() as connection:
                await record_schedule_error(connection, taken[0].key, _refusal(taken[0].next_run_at, error))
            return True
        for schedule in taken:
            self._failures.pop((schedule.tenant_id, schedule.name), None)
        self._wake(recorded)
        return bool(taken)

    async def _fire_taken(self, connection: Connection, taken: Sequence[Schedule]) -> Recorded:
        """Records the due times of these schedules, inserts their jobs, and sets their next due times."""
        now = await clock(connection)
        plans = await self._plans(connection, taken, now)
        runs = await record_runs(connection, await self._due_runs(connection, plans))
        recorded = await self._record(connection, runs)
        last = _last_jobs(runs, recorded)
        next_due = {(schedule.tenant_id, schedule.name): planned.next_due for schedule, _, planned in plans}
        errors = _last_errors(runs, recorded)
        steps = [ScheduleStep(*key, due_at, *last.get(key, ())) for key, due_at in next_due.items()]
        await advance(connection, [step._replace(last_error=errors.get(step[:2])) for step in steps])
        return recorded

    async def _due_runs(self, connection: Connection, plans: Sequence[Planned]) -> list[Run]:
        """Returns the runs of these plans, passing over those that overlap where the schedule forbids it."""
        last_jobs = [
            (schedule.tenant_id, schedule.last_job_id)
            for schedule, _, _ in plans
            if schedule.recurrence.overlap is Overlap.SKIP and schedule.last_job_id
        ]
        busy = await unfinished(connection, last_jobs)
        new_id = self._clock.ids.new
        return [
            run
            for schedule, template, plan_ in plans
            for run in runs_of(schedule, plan_.due, template, busy=schedule.last_job_id in busy, new_id=new_id)
        ]

    async def _plans(self, connection: Connection, taken: Sequence[Schedule], now: datetime) -> list[Planned]:
        """Returns the due times of these schedules. Skips one that this node cannot read, and records why."""
        plans = []
        limit = max(MOST_RUNS // max(len(taken), 1), 1)
        await self._types.load({schedule.tenant_id for schedule in taken}, connection=connection)
        for schedule in taken:
            requested, first_due = schedule.recurrence, schedule.next_run_at or now
            try:
                cron = read_cron(requested.cron, requested.timezone, kept=True)
                template = self._template(schedule)
            except (CronRefused, ValueError) as error:  # of another release, or a time zone unknown here
                self._set_aside(schedule, error)
                await record_schedule_error(connection, schedule.key, _refusal(first_due, error))
                continue
            plans.append(
                (schedule, template, plan(cron, requested.catch_up, first_due=first_due, now=now, limit=limit))
            )
        return plans

    def _template(self, schedule: Schedule) -> NewJob:
        """Returns the job of a schedule, with the present defaults of its type if this node knows the type."""
        template = read_template(schedule.recurrence.job)
        job_type = self._types.find(schedule.tenant_id, template.type)
        if job_type is None:
            return template
        requested = orjson.loads(schedule.recurrence.submission)
        return template._replace(
            timeout_seconds=requested.get("timeoutSeconds") or job_type.timeout_seconds,
            max_attempts=requested.get("maxAttempts") or job_type.max_attempts,
        )

    async def _record(self, connection: Connection, runs: Sequence[Run]) -> Recorded:
        """Inserts the jobs of these runs, and corrects the records of runs whose job was deduplicated or refused."""
        with_job = [(run, run.job) for run in runs if run.job is not None]
        traced = TracedSubmission(self._tracing, [job for _, job in with_job])
        jobs = traced.jobs
        results = await insert_within_limit(connection, jobs, limit=self._queue_limit) if jobs else []
        traced.recorded(results)
        others: list[tuple[Run, UUID | None]] = []
        for (run, job), result in zip(with_job, results, strict=True):
            if isinstance(result, Exception):
                message = f"job of schedule {run.name} refused: {result}"
                log.warning(message, action="schedule_refused", schedule=run.name, due_at=run.due_at.isoformat())
                others.append((run, None))
            elif result.job_id != job.job_id:
                others.append((run, result.job_id))
        await correct_runs(connection, others)
        return jobs, results

    def _wake(self, recorded: Recorded) -> None:
        jobs, results = recorded
        refused = sum(isinstance(result, Exception) for result in results)
        self._metrics.kept_refused.labels("schedule").inc(refused)
        if jobs:
            self._metrics.recorded(wake_for_submitted(self._wakeups, jobs, results), statement="submit")

    def _set_aside(self, schedule: Schedule, error: Exception) -> None:
        """Skips a schedule that failed for a while; logs its first failure."""
        failures = self._failures[schedule.key] = self._failures.get(schedule.key, 0) + 1
        if failures == 1:
            self._metrics.items_refused.labels("schedule").inc()
            log.error(
                f"schedule {schedule.name} failed: {error}",
                action="schedule_failed",
                schedule=schedule.name,
            )
        self._metrics.kept_refused.labels("schedule").inc()
        self._aside_until[schedule.key] = time.monotonic() + ASIDE_SECONDS

    def _aside(self) -> list[Key]:
        now = time.monotonic()
        self._aside_until = {key: until for key, until in self._aside_until.items() if until > now}
        return list(self._aside_until)


def _last_jobs(runs: Sequence[Run], recorded: Recorded) -> dict[Key, tuple[datetime, UUID]]:
    """Returns for each schedule the due time and the job of its last run that has one."""
    results = iter(recorded[1])
    last: dict[Key, tuple[datetime, UUID]] = {}
    for run in runs:
        result = next(results) if run.job is not None else None
        if isinstance(result, Accepted):
            last[run.tenant_id, run.name] = (run.due_at, result.job_id)
    return last


def _last_errors(runs: Sequence[Run], recorded: Recorded) -> dict[Key, str]:
    """Returns for each schedule whose last run was refused the error."""
    results = iter(recorded[1])
    errors: dict[Key, str] = {}
    for run in runs:
        if run.job is None:
            continue
        result = next(results)
        if isinstance(result, Exception):
            errors[run.tenant_id, run.name] = _refusal(run.due_at, result)
        else:
            errors.pop((run.tenant_id, run.name), None)
    return errors


def _refusal(due_at: datetime | None, error: Exception) -> str:
    if isinstance(error, CronRefused):
        error = Invalid.at(error.errors)
    return refusal_text(error, dueAt=rfc3339(due_at) if due_at is not None else None)
