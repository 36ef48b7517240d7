"""Operations on schedules."""

from typing import Literal, TypedDict, Unpack, cast

from duly.client.answers import Accepted, DueTimes, Schedule, ScheduleRun
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import camel_case, delete, get, patch, path_of, post, put
from duly.client.sending import call
from duly.client.steps import Items, Steps
from duly.client.submission import JobRequest, submission


class ScheduleOptions(TypedDict, total=False):
    """Options of a schedule.

    `timezone` is an IANA name (default: UTC), `overlap` decides about a due time while the last job is unfinished, and
    `catch_up` about due times that passed while no service ran.
    """

    timezone: str
    overlap: Literal["allow", "skip"]
    catch_up: Literal["none", "last", "all"]
    paused: bool


class ScheduleChange(ScheduleOptions, total=False):
    """Changes of a schedule; members that are left out stay as they are."""

    cron: str
    job: JobRequest


class ScheduleOperations(Operations[PerformerT]):
    """Creates, reads, changes, runs and deletes schedules."""

    @operation
    def create(self, name: str, cron: str, job: JobRequest, **options: Unpack[ScheduleOptions]) -> Steps[Schedule]:
        """Creates a schedule.

        Args:
            name: name of the schedule.
            cron: expression of five fields, or of six with seconds first.
            job: job to submit at each due time.
            options: options of the schedule.

        Raises:
            Conflict: a schedule of this name exists.
        """
        body = {"name": name, "cron": cron, "submission": submission(job), **camel_case(options)}
        return cast("Schedule", (yield from call(post(path_of("schedules"), body))))

    @operation
    def put(self, name: str, cron: str, job: JobRequest, **options: Unpack[ScheduleOptions]) -> Steps[Schedule]:
        """Creates the schedule, or replaces the one of this name. Without a change, its next due time stays.

        Args:
            name: name of the schedule.
            cron: expression of five fields, or of six with seconds first.
            job: job to submit at each due time.
            options: options of the schedule; those that are left out get their defaults.
        """
        body = {"cron": cron, "submission": submission(job), **camel_case(options)}
        return cast("Schedule", (yield from call(put(path_of("schedules", name), body))))

    @iteration
    def list(self) -> Items[Schedule]:
        """Yields the schedules by name, page by page."""
        return items_of(path_of("schedules"))

    @operation
    def get(self, name: str) -> Steps[Schedule]:
        """Returns the schedule, with its next due time and its last job."""
        return cast("Schedule", (yield from call(get(path_of("schedules", name)))))

    @operation
    def update(self, name: str, **changes: Unpack[ScheduleChange]) -> Steps[Schedule]:
        """Changes the schedule."""
        body = camel_case(changes)
        if "job" in changes:
            body["submission"] = submission(body.pop("job"))
        return cast("Schedule", (yield from call(patch(path_of("schedules", name), body))))

    @operation
    def delete(self, name: str) -> Steps[None]:
        """Deletes the schedule. Its jobs remain."""
        yield from call(delete(path_of("schedules", name)))

    @operation
    def due_times(self, name: str, *, count: int = 10) -> Steps[DueTimes]:
        """Returns the next due times of the schedule, each in UTC and in its time zone.

        Args:
            name: name of the schedule.
            count: number of due times, 1 to 100.
        """
        request = get(path_of("schedules", name, "due-times"), {"count": count})
        return cast("DueTimes", (yield from call(request)))

    @iteration
    def runs(self, name: str) -> Items[ScheduleRun]:
        """Yields the past due times of the schedule with the status of their jobs, newest first, page by page."""
        return items_of(path_of("schedules", name, "runs"))

    @operation
    def run(self, name: str) -> Steps[Accepted]:
        """Submits the job of the schedule now. Its due times do not change."""
        return cast("Accepted", (yield from call(post(path_of("schedules", name, "run")))))
