"""Operations on queues, and on their limits and those of job types."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypedDict, Unpack, cast

from duly.client.answers import JobType, Queue, RateLimit, StartLimits, SubmissionLimits
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import camel_case, delete, get, path_of, post, put
from duly.client.sending import call
from duly.client.steps import Items, Steps
from duly.domain.retry import RetryPolicy


class JobTypeDeclaration(TypedDict, total=False):
    """Declaration of a job type: JSON Schemas (2020-12), and defaults of submissions."""

    description: str
    parameters_schema: Mapping[str, Any]
    result_schema: Mapping[str, Any]
    timeout_seconds: float
    max_attempts: int
    retry: RetryPolicy
    queue: str | None


class _LimitOperations(Operations[PerformerT]):
    """Limits on the jobs that run at once and that start per time."""

    _resources: str

    @operation
    def limits(self, name: str) -> Steps[StartLimits]:
        """Returns the limits; a member that is None does not limit."""
        return cast("StartLimits", (yield from call(get(path_of(self._resources, name, "limits")))))

    @operation
    def set_limits(
        self, name: str, *, concurrency: int | None = None, rate: RateLimit | None = None
    ) -> Steps[StartLimits]:
        """Replaces the limits.

        Args:
            name: name of the queue or job type.
            concurrency: number of jobs that run at once; None does not limit it.
            rate: number of jobs (`count`) that start in a period (`seconds`); None does not limit it.
        """
        request = put(path_of(self._resources, name, "limits"), {"concurrency": concurrency, "rate": rate})
        return cast("StartLimits", (yield from call(request)))

    @operation
    def remove_limits(self, name: str) -> Steps[None]:
        """Removes the limits."""
        yield from call(delete(path_of(self._resources, name, "limits")))


class QueueOperations(_LimitOperations[PerformerT]):
    """Reads, pauses, resumes and limits queues."""

    _resources = "queues"

    @iteration
    def list(self) -> Items[Queue]:
        """Yields the queues by name, page by page."""
        return items_of(path_of("queues"))

    @operation
    def get(self, queue: str) -> Steps[Queue]:
        """Returns the depth, age and rates of the queue."""
        return cast("Queue", (yield from call(get(path_of("queues", queue)))))

    @operation
    def pause(self, queue: str) -> Steps[Queue]:
        """Pauses the queue: once this returns, no job of it starts. Jobs can still be submitted."""
        request = post(path_of("queues", queue, "pause"), repeatable=True)
        return cast("Queue", (yield from call(request)))

    @operation
    def resume(self, queue: str) -> Steps[Queue]:
        """Resumes the queue."""
        request = post(path_of("queues", queue, "resume"), repeatable=True)
        return cast("Queue", (yield from call(request)))

    @operation
    def submission_limits(self) -> Steps[SubmissionLimits]:
        """Returns the limits on the submissions of the tenant."""
        return cast("SubmissionLimits", (yield from call(get(path_of("limits")))))


class JobTypeOperations(_LimitOperations[PerformerT]):
    """Declares, reads, limits and deletes job types."""

    _resources = "job-types"

    @operation
    def declare(
        self, job_type: str, *, force: bool = False, **declaration: Unpack[JobTypeDeclaration]
    ) -> Steps[JobType]:
        """Creates or replaces the declaration of a job type whose workers pull over HTTP.

        Args:
            job_type: name of the job type.
            force: True to replace a schema although waiting jobs do not match the new one.
            declaration: JSON Schemas of parameters and result, and defaults of submissions.

        Raises:
            Conflict: waiting jobs do not match, or Python handlers declare the type.
        """
        body = camel_case(declaration)
        if "retry" in declaration:
            body["retry"] = camel_case(asdict(declaration["retry"]))
        request = replace(put(path_of("job-types", job_type), body), query={"force": "true"} if force else {})
        return cast("JobType", (yield from call(request)))

    @operation
    def delete(self, job_type: str) -> Steps[None]:
        """Deletes the declaration of a job type that no job waits for."""
        yield from call(delete(path_of("job-types", job_type)))

    @iteration
    def list(self) -> Items[JobType]:
        """Yields the job types by name, page by page."""
        return items_of(path_of("job-types"))

    @operation
    def get(self, job_type: str) -> Steps[JobType]:
        """Returns the description, JSON Schemas and defaults of the job type."""
        return cast("JobType", (yield from call(get(path_of("job-types", job_type)))))
