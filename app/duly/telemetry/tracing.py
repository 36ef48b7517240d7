"""Traces: the hooks that all layers call. Without OpenTelemetry they record nothing, and import nothing.

A job carries its trace as the W3C trace context of the span that submitted it. A span exists only for jobs whose trace
is sampled; every hook returns None for the others. The ids of the spans of attempts are derived from the job and its
lease token, so that each part of a job's life is linked to the others without being stored.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

import structlog

from duly.domain.job import ClaimedJob, NewJob
from duly.domain.outcome import Outcome

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from duly.domain.lease_id import Lease

log = structlog.stdlib.get_logger("duly.tracing")

EXTRA = "otel"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
ENDPOINTS = (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
_NOTHING: AbstractContextManager[None] = nullcontext()


class SpanContext(Protocol):
    """Span that others may have as their parent.

    Attributes:
        traceparent: the span as a W3C trace context.
    """

    @property
    def traceparent(self) -> str: ...


class SendSpan(SpanContext, Protocol):
    """Span of a submission, until it is recorded."""

    def sent(self, jobs: Sequence[NewJob], *, job_id: UUID | None = None, count: int | None = None) -> None:
        """Ends the span: these jobs, or the first of `count` jobs, are recorded. `job_id`: that of an earlier request,
        in place of the first job.
        """

    def refused(self, error_code: str) -> None:
        """Ends the span: nothing was recorded."""


class RequestSpans(SendSpan, Protocol):
    """Spans of a request that submits jobs: that of the server, and that of the submission in it.

    Attributes:
        trace_id: id of the trace, in hexadecimal.
    """

    @property
    def trace_id(self) -> str: ...

    def end(self, *, method: str, route: str | None, status: int | None, code: str | None, seconds: float) -> None:
        """Ends the span of the server, which has taken this long."""


class AttemptSpan(SpanContext, Protocol):
    """Span of an attempt."""

    def current(self) -> AbstractContextManager[None]:
        """Makes the span the current one while the block runs."""

    def ended(self, outcome: Outcome) -> None:
        """Sets how the attempt ended, and when: now. It is exported by `finish`."""

    @property
    def needs_previous(self) -> bool:
        """Returns whether `finish` needs the number of the attempt before."""

    def finish(self, previous: int | None = None) -> None:
        """Exports the span, linked to the attempt with this number."""


class PostSpan(SpanContext, Protocol):
    """Span of a webhook's attempt."""

    def posted(self, *, status: int | None, failed: bool) -> None:
        """Ends the span with the response, or the error."""


class LeaseTrace(NamedTuple):
    """Trace of a leased attempt.

    Attributes:
        traceparent: trace context for the worker.
        token: what is needed to make the span at the end, to be kept in the id of the lease.
    """

    traceparent: str | None
    token: bytes = b""


class LeasedAttempt(NamedTuple):
    """Facts of an attempt that a worker over HTTP has ended.

    Attributes:
        trace: trace context of the submission.
    """

    job_id: UUID
    token: int
    attempt: int
    type: str
    queue: str
    trace: str
    began_ns: int
    waited_seconds: float | None = None


class Tracing:
    """Traces of one process. This one is off: its hooks do nothing.

    Attributes:
        on: whether spans are recorded.
        exports: whether the metrics may be exported as well.
    """

    on = False
    exports = False

    def request(self, traceparent: str | None) -> RequestSpans | None:
        """Begins the spans of a request that submits jobs, with the context that its client sent."""
        del traceparent
        return None

    def send(self, traceparent: str | None) -> SendSpan | None:
        """Begins the span of a submission that is not a request, with the context that came with it."""
        del traceparent
        return None

    def send_child(self, traceparent: str | None) -> SendSpan | None:
        """Begins the span of a handler's submission: a child of the current span, or else of the attempt's."""
        del traceparent
        return None

    def attempt_context(self) -> Context | None:
        """Returns a context for the task of an attempt, in which no span of another attempt is the current one, and
        spans of the handler are not recorded. None for the context of the caller.
        """
        return None

    def attempt(self, claimed: ClaimedJob) -> AttemptSpan | None:
        """Begins the span of an attempt, if the trace of its job is sampled."""
        del claimed
        return None

    def batch_call(self, members: Sequence[AttemptSpan | None], first: ClaimedJob) -> AbstractContextManager[None]:
        """Records the call of a batch handler, as the current span of the block, linked to its jobs."""
        del members, first
        return _NOTHING

    def step(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records one try of a step, as the current span of the block."""
        del name, number
        return _NOTHING

    def step_elsewhere(self, traceparent: str | None, name: str, *, tries: int, seconds: float) -> None:
        """Records a step that was done in another process and has ended now."""

    def post(self, traceparent: str | None, url: str, facts: Callable[[], Mapping[str, str | int]]) -> PostSpan | None:
        """Begins the span of a webhook's attempt, if the trace of its job is sampled."""
        del traceparent, url, facts
        return None

    def lease(self, claimed: ClaimedJob) -> LeaseTrace:
        """Returns the trace of an attempt of a worker over HTTP. Its span is made when the lease ends."""
        return LeaseTrace(claimed.traceparent)

    def lease_context(self, lease: "Lease") -> str | None:
        """Returns the trace context of the span of a leased attempt, if it is sampled."""
        del lease
        return None

    def lease_ended(self, lease: "Lease", outcome: Outcome) -> AttemptSpan | None:
        """Returns the span of an attempt that a worker over HTTP has ended, to be exported by `finish`."""
        del lease, outcome
        return None

    def close(self) -> None:
        """Exports what is left, for at most two seconds."""


def open_tracing(registry: "CollectorRegistry", *, instance: str, version: str) -> Tracing:
    """Returns the traces of this process: on if an OTLP endpoint is set and the extra is installed. Then the metrics of
    the registry are exported as well.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS) or _is_true("OTEL_SDK_DISABLED"):
        return Tracing()
    try:
        from duly.telemetry.otel.setup import start_telemetry  # noqa: PLC0415  # an extra, imported only where it is used
    except ModuleNotFoundError as error:
        log.warning(
            f'no traces: {error.name} is not installed; run: pip install "duly[{EXTRA}]"', action="tracing_unavailable"
        )
        return Tracing()
    return start_telemetry(registry, instance=instance, version=version)


def _is_true(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() == "true"
