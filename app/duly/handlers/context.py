"""JobContext: a handler's view of its job, with progress, logs, checkpoints and child jobs."""

from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Unpack
from uuid import UUID

from duly.handlers.child_jobs import BatchResults, Child, ChildJobs, Children
from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import SubmitOptions, child_request, child_requests


class Reporter(Protocol):
    """Receiver of a context's calls. A worker, a child process and `duly.testing` implement it."""

    @property
    def cancelled(self) -> bool: ...

    @property
    def children(self) -> ChildJobs: ...

    def progress(self, percent: float, message: str | None) -> Awaitable[None]: ...

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None: ...

    def checkpoint(self, value: object) -> Awaitable[None]: ...


class _Done:
    """Awaitable without anything left to wait for, which a plain function need not await."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # `await` accepts an empty iterator


DONE: Final = _Done()


@dataclass(frozen=True, slots=True)
class JobContext:
    """Context of one attempt, passed to the handler.

    Attributes:
        job_id: ID of the job.
        type: job type.
        attempt: number of this attempt, from 1.
        max_attempts: number of attempts after which the job fails.
        labels: labels of the submission.
        correlation_id: `X-Correlation-Id` of the submission, or the job ID.
        traceparent: W3C trace context of the submission, or None.
        restored: latest checkpoint of earlier attempts, parsed from JSON, or None.
    """

    job_id: UUID
    type: str
    attempt: int
    max_attempts: int
    reporter: Reporter = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    traceparent: str | None = None
    restored: Any = field(default=None, repr=False)

    def progress(self, percent: float, message: str | None = None) -> Awaitable[None]:
        """Reports progress. `await` it in an async handler; call it in a plain function.

        Returns once the progress is recorded.

        Args:
            percent: 0 to 100; values outside are clamped.
            message: short text for a person.
        """
        known = float(percent) if percent == percent else 0.0  # noqa: PLR0124  # NaN alone differs from itself
        return self.reporter.progress(min(max(known, 0.0), 100.0), message)

    def log(self, message: str, *, level: str = "info", **fields: object) -> None:
        """Writes a line to the logs of the job, and to the log of the service with the IDs of the job.

        Never blocks and never raises. Levels: debug, info, warning, error.
        """
        self.reporter.log(level, message, fields)

    def checkpoint(self, value: Any) -> Awaitable[None]:
        """Stores a value that the next attempt reads as `restored`, and replaces the previous one.

        `await` it in an async handler; call it in a plain function. Returns once the value is durable, or, in a handler
        with `isolation="process"`, once it is sent. A handler that catches its cancellation may still call it. The
        value is deleted when the job completes or is cancelled.

        Args:
            value: any value that JSON can represent, including models and dates; limited like a result.

        Raises:
            HandlerError: the value is not JSON, too large or nested too deeply, or this attempt has lost its lease.
        """
        return self.reporter.checkpoint(value)

    def submit(
        self,
        type: str,  # noqa: A002  # the contract's word
        parameters: Any = None,
        *,
        key: str | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Child:
        """Submits a child job. `await` it in an async handler; call it in a plain function.

            child = await job.submit("thumbnail", {"image": image}, priority=5)
            thumbnail = await child.result()

        Returns once the child is durable. The n-th submission is the same job in every attempt, so a retried handler
        finds the children of earlier attempts. It must therefore submit the same jobs in the same order.

        Args:
            type: job type of the child.
            parameters: parameters of the child, as JSON values or as a model.
            key: identifies the child instead of its number, for handlers whose order varies.
            options: options of the submission, as in `SubmitOptions`.

        Raises:
            HandlerError: the submission is invalid (the message names the path), an earlier attempt made a different
                submission here, or the attempt is stopping or has lost its lease.
        """
        return self.reporter.children.submit(child_request(type, parameters, options), key=key)

    def submit_many(
        self, jobs: Sequence[Mapping[str, Any]], *, name: str | None = None, key: str | None = None
    ) -> Children:
        """Submits up to 10,000 child jobs as one batch, all or none, by the rules of `submit`.

            children = await job.submit_many([{"type": "page", "parameters": {"n": n}} for n in range(100)])
            pages = await children.results()

        Args:
            jobs: mappings with `type`, optional `parameters` and the options of `submit`.
            name: name of the batch.
            key: identifies this batch instead of its number.

        Raises:
            HandlerError: as in `submit`; the message names `jobs[n]`.
        """
        return self.reporter.children.submit_many(child_requests(jobs), batch_name=name, key=key)

    def batch_results(self, batch_id: UUID | str) -> BatchResults:
        """Iterates over the results of a batch in order of submission, waiting for jobs that have not ended.

        Use `async for` in an async handler and `for` in a plain function. Only a few items are in memory at a time.

            async for item in job.batch_results(parameters.batch.batchId):
                print(item["jobId"], item["status"], item["result"], item["error"])

        Raises:
            HandlerError: the batch does not exist.
        """
        try:
            known = UUID(str(batch_id))
        except ValueError:
            raise HandlerError(f"batch {batch_id!r} does not exist") from None
        return self.reporter.children.batch_results(known)

    @property
    def cancelled(self) -> bool:
        """True once the attempt should stop: it was cancelled, timed out, or its node is shutting down.

        An async handler is interrupted at its next `await`; a plain function must check this itself.
        """
        return self.reporter.cancelled

    @property
    def idempotency_token(self) -> str:
        """Idempotency token for calls to other services: the same text in every attempt of this job."""
        return f"duly-{self.job_id}"
