"""Operations on jobs."""

from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeVar, Unpack, cast

from pydantic import TypeAdapter

from duly.client import waiting
from duly.client.answers import (
    Accepted,
    AcceptedBatch,
    Cancelled,
    Delivery,
    Event,
    Job,
    LogLine,
    ResultT,
    Retried,
    Signal,
    Step,
    Why,
)
from duly.client.errors import JobNotCompleted
from duly.client.filters import JobFilters, StreamFilters, query_of
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import Request, get, known, path_of, post, put
from duly.client.sending import call
from duly.client.steps import Items, Steps
from duly.client.streaming import Frame, frames, stream_request
from duly.client.submission import JobRequest, submission, submissions
from duly.handlers.submit_options import SubmitOptions

ModelT = TypeVar("ModelT")


class JobOperations(Operations[PerformerT]):
    """Submits, reads, follows, cancels and retries jobs."""

    def __init__(self, performer: PerformerT) -> None:
        super().__init__(performer)
        self._routes = waiting.Routes()

    @operation
    def submit(
        self,
        job_type: str,
        parameters: Any = None,
        *,
        job_id: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Steps[Accepted]:
        """Submits a job. Returns its `jobId`, `status`, `createdAt` and `links` once it is durable.

        Without an `idempotency_key` the call generates one, so that a repetition over a broken connection creates no
        second job. Pass your own, or a `job_id`, to be safe across restarts of your program as well.

        Args:
            job_type: job type.
            parameters: a pydantic model, a dataclass or anything that JSON can carry.
            job_id: UUIDv7 made by the caller. The same submission again returns the same job.
            idempotency_key: key under which the service returns the first response again, for 24 hours.
            options: options of the submission.
        """
        body = submission({"type": job_type, "parameters": parameters, **options})
        if job_id is not None:
            return cast("Accepted", (yield from call(put(path_of("jobs", job_id), body))))
        request = post(path_of("jobs"), body, idempotency_key=idempotency_key, repeatable=True)
        return cast("Accepted", (yield from call(request)))

    @operation
    def submit_many(
        self,
        jobs: Iterable[JobRequest],
        *,
        name: str | None = None,
        then: JobRequest | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[AcceptedBatch]:
        """Submits up to 10,000 jobs as one batch, all or none. Returns `batchId` and `jobIds`.

        Args:
            jobs: jobs, as mappings with `type`, `parameters` and the options of `submit`.
            name: description of the batch.
            then: job that is submitted once all jobs of the batch have ended.
            idempotency_key: as for `submit`.
        """
        body = known({"jobs": [submission(job) for job in jobs], "name": name})
        body |= {} if then is None else {"then": submission(then)}
        request = post(path_of("jobs", "batch"), body, idempotency_key=idempotency_key, repeatable=True)
        return cast("AcceptedBatch", (yield from call(request)))

    @operation
    def submit_lines(
        self,
        jobs: Iterable[JobRequest] | AsyncIterable[JobRequest],
        *,
        name: str | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[AcceptedBatch]:
        """Submits any number of jobs as one batch, all or none, and reads them while it sends.

        The memory of the client does not grow with the number of jobs. A broken connection is not repeated, because
        the jobs can be read only once: call again with the same `idempotency_key`.

        Args:
            jobs: as for `submit_many`; also an asynchronous iterable, if the client is asynchronous.
            name: description of the batch.
            idempotency_key: as for `submit`.
        """
        head = post(path_of("jobs", "batch"), query={"name": name}, idempotency_key=idempotency_key)
        headers = {**head.headers, "Content-Type": "application/x-ndjson"}
        request = Request(
            "POST", head.path, query=head.query, headers=headers, documents=submissions(jobs), repeatable=False
        )
        return cast("AcceptedBatch", (yield from call(request)))

    @operation
    def get(self, job_id: str, *, result: type[ResultT] | None = None) -> Steps[Job[ResultT]]:
        """Returns the current state of the job.

        Args:
            job_id: ID of the job.
            result: type of the result: a pydantic model or any type that pydantic validates. The member `result` of a
                completed job is then an instance of it.

        Raises:
            pydantic.ValidationError: the result does not match its type.
        """
        return _typed((yield from call(get(path_of("jobs", job_id)))), result)

    @operation
    def wait(
        self, job_id: str, timeout: float | None = None, *, result: type[ResultT] | None = None
    ) -> Steps[Job[ResultT]]:
        """Waits until the job has ended, across restarts of the service. Returns its state.

        Args:
            job_id: ID of the job.
            timeout: longest time to wait, in seconds; None waits without limit.
            result: type of the result, as for `get`.

        Raises:
            TimeoutError: the job has not ended within `timeout` seconds.
            Unreachable: the service has not responded for 40 seconds.
        """
        return _typed((yield from waiting.wait(job_id, timeout=timeout, routes=self._routes)), result)

    @operation
    def result(self, job_id: str, model: type[ModelT], *, timeout: float | None = None) -> Steps[ModelT]:
        """Waits until the job has completed. Returns its result as an instance of `model`.

        Raises:
            JobNotCompleted: the job failed or was cancelled.
            TimeoutError: the job has not ended within `timeout` seconds.
            pydantic.ValidationError: the result does not match its type.
        """
        job = yield from waiting.wait(job_id, timeout=timeout, routes=self._routes)
        if job["status"] != "completed":
            raise JobNotCompleted(job)
        return TypeAdapter(model).validate_python(job["result"])

    @iteration
    def list(self, **filters: Unpack[JobFilters]) -> Items[Job]:
        """Yields the jobs that match the filters, newest first, page by page."""
        return items_of(path_of("jobs"), query_of(filters))

    @operation
    def cancel(self, job_id: str) -> Steps[Job]:
        """Cancels the job: a waiting job at once; a running job once its handler stops."""
        return cast("Job", (yield from call(post(path_of("jobs", job_id, "cancel")))))

    @operation
    def retry(self, job_id: str, *, from_step: str | None = None) -> Steps[Job]:
        """Returns a failed, cancelled or held job to its queue, with its attempts reset.

        Args:
            job_id: ID of the job.
            from_step: name of a recorded step: it and all later ones are forgotten, and run again.
        """
        document = {"fromStep": from_step} if from_step is not None else None
        return cast("Job", (yield from call(post(path_of("jobs", job_id, "retry"), document))))

    @operation
    def signal(self, job_id: str, name: str, body: object = None) -> Steps[Signal]:
        """Sends a value to the job, which resumes if it waits for a signal of this name. Safe to repeat.

        Args:
            job_id: ID of the job.
            name: name of the signal, as in `job.wait_for(name)`.
            body: a pydantic model, a dataclass or anything that JSON can carry, of at most 64 KiB.

        Raises:
            Conflict: the job has ended, or has got a signal of this name with another body.
        """
        request = post(path_of("jobs", job_id, "signals", name), body, repeatable=True)
        return cast("Signal", (yield from call(request)))

    @operation
    def cancel_many(self, **filters: Unpack[JobFilters]) -> Steps[Cancelled]:
        """Cancels all unfinished jobs that match the filters, at least one of which is required."""
        request = post(path_of("jobs", "cancel"), query=query_of(filters), repeatable=True)
        return cast("Cancelled", (yield from call(request)))

    @operation
    def retry_many(self, **filters: Unpack[JobFilters]) -> Steps[Retried]:
        """Retries all failed jobs that match the filters; cancelled ones with `statuses=["cancelled"]`."""
        request = post(path_of("jobs", "retry"), query=query_of(filters), repeatable=True)
        return cast("Retried", (yield from call(request)))

    @iteration
    def events(self, job_id: str) -> Items[Event]:
        """Yields all events of the job, oldest first, page by page."""
        return items_of(path_of("jobs", job_id, "events"))

    @iteration
    def logs(self, job_id: str, *, attempt: int | None = None, level: str | None = None) -> Items[LogLine]:
        """Yields what the handler of the job logged, oldest first, page by page."""
        return items_of(path_of("jobs", job_id, "logs"), {"attempt": attempt, "level": level})

    @iteration
    def steps(self, job_id: str) -> Items[Step]:
        """Yields the recorded steps of the job, its timers and its signals, page by page."""
        return items_of(path_of("jobs", job_id, "steps"))

    @iteration
    def deliveries_of(self, job_id: str) -> Items[Delivery]:
        """Yields the webhook deliveries of the job, newest first, page by page."""
        return items_of(path_of("jobs", job_id, "deliveries"))

    @operation
    def why(self, job_id: str) -> Steps[Why]:
        """Returns why the job is in its state: as a sentence, and as data."""
        return cast("Why", (yield from call(get(path_of("jobs", job_id, "why")))))

    @iteration
    def stream(self, job_id: str, last_event_id: str | None = None) -> Items[Frame]:
        """Yields the stream frames of the job until it ends: its history first, or the frames after `last_event_id`.

        Reconnects after a broken connection and continues after the last frame, without gaps or repetitions.
        """
        path = path_of("jobs", job_id, "events", "stream")
        return frames(lambda last_id: stream_request(path, last_id), last_event_id=last_event_id)

    @iteration
    def stream_all(self, last_event_id: str | None = None, **filters: Unpack[StreamFilters]) -> Items[Frame]:
        """Yields the stream frames of all matching jobs, each with its `id`, without end.

        Starts now, or after `last_event_id`. Reconnects after a broken connection, or one that the service closed
        because it was read too slowly, and continues after the last frame, without gaps or repetitions.
        """
        path, query = path_of("events", "stream"), query_of(filters)
        return frames(lambda last_id: stream_request(path, last_id, query), last_event_id=last_event_id, endless=True)


def _typed(job: dict[str, Any], result: type[ResultT] | None) -> Job[ResultT]:
    if result is not None and job["status"] == "completed":
        job["result"] = TypeAdapter(result).validate_python(job["result"])
    return cast("Job[ResultT]", job)
