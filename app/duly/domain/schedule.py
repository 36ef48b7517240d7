"""Schedules: recurring jobs, the due times to run, and the time of the next look."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple, assert_never
from uuid import UUID

from duly.domain.cron import Cron
from duly.domain.job import NewJob
from duly.domain.timestamps import rfc3339

# Due times that are less late than this are on time under every policy, so a restart of the service misses none.
ON_TIME = timedelta(seconds=60)


class Overlap(IntEnum):
    """Policy for a due time at which the last job has not ended. Stored numbers."""

    ALLOW = 0
    SKIP = 1


class CatchUp(IntEnum):
    """Policy for missed due times. Stored numbers."""

    NONE = 0
    LAST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Recurrence:
    """Client's definition of a schedule. `submission` is its JSON as sent; `job` the template made from it."""

    cron: str
    timezone: str
    submission: str
    job: str
    overlap: Overlap
    catch_up: CatchUp
    paused: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """Recurrence with its name and state. `last_run_at` is the due time of its last job; `last_error` (JSON text) the
    reason why a later one was refused. `declared`: the code of a worker has declared it.
    """

    tenant_id: int
    name: str
    recurrence: Recurrence
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_job_id: UUID | None
    created_at: datetime
    updated_at: datetime
    last_error: str | None = None
    declared: bool = False

    @property
    def key(self) -> tuple[int, str]:
        """Returns the tenant and the name."""
        return self.tenant_id, self.name


class Run(NamedTuple):
    """Due time of a schedule, and its job; None where it was skipped."""

    tenant_id: int
    name: str
    due_at: datetime
    job: NewJob | None


def run_of(schedule: Schedule, due_at: datetime, kept: NewJob, *, job_id: UUID) -> Run:
    """Returns the run of this due time, with a job made from the template."""
    job = kept._replace(
        tenant_id=schedule.tenant_id,
        job_id=job_id,
        correlation_id=f"schedule:{schedule.name}:{rfc3339(due_at)}",
    )
    return Run(schedule.tenant_id, schedule.name, due_at, job)


def runs_of(
    schedule: Schedule, due: list[datetime], kept: NewJob, *, busy: bool, new_id: Callable[[], UUID]
) -> list[Run]:
    """Returns the runs of these due times in order; with `skip`, without a job where another has not ended."""
    runs = []
    for due_at in due:
        if busy and schedule.recurrence.overlap is Overlap.SKIP:
            runs.append(Run(schedule.tenant_id, schedule.name, due_at, None))
        else:
            runs.append(run_of(schedule, due_at, kept, job_id=new_id()))
            busy = True
    return runs


class Plan(NamedTuple):
    """Due times to run now, in order, and the next one to wait for."""

    due: list[datetime]
    next_due: datetime | None


def plan(cron: Cron, catch_up: CatchUp, *, first_due: datetime, now: datetime, limit: int) -> Plan:
    """Returns the plan at `now` for a schedule that has been due since `first_due`, which is not in the
    future.

    At most `limit` times are run at once; with more, the next due time is in the past.
    """
    due = cron.due_times(_first_to_run(cron, catch_up, first_due, now), until=now, limit=limit)
    return Plan(due, cron.next_after(due[-1] if len(due) == limit else now))


def _first_to_run(cron: Cron, catch_up: CatchUp, first_due: datetime, now: datetime) -> datetime:
    """Returns the first due time to run; one in the future if there is none."""
    on_time = first_due if first_due > now - ON_TIME else cron.next_after(now - ON_TIME)
    match catch_up:
        case CatchUp.ALL:
            return first_due
        case CatchUp.LAST if on_time is None or on_time > now:
            return cron.last_until(now, since=first_due) or first_due
        case CatchUp.NONE | CatchUp.LAST:
            return on_time or now + ON_TIME
        case _:
            assert_never(catch_up)
