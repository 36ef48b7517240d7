"""JobContext: what a handler knows of its job, what it can tell while it runs, and the jobs it submits."""

from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Unpack
from uuid import UUID

from duly.handlers.child_jobs import BatchResults, Child, Children, Offspring
from duly.handlers.exceptions import HandlerError
from duly.handlers.submit_options import SubmitOptions, asked_of, each_asked


class Reporter(Protocol):
    """Where a context's words go; a worker, a child process and a test each have their own."""

    @property
    def cancelled(self) -> bool: ...

    @property
    def children(self) -> Offspring: ...

    def progress(self, percent: float, message: str | None) -> Awaitable[None]: ...

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None: ...

    def checkpoint(self, value: object) -> Awaitable[None]: ...


class _Over:
    """An awaitable that is over: plain functions need not await what has happened already."""

    def __await__(self) -> Generator[None, None, None]:
        return iter(())  # type: ignore[return-value]  # an empty iterator is all that `await` needs


OVER: Final = _Over()


@dataclass(frozen=True, slots=True)
class JobContext:
    """One attempt at one job, as its handler sees it.

    Attributes:
        job_id: the job's id.
        type: its job type.
        attempt: the number of this attempt, from 1.
        max_attempts: after how many the job is given up.
        labels: the labels it was submitted with.
        correlation_id: the submitter's `X-Correlation-Id`, or the job's id.
        traceparent: the submitter's W3C trace context, where there was one.
        restored: the newest checkpoint of an earlier attempt, as JSON reads it; None where there is none.
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
        """Tells how far the job is: `await` it in an async handler, just call it in a plain function.

        It returns once the progress is recorded, so whoever follows the job has a number they can trust.

        Args:
            percent: 0 to 100; what lies outside is brought inside.
            message: a few words for a person.
        """
        known = float(percent) if percent == percent else 0.0  # noqa: PLR0124  # NaN alone differs from itself
        return self.reporter.progress(min(max(known, 0.0), 100.0), message)

    def log(self, message: str, *, level: str = "info", **fields: object) -> None:
        """Writes a line to the job's logs, and to the service's own with the job's ids on it.

        It never waits and never fails. Level: debug, info, warning or error.
        """
        self.reporter.log(level, message, fields)

    def checkpoint(self, value: Any) -> Awaitable[None]:
        """Leaves a value for the next attempt, which finds it as `restored`: `await` it in an async handler, just call
        it in a plain function. It takes the place of the one before.

        It returns once the value is durable; in a handler with `isolation="process"`, once it is sent. It may be used
        on the way out as well, by a handler that catches its cancellation. It is forgotten once the job is completed
        or cancelled.

        Args:
            value: whatever JSON can carry, models and dates too; at most as large as a result may be.

        Raises:
            HandlerError: it is not JSON, too large or nested too deep; or this attempt has lost its job to another.
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
        """Submits a job of this one's own, a child; `await` it in an async handler, just call it in a plain function.

            child = await job.submit("thumbnail", {"image": image}, priority=5)
            thumbnail = await child.result()

        It returns once the child is durable. The n-th submission of an attempt is the same job in every attempt: a
        handler that is run again finds what it submitted before. It has to submit the same then, in the same order.

        Args:
            type: the child's job type.
            parameters: what its type's model says; a model may be given too.
            key: names the child in place of its number, for handlers whose order may differ.
            options: see `SubmitOptions`.

        Raises:
            HandlerError: the submission is refused, and says where; another one was made in its place by an earlier
                attempt; the attempt is to stop, or has lost its job to another.
        """
        return self.reporter.children.submit(asked_of(type, parameters, options), key=key)

    def submit_many(
        self, jobs: Sequence[Mapping[str, Any]], *, name: str | None = None, key: str | None = None
    ) -> Children:
        """Submits up to 10,000 children as one batch: all are recorded, or none. The rules are those of `submit`.

            children = await job.submit_many([{"type": "page", "parameters": {"n": n}} for n in range(100)])
            pages = await children.results()

        Args:
            jobs: each with `type`, and as it needs `parameters` and the options of `submit`.
            name: the batch's name.
            key: names this batch in place of its number.

        Raises:
            HandlerError: as `submit`; what is wrong stands in `jobs[n]`.
        """
        return self.reporter.children.submit_many(each_asked(jobs), batch_name=name, key=key)

    def batch_results(self, batch_id: UUID | str) -> BatchResults:
        """How each job of a batch ended, in the order of their submission: `async for` in an async handler, `for` in a
        plain function. It waits for those that have not ended, and holds a few of them in memory at a time.

            async for item in job.batch_results(parameters.batch.batchId):
                print(item["jobId"], item["status"], item["result"], item["error"])

        Raises:
            HandlerError: there is no such batch.
        """
        try:
            known = UUID(str(batch_id))
        except ValueError:
            raise HandlerError(f"no batch has the id {batch_id!r}") from None
        return self.reporter.children.batch_results(known)

    @property
    def cancelled(self) -> bool:
        """True once the attempt should stop: cancelled, timed out, or its node is going away.

        An async handler is interrupted at its next `await` anyway; a plain function has to look.
        """
        return self.reporter.cancelled

    @property
    def idempotency_token(self) -> str:
        """The same text in every attempt at this job: hand it to services that must not do a thing twice."""
        return f"duly-{self.job_id}"
