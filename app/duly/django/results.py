"""Task results, from the job, its events and the errors that its attempts logged."""

import builtins
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone

from duly.client.answers import Event, Job, JobError, LogLine
from duly.django.declared_tasks import declared_task
from duly.django.framework import Task, TaskError, TaskResult, TaskResultStatus
from duly.django.task_call import EXCEPTION_FIELD, TaskCall, aware_time, django_time, ready_result
from duly.domain.ids import made_at

_STATUS: Mapping[str, TaskResultStatus] = {
    "pending": TaskResultStatus.READY,
    "running": TaskResultStatus.RUNNING,
    "completed": TaskResultStatus.SUCCESSFUL,
    "failed": TaskResultStatus.FAILED,
    "cancelled": TaskResultStatus.FAILED,
}
_RECENT = timedelta(seconds=2)
# Class of errors whose exception is unknown or does not exist, such as those of a timeout.
_WITHOUT_EXCEPTION = "duly.client.JobNotCompleted"


class JobRecord(NamedTuple):
    """Job of a task with its events and the lines of level `error` in its logs, oldest first."""

    job: Job[Any]
    events: list[Event]
    logs: list[LogLine]


def result_of(record: JobRecord, *, backend: str) -> TaskResult:
    """Returns the result of a task, read by the backend with this alias.

    Raises:
        UndeclaredTask: the project no longer declares the task.
    """
    job = record.job
    call = TaskCall.model_validate(job["parameters"])
    result = ready_result(_task_of(call, job, backend), call.args, call.kwargs, backend=backend, id_=job["jobId"])
    starts = [event for event in record.events if event["eventType"] == "JobStarted"]
    times = [_time(event["occurredAt"]) for event in starts]
    members = {
        "status": _STATUS[job["status"]],
        "enqueued_at": django_time(made_at(UUID(job["jobId"]))),  # exactly as `enqueue` returned it
        "started_at": times[0] if times else None,
        "last_attempted_at": times[-1] if times else None,
        "finished_at": _time(job["completedAt"]),
        "errors": list(_errors(record)),
        "worker_ids": [event["metadata"]["source"] for event in starts],
        "_return_value": job["result"],
    }
    for name, value in members.items():
        object.__setattr__(result, name, value)  # the framework's class is frozen, and has no argument for the value
    return result


def _task_of(call: TaskCall, job: Job[Any], backend: str) -> Task:
    run_after = _time(job["runAt"])
    return declared_task(call.task).using(
        priority=job["priority"], queue_name=job["queue"], run_after=run_after, backend=backend
    )


def lacks_recent_line(record: JobRecord) -> bool:
    """Returns whether an attempt that an exception ended a moment ago has no line in the log yet."""
    logged = {line["attempt"] for line in record.logs}
    after = aware_time(timezone.now()) - _RECENT
    return any(
        (error["details"] or {}).get("exception") is not None and event["data"]["attempt"] not in logged
        for event in record.events
        if (error := event["data"].get("error")) is not None and datetime.fromisoformat(event["occurredAt"]) > after
    )


def _errors(record: JobRecord) -> Iterator[TaskError]:
    """Yields the error of each attempt that failed. Lines of a log may be missing, or not yet recorded."""
    logged = {
        line["attempt"]: TaskError(exception_class_path=path, traceback=line["message"] or "")
        for line in record.logs
        if (path := (line["fields"] or {}).get(EXCEPTION_FIELD)) is not None
    }
    for event in record.events:
        if (error := event["data"].get("error")) is not None:
            yield logged.get(event["data"]["attempt"]) or _unlogged(error)


def _unlogged(error: JobError) -> TaskError:
    name = error["details"].get("exception", "") if error["details"] else ""
    path = f"builtins.{name}" if hasattr(builtins, name) else _WITHOUT_EXCEPTION
    return TaskError(exception_class_path=path, traceback=f"{error['code']}: {error['message']}\n")


def _time(text: str | None) -> datetime | None:
    return None if text is None else django_time(datetime.fromisoformat(text))
