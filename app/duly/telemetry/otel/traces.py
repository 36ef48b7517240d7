"""The hooks of `duly.telemetry.tracing` with OpenTelemetry, by its conventions for messaging and HTTP."""

import contextvars
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

from opentelemetry.context import Context, attach
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from duly.domain.job import ClaimedJob, NewJob
from duly.domain.lease_id import Lease
from duly.domain.outcome import Outcome
from duly.telemetry import tracing
from duly.telemetry.current_trace import UNSAMPLED_TRACE_ID
from duly.telemetry.otel.attempt_spans import AttemptSpan, attempt_ids, process_attributes
from duly.telemetry.otel.encoding import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, SpanLink, encode_attributes
from duly.telemetry.otel.lease_traces import read_lease_trace, write_lease_trace
from duly.telemetry.otel.open_span import OpenSpan, Put
from duly.telemetry.otel.span_ids import SpanIds, child_ids, is_sampled, new_span_id, new_trace_id
from duly.telemetry.tracing import LeaseTrace, Tracing

_NS = 1_000_000_000
_SERVER_ERROR = 500
# Current span of attempts whose trace is not sampled: else spans of their handlers would begin traces of their own.
_UNSAMPLED = NonRecordingSpan(SpanContext(UNSAMPLED_TRACE_ID, 1, is_remote=False))


class SendSpan(OpenSpan):
    """Span of a submission, until it is recorded."""

    def __init__(self, ids: SpanIds, *, put: Put) -> None:
        super().__init__(ids, "send", PRODUCER, put=put)

    def sent(self, jobs: Sequence[NewJob], *, job_id: UUID | None = None, count: int | None = None) -> None:
        """Exports the span: these jobs, or the first of `count` jobs, are recorded."""
        if self.ended_ns or not jobs:
            return
        queue, job_type = jobs[0].queue, jobs[0].type
        self.name, self.fixed = f"send {queue}", _send_attributes(job_type, queue)
        many = count or len(jobs)
        if many == 1:
            self.attributes["messaging.message.id"] = str(job_id or jobs[0].job_id)
        else:
            self.attributes["messaging.batch.message_count"] = many
        self.export()

    def refused(self, error_code: str) -> None:
        """Exports the span: nothing was recorded."""
        if not self.ended_ns:
            self.fail(error_code)
            self.export()


class RequestSpans:
    """Spans of a request that submits jobs: that of the server, and that of the submission in it."""

    def __init__(self, ids: SpanIds, *, put: Put) -> None:
        self._server = OpenSpan(ids, "", SERVER, put=put)
        self._send = SendSpan(SpanIds(ids.trace_id, new_span_id(), ids.span_id), put=put)
        self.trace_id = ids.trace_id
        self.traceparent = self._send.traceparent
        self.sent = self._send.sent
        self.refused = self._send.refused

    def end(self, *, method: str, route: str | None, status: int | None, code: str | None, seconds: float) -> None:
        """Exports the span of the server, which has taken this long."""
        server = self._server
        server.ended_ns = time.time_ns()
        server.began_ns = server.ended_ns - int(seconds * _NS)
        server.name = f"{method} {route}" if route else method
        server.attributes |= {"http.request.method": method, "url.scheme": "http"}
        if route:
            server.attributes["http.route"] = route
        if status is not None:
            server.attributes["http.response.status_code"] = status
        if status is None or status >= _SERVER_ERROR:
            server.fail(code or "no_response")
        elif code is not None:  # by the conventions, a refusal is no error of the server
            server.attributes["error.type"] = code
        server.export()


class PostSpan(OpenSpan):
    """Span of a webhook's attempt."""

    def posted(self, *, status: int | None, failed: bool) -> None:
        """Exports the span with the response, or without one."""
        if status is not None:
            self.attributes["http.response.status_code"] = status
        if failed:
            self.fail("no_response" if status is None else str(status))
        self.export()


