"""Jobs that call a Django task: their type, parameters and results."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from pydantic import BaseModel, ConfigDict

from duly.django.framework import Task, TaskResult, TaskResultStatus

JOB_TYPE = "django.task"
# Field of the log line in which a worker records the error of an attempt: the class of the exception.
EXCEPTION_FIELD = "exception_class"


class TaskCall(BaseModel):
    """Parameters of the job.

    Attributes:
        task: module path of the task, such as `shop.tasks.send_invoice`.
        backend: alias of the backend; None: that of the task.
    """

    model_config = ConfigDict(extra="forbid")

    task: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    backend: str | None = None


def ready_result(task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], *, backend: str, id_: str) -> TaskResult:
    """Returns the result of a task that has not started.

    Raises:
        TypeError, ValueError: an argument has no form in JSON.
    """
    return TaskResult(
        task=task,
        id=id_,
        status=TaskResultStatus.READY,
        enqueued_at=None,
        started_at=None,
        last_attempted_at=None,
        finished_at=None,
        args=list(args),
        kwargs=dict(kwargs),
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def django_time(moment: datetime) -> datetime:
    """Returns an aware time as Django has it: naive, in its current time zone, unless `USE_TZ` is set."""
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def aware_time(moment: datetime) -> datetime:
    """Returns a time of Django as an aware one."""
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
