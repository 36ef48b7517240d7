"""Spans of attempts: `process {type}`, and the wait before it.

The first attempt belongs to the trace of its submission. A retry is a trace of its own, linked to the submission and
to the attempt before. An attempt that was parked, or interrupted and not counted, continues in the trace of its first
part.
"""

import time
from functools import lru_cache
from typing import assert_never

from duly.domain.job import ClaimedJob
from duly.domain.outcome import (
    Cancelled,
    Compensated,
    Completed,
    Failed,
    Interrupted,
    Outcome,
    Parked,
    TimedOut,
    WorkerLost,
)
from duly.telemetry.otel.encoding import (
    CONSUMER,
    NONE,
    Attributes,
    SpanEvent,
    SpanLink,
    encode_attribute,
    encode_attributes,
    encode_span,
    encode_span_before,
)
from duly.telemetry.otel.open_span import OpenSpan, Put
from duly.telemetry.otel.span_ids import (
    SpanIds,
    attempt_span_id,
    new_span_id,
    trace_id_of_attempt,
)
from duly.telemetry.tracing import LeasedAttempt

_NS = 1_000_000_000


class AttemptSpan(OpenSpan):
    """Span of one attempt, or of one part of it.

    Args:
        submission: trace context of the submission.
        attempt: facts of the attempt.
        put: takes the span once it has ended.
    """

    def __init__(self, submission: str, attempt: ClaimedJob | LeasedAttempt, *, put: Put, began_ns: int = 0) -> None:
        self._submission = submission
        self._attempt = attempt
        self._previous = 0
        self._outcome = ""
        ids = attempt_ids(submission, attempt)
        super().__init__(ids, f"process {attempt.type}", CONSUMER, put=put, began_ns=began_ns)

    def ended(self, outcome: Outcome) -> None:
        """Sets how the attempt ended, and when: now."""
        self._outcome = "completed" if type(outcome) is Completed else _set_status(self, outcome)
        self.ended_ns = time.time_ns()

    @property
    def needs_previous(self) -> bool:
        """Returns whether the number of the attempt before must be looked up.

        The lease token rises with every claim: while it equals the number of the attempt, each claim was an attempt.
        """
        return 1 < self._attempt.attempt < self._attempt.token

    def finish(self, previous: int | None = None) -> None:
        """Exports the span, and that of the wait before it.

        Args:
            previous: number of the attempt that was claimed before this one, if it had to be looked up.
        """
        attempt = self._attempt
        self._previous = attempt.attempt - 1 if previous is None else previous
        self._attempt = _without_parameters(attempt)
        self._put(self)

    def encode(self) -> bytes:
        """Returns the span and that of the wait before it, encoded."""
        attempt = self._attempt
        if attempt.attempt > 1:
            self._link_back(attempt)
        job_id = encode_attribute("messaging.message.id", str(attempt.job_id))
        self.fixed = process_attributes(attempt.type, attempt.queue, attempt.attempt, self._outcome) + job_id
        waited = attempt.waited_seconds
        return encode_span(self) if waited is None else self._encoded_wait(waited, job_id) + encode_span(self)

    def _encoded_wait(self, seconds: float, job_id: bytes) -> bytes:
        queue = self._attempt.queue
        return encode_span_before(
            self,
            f"wait {queue}",
            span_id=new_span_id(),
            began_ns=self.began_ns - int(max(seconds, 0.0) * _NS),
            fixed=wait_attributes(self._attempt.type, queue) + job_id,
        )

    def _link_back(self, facts: ClaimedJob | LeasedAttempt) -> None:
        """Links a later attempt to the submission and to the attempt before; a later part follows the one before."""
        before = attempt_span_id(facts.job_id, facts.token - 1)
        if self._previous == facts.attempt:
            self.parent_id = before
            return
        trace_id = trace_id_of_attempt(self._submission, facts.job_id, self._previous)
        self.links += [
            SpanLink(self._submission[3:35], self._submission[36:52], {"duly.link": "submission"}),
            SpanLink(trace_id, before, {"duly.link": "previous attempt"}),
        ]


def _without_parameters(attempt: ClaimedJob | LeasedAttempt) -> LeasedAttempt:
    """Returns the facts that the export needs, so that waiting for it keeps no parameters in memory."""
    waited = attempt.waited_seconds
    return LeasedAttempt(attempt.job_id, attempt.token, attempt.attempt, attempt.type, attempt.queue, "", 0, waited)


def attempt_ids(submission: str, attempt: ClaimedJob | LeasedAttempt) -> SpanIds:
    """Returns the ids of the span of an attempt, given the trace context of the submission."""
    span_id = attempt_span_id(attempt.job_id, attempt.token)
    if attempt.attempt <= 1:
        return SpanIds(submission[3:35], span_id, submission[36:52], remote=True)
    return SpanIds(trace_id_of_attempt(submission, attempt.job_id, attempt.attempt), span_id)


@lru_cache(maxsize=512)
def process_attributes(job_type: str, queue: str, attempt: int = 0, outcome: str = "") -> bytes:
    """Returns the attributes that attempts of a type in a queue share, encoded."""
    own: Attributes = {"duly.job.attempt": attempt, "duly.job.outcome": outcome} if attempt else NONE
    return encode_attributes(
        {
            **own,
            "messaging.system": "duly",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": queue,
            "duly.job.type": job_type,
        }
    )


@lru_cache(maxsize=512)
def wait_attributes(job_type: str, queue: str) -> bytes:
    """Returns the attributes that waits of a type in a queue share, encoded."""
    return encode_attributes(
        {"messaging.system": "duly", "messaging.destination.name": queue, "duly.job.type": job_type}
    )


def _set_status(span: OpenSpan, outcome: Outcome) -> str:
    """Sets the status of an attempt. Returns the name of its outcome.

    Of an error, the code and the location are set: its text may contain parameters.
    """
    match outcome:
        case Failed():
            span.fail(outcome.exception or outcome.code, outcome.code)
            if outcome.exception is not None:
                _add_exception(span, outcome, outcome.exception)
            return "failed"
        case TimedOut():
            span.fail("timeout")
            return "timed_out"
        case WorkerLost():
            span.fail("worker_lost")
            return "worker_lost"
        case Completed() | Cancelled() | Interrupted() | Parked() | Compensated():
            return type(outcome).__name__.lower()
        case _:
            assert_never(outcome)


def _add_exception(span: OpenSpan, failed: Failed, exception: str) -> None:
    if any(event.name == "exception" for event in span.events):  # the handler recorded it itself
        return
    frames = "\n".join(f'  File "{frame.file}", line {frame.line}, in {frame.function}' for frame in failed.frames)
    facts = {"exception.type": exception, "exception.stacktrace": frames}
    span.events.append(SpanEvent("exception", time.time_ns(), facts))
