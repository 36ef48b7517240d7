"""JobContext: a handler's view of its job, with progress, logs, checkpoints and child jobs."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack
from uuid import UUID

from duly.domain.ids import idempotency_token
from duly.domain.retry import RetryPolicy
from duly.domain.steps import StepKind, Wait
from duly.handlers.child_jobs import BatchResults, Child, ChildJobs, Children
from duly.handlers.exceptions import HandlerError
from duly.handlers.sent_signals import signal_request
from duly.handlers.step_backend import LinkRequest
from duly.handlers.step_calls import StepCall, tries_of
from duly.handlers.submit_options import SubmitOptions, child_request, child_requests
from duly.handlers.waits import seconds_of, signal_body

if TYPE_CHECKING:
    from duly.handlers.steps import Steps  # it imports the event loop


class Reporter(Protocol):
    """Receiver of a context's calls. A worker, a child process and `duly.testing` implement it."""

    @property
    def cancelled(self) -> bool: ...

    @property
    def children(self) -> ChildJobs: ...

    @property
    def steps(self) -> "Steps": ...

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

    def step(  # each is a choice a user may make
        self,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        retry: RetryPolicy | None = None,
        max_attempts: int | None = None,
        compensate: Callable[..., Any] | None = None,
    ) -> Any:
        """Calls a function once and records its result; later attempts get the recorded result.

        `await` it in an async handler; call it in a plain function.

            charge = await job.step("charge", charge_card, parameters, retry=exponential(3), compensate=refund)

        The result is read by the return annotation of the function, as recorded JSON: equal in all attempts. A function
        with a parameter named `step` gets a `StepContext`. In an async handler, a plain function runs in a thread.

        Args:
            name: unique in the job: `a-z`, `0-9`, `.`, `_` and `-`, at most 100 characters.
            function: async or plain; it may be called again if its attempt is lost before the result is recorded.
            arguments: its arguments.
            retry: delays after its errors; None: the first error is raised. The tries belong to one attempt of the job.
            max_attempts: maximum number of tries with `retry`, 5 by default.
            compensate: function that undoes the step if the job fails for good or is cancelled. It gets `arguments`,
                and may have parameters named `result` (of the step) and `step`.

        Raises:
            HandlerError: the name is invalid or used twice, or the attempt has lost its lease.
            Fail: the result is not JSON, does not fit the annotation, or exceeds 256 KiB.
        """
        tries = tries_of(name, retry, max_attempts)
        return self.reporter.steps.step(StepCall(name, self.job_id, function, arguments, tries, compensate))

    def sleep(self, duration: timedelta | float, *, name: str | None = None) -> Any:
        """Waits for a time without a slot or a process, over restarts of the service.

        `await` it in an async handler; call it in a plain function. The handler is unwound (its `finally` blocks run)
        and called again when the time has come; its recorded steps are not done again.

        Args:
            duration: a timedelta, or seconds; up to ten years.
            name: name of the sleep, instead of its number in the attempt, for handlers whose order varies.

        Raises:
            HandlerError: the duration or the name is invalid.
        """
        steps = self.reporter.steps
        wait = Wait(StepKind.TIMER, name if name is not None else steps.next_sleep(), seconds_of("sleep", duration))
        return steps.wait(wait, lambda _end: None)

    def wait_for(
        self,
        name: str,
        *,
        model: Any = None,
        timeout: timedelta | float | None = None,
    ) -> Any:
        """Waits for a signal without a slot or a process. Returns its body.

        `await` it in an async handler; call it in a plain function. A signal that was sent before is returned at once.

        Args:
            name: name of the signal, as in `POST /api/v1/jobs/{jobId}/signals/{name}`.
            model: type of the body, such as a pydantic model; None returns it as JSON values.
            timeout: a timedelta, or seconds, from the first wait; None: as long as the job exists.

        Raises:
            SignalTimedOut: no signal arrived in time.
            Fail: the body does not fit the model.
            HandlerError: the timeout or the name is invalid.
        """
        seconds = None if timeout is None else seconds_of("timeout", timeout)
        return self.reporter.steps.wait(Wait(StepKind.SIGNAL, name, seconds), partial(signal_body, name, model))

    def signal(self, job_id: UUID | str, name: str, body: Any = None) -> Any:
        """Sends a signal to a job of the same tenant, which may wait for it with `wait_for`.

        `await` it in async code; call it in plain code.

            await job.signal(parameters.order_id, "paid", {"amount": 950})

        Returns once the signal is durable. The same signal with the same body may be sent again, so a retried handler
        repeats it without harm. While a failed job is compensated, only compensations send signals.

        Args:
            job_id: ID of the job, which may be this one.
            name: name of the signal: `a-z`, `0-9`, `.`, `_` and `-`, at most 100 characters.
            body: any value that JSON can represent, including models and dates, of at most 64 KiB.

        Raises:
            HandlerError: the job does not exist or has ended, a signal of this name with another body was sent to it
                before, the name or the body is invalid, or the attempt was stopped before the signal was recorded.
        """
        return self.reporter.steps.send_signal(signal_request(job_id, name, body))

    def signal_url(  # what the page shows
        self,
        name: str,
        *,
        choices: Sequence[str] = (),
        question: str | None = None,
        comment: bool = False,
        recipient: str | None = None,
        timeout: timedelta | float = timedelta(days=7),
    ) -> str:
        """Returns a link for a person without a key: a page that asks a question, and sends the signal once.

        The body of the signal is `{"choice": "approve"}`, with `"comment"` if there is one. Make it in a step, so that
        later attempts have the same link.

        Args:
            name: name of the signal.
            choices: buttons of the page; without any, it has one that confirms.
            question: text above the buttons.
            comment: True adds a field for a text.
            recipient: person who receives the link, for the audit log.
            timeout: time until the link expires.

        Raises:
            HandlerError: the name or the timeout is invalid.
        """
        seconds = seconds_of("timeout", timeout)
        return self.reporter.steps.signal_url(LinkRequest(name, tuple(choices), question, comment, recipient, seconds))

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
        return idempotency_token(self.job_id)
