"""Handler of Django tasks: `duly serve --handlers duly.django.worker`, with `DJANGO_SETTINGS_MODULE`.

Runs each task in a thread; one that is an async function gets an event loop there.
"""

import os
import socket
import traceback
from typing import Any

import django
from django.db import close_old_connections
from django.utils import timezone

from duly.django.declared_tasks import UndeclaredTask, declared_task, load_tasks
from duly.django.framework import (
    TaskContext,
    TaskResult,
    TaskResultStatus,
    normalize_json,
    task_finished,
    task_started,
)
from duly.django.task_call import EXCEPTION_FIELD, JOB_TYPE, TaskCall, django_time, ready_result
from duly.domain.ids import made_at
from duly.handlers.context import JobContext
from duly.handlers.exceptions import Fail
from duly.handlers.registry import Handlers

TRACEBACK_CHARACTERS = 7500  # fits into a line of the job's log

# Handlers are registered on import, and the modules of tasks need the apps.
django.setup()
load_tasks()

handlers = Handlers()


@handlers.register(JOB_TYPE, description="Runs a task of Django's tasks framework.")
def run_task(call: TaskCall, job: JobContext) -> Any:
    """Runs a declared task and returns its result.

    Raises:
        Fail: the task is not declared; an error to retry, since workers of a newer release may declare it.
    """
    close_old_connections()
    try:
        return _run(_started(call, job), job)
    except UndeclaredTask as error:
        raise Fail(str(error), code="TASK_UNDECLARED", retryable=True) from None
    finally:
        close_old_connections()


def _started(call: TaskCall, job: JobContext) -> TaskResult:
    """Returns the result of a task whose attempt has started."""
    task = declared_task(call.task)
    result = ready_result(task, call.args, call.kwargs, backend=call.backend or task.backend, id_=str(job.job_id))
    _set(
        result,
        status=TaskResultStatus.RUNNING,
        enqueued_at=django_time(made_at(job.job_id)),
        started_at=timezone.now(),
        last_attempted_at=timezone.now(),
        worker_ids=[f"{socket.gethostname()}:{os.getpid()}"] * job.attempt,
    )
    return result


def _run(result: TaskResult, job: JobContext) -> Any:
    """Runs an attempt with the signals of the framework. Logs its error for `get_result`."""
    sender = type(result.task.get_backend())
    context = [TaskContext(task_result=result)] if result.task.takes_context else []
    task_started.send(sender=sender, task_result=result)
    try:
        returned = normalize_json(result.task.call(*context, *result.args, **result.kwargs))
    except BaseException as error:
        _log_error(job, error)
        if job.attempt >= job.max_attempts or (isinstance(error, Fail) and not error.retryable):
            _set(result, status=TaskResultStatus.FAILED, finished_at=timezone.now())
            task_finished.send(sender=sender, task_result=result)
        raise
    _set(result, status=TaskResultStatus.SUCCESSFUL, finished_at=timezone.now(), _return_value=returned)
    task_finished.send(sender=sender, task_result=result)
    return returned


def _log_error(job: JobContext, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    path = f"{type(error).__module__}.{type(error).__qualname__}"
    job.log(text[-TRACEBACK_CHARACTERS:], level="error", **{EXCEPTION_FIELD: path})


def _set(result: TaskResult, **members: Any) -> None:
    """Sets members of a result, whose class is frozen."""
    for name, value in members.items():
        object.__setattr__(result, name, value)
