"""A schedule: what recurs, which of its due times are run, and when it looks again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple, assert_never
from uuid import UUID

from duly.domain.cron import Cron
from duly.domain.job import NewJob
from duly.domain.timestamps import rfc3339

# What is less late than this is on time, whatever the policy: a restart of the service misses nothing.
ON_TIME = timedelta(seconds=60)


class Overlap(IntEnum):
    """Whether a due time is run while the last job has not ended. Stored numbers."""

    ALLOW = 0
    SKIP = 1


class CatchUp(IntEnum):
    """What is run of the due times that were missed. Stored numbers."""

    NONE = 0
    LAST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What a client asked for. `submission` is JSON as it is shown again; `job` the template made of it."""

    cron: str
    timezone: str
    submission: str
    job: str
    overlap: Overlap
    catch_up: CatchUp
    paused: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """A recurrence with its name and where it stands. `last_run_at` is the due time of its last job; `last_error` (JSON
    text) says why a later one was refused.
    """

    tenant_id: int
    name: str
    asked: Recurrence
    next_run_at: datetime | None
    last_run_at: datetime | None
    last_job_id: UUID | None
    created_at: datetime
    updated_at: datetime
    last_error: str | None = None

    @property
    def key(self) -> tuple[int, str]:
        """Its tenant and name."""
        return self.tenant_id, self.name


class Run(NamedTuple):
    """One due time of a schedule, and its job; None where it was passed over."""

    tenant_id: int
    name: str
    due_at: datetime
    job: NewJob | None


def run_of(schedule: Schedule, due_at: datetime, kept: NewJob, *, job_id: UUID) -> Run:
    """This due time with a job of its own, made like the one in the template."""
    job = kept._replace(
        tenant_id=schedule.tenant_id,
        job_id=job_id,
        correlation_id=f"schedule:{schedule.name}:{rfc3339(due_at)}",
    )
    return Run(schedule.tenant_id, schedule.name, due_at, job)


def runs_of(
    schedule: Schedule, due: list[datetime], kept: NewJob, *, busy: bool, new_id: Callable[[], UUID]
) -> list[Run]:
    """These due times in order; with `skip`, those are passed over at which a job has not ended."""
    runs = []
    for due_at in due:
        if busy and schedule.asked.overlap is Overlap.SKIP:
            runs.append(Run(schedule.tenant_id, schedule.name, due_at, None))
        else:
            runs.append(run_of(schedule, due_at, kept, job_id=new_id()))
            busy = True
    return runs


class Plan(NamedTuple):
    """The due times to run now, oldest first, and the one to wait for."""

    due: list[datetime]
    next_due: datetime | None


def plan(cron: Cron, catch_up: CatchUp, *, first_due: datetime, now: datetime, limit: int) -> Plan:
    """What is to be done at `now` for a schedule that has been due since `first_due`, a time that is not in the future.

    No more than `limit` times are run at once; where there are more, the next one due lies in the past.
    """
    due = cron.due_times(_first_to_run(cron, catch_up, first_due, now), until=now, limit=limit)
    return Plan(due, cron.next_after(due[-1] if len(due) == limit else now))


def _first_to_run(cron: Cron, catch_up: CatchUp, first_due: datetime, now: datetime) -> datetime:
    """Where the times to run begin; one in the future where there are none."""
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