class OpenTelemetryTracing(Tracing):
    """Traces of one process.

    Args:
        sampler: decides for traces that begin here, as `OTEL_TRACES_SAMPLER` says.
        put: takes ended spans.
        close: exports what is left.
    """

    on = exports = True

    def __init__(self, sampler: Sampler, *, put: Put, close: Callable[[], None]) -> None:
        self._sampler = sampler
        self._put = put
        self._close = close
        self._unsampled = contextvars.copy_context()
        self._unsampled.run(attach, set_span_in_context(_UNSAMPLED, Context()))

    def request(self, traceparent: str | None) -> RequestSpans | None:
        """Begins the spans of a request that submits jobs."""
        ids = self._decided(traceparent, "submit", SpanKind.SERVER)
        return None if ids is None else RequestSpans(ids, put=self._put)

    def send(self, traceparent: str | None) -> SendSpan | None:
        """Begins the span of a submission that is not a request."""
        ids = self._decided(traceparent, "send", SpanKind.PRODUCER)
        return None if ids is None else SendSpan(ids, put=self._put)

    def send_child(self, traceparent: str | None) -> SendSpan | None:
        """Begins the span of a handler's submission."""
        ids = _current_ids() or (child_ids(traceparent) if traceparent and is_sampled(traceparent) else None)
        return None if ids is None else SendSpan(ids, put=self._put)

    def attempt_context(self) -> contextvars.Context:
        """Returns a context for the task of an attempt, as if its trace was not sampled."""
        return self._unsampled.copy()

    def attempt(self, claimed: ClaimedJob) -> AttemptSpan | None:
        """Begins the span of an attempt, if the trace of its job is sampled."""
        traceparent = claimed.traceparent
        if traceparent is None or not is_sampled(traceparent):
            return None
        return AttemptSpan(traceparent, claimed, put=self._put)

    def batch_call(
        self, members: Sequence[tracing.AttemptSpan | None], first: ClaimedJob
    ) -> AbstractContextManager[None]:
        """Records the call of a batch handler, linked to its jobs."""
        spans = [member for member in members if isinstance(member, AttemptSpan)]
        return self._batch_call(spans, len(members), first) if spans else nullcontext()

    @contextmanager
    def _batch_call(self, spans: Sequence[AttemptSpan], count: int, first: ClaimedJob) -> Iterator[None]:
        ids, fixed = SpanIds(new_trace_id(), new_span_id()), process_attributes(first.type, first.queue)
        call = OpenSpan(ids, f"process {first.type}", CONSUMER, put=self._put, fixed=fixed)
        call.attributes["messaging.batch.message_count"] = count
        for span in spans:
            call.links.append(SpanLink(span.trace_id, span.span_id))
            span.links.append(SpanLink(call.trace_id, call.span_id, {"duly.link": "batch call"}))
        with self._recorded(call):
            yield

    def step(self, name: str, number: int) -> AbstractContextManager[None]:
        """Records one try of a step."""
        ids = _current_ids()
        if ids is None:
            return nullcontext()
        return self._recorded(self._step(ids, name, number))

    def _step(self, ids: SpanIds, name: str, number: int) -> OpenSpan:
        step = OpenSpan(ids, f"step {name}", INTERNAL, put=self._put)
        step.attributes |= {"duly.step.name": name, "duly.step.attempt": number}
        return step

    @contextmanager
    def _recorded(self, span: OpenSpan) -> Iterator[None]:
        """Makes a span the current one, and exports it after the block."""
        try:
            with span.current():
                yield
        except Exception as error:
            span.fail(type(error).__name__)
            raise
        finally:
            span.export()

    def step_elsewhere(self, traceparent: str | None, name: str, *, tries: int, seconds: float) -> None:
        """Records a step that was done in another process and has ended now."""
        if traceparent is not None and is_sampled(traceparent):
            step = self._step(child_ids(traceparent), name, tries)
            step.began_ns = time.time_ns() - int(seconds * _NS)
            step.export()

    def post(self, traceparent: str | None, url: str, facts: Callable[[], Mapping[str, str | int]]) -> PostSpan | None:
        """Begins the span of a webhook's attempt. Paths and queries of receivers may be secret."""
        if traceparent is None or not is_sampled(traceparent):
            return None
        parts = urlsplit(url)
        span = PostSpan(child_ids(traceparent), "POST", CLIENT, put=self._put)
        span.attributes |= {
            "http.request.method": "POST",
            "url.scheme": parts.scheme,
            "server.address": parts.hostname or "",
            "server.port": parts.port or (443 if parts.scheme == "https" else 80),
            **facts(),
        }
        return span

    def lease(self, claimed: ClaimedJob) -> LeaseTrace:
        """Returns the trace of an attempt of a worker over HTTP."""
        if claimed.traceparent is None or not is_sampled(claimed.traceparent):
            return LeaseTrace(claimed.traceparent)
        ids = attempt_ids(claimed.traceparent, claimed)
        return LeaseTrace(ids.traceparent, write_lease_trace(claimed, claimed.traceparent))

    def lease_context(self, lease: Lease) -> str | None:
        """Returns the trace context of the span of a leased attempt, if it is sampled."""
        attempt = read_lease_trace(lease)
        return None if attempt is None else attempt_ids(attempt.trace, attempt).traceparent

    def lease_ended(self, lease: Lease, outcome: Outcome) -> AttemptSpan | None:
        """Returns the span of an attempt that a worker over HTTP has ended."""
        attempt = read_lease_trace(lease)
        if attempt is None:
            return None
        span = AttemptSpan(attempt.trace, attempt, put=self._put, began_ns=attempt.began_ns)
        span.ended(outcome)
        return span

    def close(self) -> None:
        """Exports what is left, for at most two seconds."""
        self._close()

    def _decided(self, traceparent: str | None, name: str, kind: SpanKind) -> SpanIds | None:
        """Returns ids for a span with this parent, or for a new trace; None if it is not sampled."""
        if traceparent is None:
            parent, ids = Context(), SpanIds(new_trace_id(), new_span_id())
        else:
            ids = child_ids(traceparent)
            parent = _remote(traceparent)
        result = self._sampler.should_sample(parent, int(ids.trace_id, 16), name, kind)
        return ids if result.decision is Decision.RECORD_AND_SAMPLE else None


def _current_ids() -> SpanIds | None:
    """Returns ids for a child of the current span, if that is sampled."""
    found = get_current_span().get_span_context()
    if not (found.is_valid and found.trace_flags.sampled):
        return None
    return SpanIds(f"{found.trace_id:032x}", new_span_id(), f"{found.span_id:016x}")


def _remote(traceparent: str) -> Context:
    """Returns a context whose current span is that of a client."""
    flags = TraceFlags(int(traceparent[53:55], 16))
    parent = SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(parent), Context())


@lru_cache(maxsize=512)
def _send_attributes(job_type: str, queue: str) -> bytes:
    return encode_attributes(
        {
            "messaging.system": "duly",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": queue,
            "duly.job.type": job_type,
        }
    )
