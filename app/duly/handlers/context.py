"""JobContext: what a handler knows of its job, and what it can tell while it runs."""

from collections.abc import Awaitable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from uuid import UUID


class Reporter(Protocol):
    """Where a context's words go; a worker, a child process and a test each have their own."""

    @property
    def cancelled(self) -> bool: ...

    def progress(self, percent: float, message: str | None) -> Awaitable[None]: ...

    def log(self, level: str, message: str, fields: Mapping[str, object]) -> None: ...


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
    """

    job_id: UUID
    type: str
    attempt: int
    max_attempts: int
    reporter: Reporter = field(repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str = ""
    traceparent: str | None = None

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
        """Writes a structured log line with the job's ids on it. Level: debug, info, warning or error."""
        self.reporter.log(level, message, fields)

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
