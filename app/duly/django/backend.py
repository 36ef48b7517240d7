"""DulyBackend: submits Django tasks as jobs, and reads their results."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from duly.client import Client, NotFound, SubmitOptions
from duly.django.framework import (
    BaseTaskBackend,
    Task,
    TaskResult,
    TaskResultDoesNotExist,
    task_enqueued,
)
from duly.django.options import read_options
from duly.django.results import JobRecord, lacks_recent_line, result_of
from duly.django.task_call import JOB_TYPE, TaskCall, aware_time, django_time, ready_result
from duly.domain.ids import made_at, parse_job_id
from duly.domain.names import is_name
from duly.transactional import submit

LOG_PAUSES_SECONDS = (0.02, 0.05, 0.1, 0.2)


class DulyBackend(BaseTaskBackend):  # type: ignore[misc]  # Django ships no types
    """Backend of the tasks framework.

    With `DATABASE`, `enqueue` submits in the current transaction of that database: the task exists once it has
    committed. With `URL` alone, it submits over HTTP at once. Results are read over HTTP, so they need the URL.
    """

    supports_defer = True
    supports_async_task = True
    supports_priority = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, dict(params))
        self._backend_options = read_options(alias, self.options)
        self.supports_get_result = self._backend_options.url is not None
        if wrong := [name for name in self.queues if not is_name(name)]:
            raise ImproperlyConfigured(f'TASKS["{alias}"]["QUEUES"]: {min(wrong)!r} is not a valid queue name')

    def enqueue(self, task: Task, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TaskResult:
        """Submits a task as a job of the type `django.task`.

        Raises:
            TaskException: the backend cannot run the task.
            TypeError, ValueError: an argument has no form in JSON.
        """
        self.validate_task(task)
        result = ready_result(task, args, kwargs, backend=self.alias, id_="")
        job_id = self._submit(result)
        result = replace(result, id=str(job_id), enqueued_at=django_time(made_at(job_id)))
        task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> TaskResult:
        """Returns the result with this id, which is that of the job.

        Raises:
            TaskResultDoesNotExist: no job has the id, or its transaction has not committed, or it is not of a task.
            NotImplementedError: the options name no URL.
        """
        if self._backend_options.url is None:
            return super().get_result(result_id)
        if (record := _record_of(self._client(), str(result_id))) is None:
            raise TaskResultDoesNotExist(result_id)
        return result_of(record, backend=self.alias)

    def _submit(self, result: TaskResult) -> UUID:
        options = self._backend_options
        call = TaskCall(task=result.task.module_path, args=result.args, kwargs=result.kwargs, backend=self.alias)
        chosen = self._submit_options(result.task)
        if options.database is not None:
            job_id: UUID = submit(connections[options.database], JOB_TYPE, call, schema=options.schema, **chosen)
            return job_id
        return UUID(self._client().submit(JOB_TYPE, call, **chosen)["jobId"])

    def _submit_options(self, task: Task) -> SubmitOptions:
        return {
            "queue": task.queue_name,
            "priority": task.priority,
            "run_at": None if task.run_after is None else aware_time(task.run_after),
            "max_attempts": self._backend_options.max_attempts,
            "timeout_seconds": self._backend_options.timeout_seconds,
        }

    def _client(self) -> Client:
        return client_of(self._backend_options.url or "", self._backend_options.api_key, os.getpid())


@cache
def client_of(url: str, api_key: str | None, process: int) -> Client:
    """Returns the client of this process. Django makes a backend for each thread and each request of an async view."""
    del process  # a forked process must not use connections of its parent
    return Client(url, api_key=api_key)


def _record_of(client: Client, job_id: str) -> JobRecord | None:
    """Returns the record of a task's job, or None."""
    if parse_job_id(job_id) is None:
        return None
    try:
        job = client.get(job_id)
        if job["type"] != JOB_TYPE:
            return None
        if job["sequence"] == 0:  # committed a moment ago and not recorded yet: it has no history
            return JobRecord(job, [], [])
        return _with_logs(client, JobRecord(job, list(client.events(job_id)), []))
    except NotFound:
        return None


def _with_logs(client: Client, record: JobRecord) -> JobRecord:
    """Adds the logged errors, which are recorded a few milliseconds before or after the end of their attempt."""
    for pause in (*LOG_PAUSES_SECONDS, None):
        record = record._replace(logs=list(client.logs(record.job["jobId"], level="error")))
        if pause is None or not lacks_recent_line(record):
            break
        time.sleep(pause)
    return record
