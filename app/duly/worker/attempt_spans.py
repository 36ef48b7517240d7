"""Spans of the attempts on this node, and of leased attempts whose end this node records."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from duly.domain.job import ClaimedJob
from duly.domain.outcome import Outcome
from duly.lifecycle.leases.ends import EndedLease, ReportedEnd
from duly.store.postgres.database import DatabaseError
from duly.telemetry.tracing import AttemptSpan, Tracing
from duly.worker.attempt import Attempt


class EarlierClaim(NamedTuple):
    """Claim of a job: the last one before an event, or the last but one."""

    tenant_id: int
    job_id: UUID
    before_sequence: int
    last_but_one: bool = False


FindAttempt = Callable[[EarlierClaim], Awaitable[int | None]]


class AttemptSpans:
    """Spans of attempts: begun before the handler is called, and exported once what came before is known.

    Args:
        find_attempt: returns the number of the attempt of an earlier claim.
    """

    def __init__(self, tracing: Tracing, find_attempt: FindAttempt) -> None:
        self.tracing = tracing
        self._find_attempt = find_attempt
        self._lookups: set[asyncio.Task[None]] = set()

    def begin(self, attempt: Attempt) -> AttemptSpan | None:
        """Begins the span of an attempt, which becomes the parent of what the attempt sends."""
        span = self.tracing.attempt(attempt.claimed)
        if span is not None:
            attempt.span = span
            attempt.claimed = with_traceparent(attempt.claimed, span.traceparent)
        return span

    def end(self, span: AttemptSpan, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Ends the span of an attempt."""
        span.ended(outcome)
        self._finish(span, EarlierClaim(claimed.tenant_id, claimed.job_id, claimed.sequence))

    def end_lease(self, reported: ReportedEnd, ended: EndedLease) -> None:
        """Exports the span of an attempt that a worker over HTTP has ended, if its trace is sampled."""
        lease = reported.lease
        if (span := self.tracing.lease_ended(lease, reported.outcome)) is not None:
            self._finish(span, EarlierClaim(lease.tenant_id, lease.job_id, ended.sequence, last_but_one=True))

    def _finish(self, span: AttemptSpan, earlier: EarlierClaim) -> None:
        """Exports a span. The attempt before must be looked up for few; no handler waits for it."""
        if not span.needs_previous:
            span.finish()
            return
        lookup = asyncio.get_running_loop().create_task(self._look_up(span, earlier))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._lookups.discard)

    async def _look_up(self, span: AttemptSpan, earlier: EarlierClaim) -> None:
        previous: int | None = None
        try:
            with suppress(DatabaseError):
                previous = await self._find_attempt(earlier)
        finally:
            span.finish(previous)


_TRACEPARENT = ClaimedJob._fields.index("traceparent")


def with_traceparent(claimed: ClaimedJob, traceparent: str) -> ClaimedJob:
    """Returns a claimed job with another trace context. `_replace` would take twice as long."""
    return ClaimedJob._make((*claimed[:_TRACEPARENT], traceparent, *claimed[_TRACEPARENT + 1 :]))
