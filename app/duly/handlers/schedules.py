"""Schedules that code declares beside its handlers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from duly.domain.names import is_schedule_name
from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import ChildRequest, child_request

OverlapPolicy: TypeAlias = Literal["allow", "skip"]
CatchUpPolicy: TypeAlias = Literal["none", "last", "all"]


@dataclass(frozen=True, slots=True)
class ScheduleOptions:
    """Options of `Handlers.schedule`. `name`: None for that of the job type."""

    cron: str
    timezone: str
    name: str | None
    parameters: Any
    overlap: OverlapPolicy
    catch_up: CatchUpPolicy
    submission: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HandlerSchedule:
    """Schedule of a handler. The cron expression and the submission are checked when it is declared."""

    name: str
    cron: str
    timezone: str
    request: ChildRequest
    overlap: OverlapPolicy
    catch_up: CatchUpPolicy


def schedule_of(job_type: str, options: ScheduleOptions) -> HandlerSchedule:
    """Returns the schedule of a job type.

    Raises:
        HandlerError: its name or an option is invalid.
    """
    name = options.name or job_type.replace("/", ".")
    if not is_schedule_name(name):
        raise HandlerError(
            f"{name!r} is not a valid name of a schedule (at most 128 letters, digits and . _ : -); choose another "
            "one with name="
        )
    if options.overlap not in {"allow", "skip"}:
        raise HandlerError(f'schedule "{name}": overlap={options.overlap!r} must be allow or skip')
    if options.catch_up not in {"none", "last", "all"}:
        raise HandlerError(f'schedule "{name}": catch_up={options.catch_up!r} must be none, last or all')
    request = child_request(job_type, options.parameters, options.submission, what=f'schedule "{name}"')
    return HandlerSchedule(name, options.cron, options.timezone, request, options.overlap, options.catch_up)
