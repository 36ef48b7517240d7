"""Ends of attempts that workers report over HTTP: recorded once, many in one statement, fenced by the lease token.

The end is remembered with a digest of the request. A worker that repeats its request, because it did not get the
response, gets the same response again: from any node, as long as the job is kept.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypedDict
from uuid import UUID

import structlog

from duly.domain.events import EventKind, Status
from duly.domain.job import Mark
from duly.domain.lease_id import Lease
from duly.domain.outcome import AttemptFacts, Completed, Failed, Outcome, cancelled_error, decide
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.errors import LeaseLost
from duly.lifecycle.end.attempt_log import log_end
from duly.lifecycle.end.finish import LOCK_SECONDS, Finisher
from duly.lifecycle.leases.parking import park_leases
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import Connection, Database
from duly.store.queue.leases import (
    LeaseEnd,
    LeaseKey,
    RecordedLeaseEnds,
    RememberedEnd,
    drop_left_checkpoints,
    finish_leases_if_held,
    read_lease_ends,
)
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.leases")

BATCH = 500


class EndedLease(NamedTuple):
    """Recorded end of an attempt: the sequence of its event, and the status of the job after it."""

    job_id: UUID
    status: Status
    sequence: int


class ReportedEnd(NamedTuple):
    """End of an attempt as its worker reports it, with a digest of the request."""

    lease: Lease
    outcome: Outcome
    digest: bytes


def _decided(reported: ReportedEnd, policy: RetryPolicy) -> LeaseEnd:
    """Returns the end to record."""
    lease, outcome, digest = reported
    marks = Mark.HOLDS if lease.holds else 0
    facts = AttemptFacts(lease.job_id, lease.token, lease.attempt, lease.max_attempts, marks=marks)
    return LeaseEnd(decide(outcome, facts, policy=policy, random=random.random), lease.tenant_id, digest)


_STATUSES = {
    EventKind.COMPLETED: Status.COMPLETED,
    EventKind.FAILED: Status.FAILED,
    EventKind.CANCELLED: Status.CANCELLED,
    EventKind.COMPENSATING: Status.RUNNING,
}


class _Given(TypedDict):
    source: str
    cancelled_error: str


class LeaseEnder:
    """Records the ends of leased attempts on this node.

    Args:
        finisher: wakes what depends on these ends.
        source: source of the events.
        policy_of: returns the retry policy of a tenant's job type.
        ended: called after the end of an attempt is recorded.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        finisher: Finisher,
        *,
        source: str,
        policy_of: Callable[[int, str], Awaitable[RetryPolicy]],
        ended: Callable[[ReportedEnd, EndedLease], None],
    ) -> None:
        self._ended = ended
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._metrics = metrics
        self._finisher = finisher
        self._source = source
        self._policy_of = policy_of
        self.batcher: Batcher[LeaseEnd, EndedLease] = Batcher(
            self._record, capacity=20_000, batch=BATCH, what="ends of leases"
        )

    async def end(self, reported: ReportedEnd) -> EndedLease:
        """Records the end of an attempt. Returns the same for the same request again.

        Raises:
            LeaseLost: the attempt has ended otherwise; nothing was changed.
            Overloaded, DatabaseOutage, RecordRefused: it is not known to be recorded; it is safe to try again.
        """
        lease, outcome, _ = reported
        failed = isinstance(outcome, Failed)
        policy = await self._policy_of(lease.tenant_id, lease.type) if failed else DEFAULT_RETRY
        end = _decided(reported, policy)
        ended = await self.batcher.put(end)
        log_end(outcome, end.finish, job_type=lease.type, attempt=lease.attempt)
        self._ended(reported, ended)
        return ended

    async def end_many(self, reported: Sequence[ReportedEnd]) -> list[EndedLease | Exception]:
        """Records ends after which no job is retried. Returns for each the same as `end` returns or raises.

        Raises:
            Overloaded: nothing was recorded.
        """
        ends = [_decided(each, DEFAULT_RETRY) for each in reported]
        results = await self.batcher.put_many(ends)
        for each, end, result in zip(reported, ends, results, strict=True):
            if isinstance(result, EndedLease):
                self._ended(each, result)
            if not isinstance(each.outcome, Completed):
                log_end(each.outcome, end.finish, job_type=each.lease.type, attempt=each.lease.attempt)
        return results

    async def _record(self, ends: Sequence[LeaseEnd]) -> list[EndedLease | Exception]:
        """Records ends, each once, and finds those that were recorded before."""
        keys = [end.key for end in ends]
        # Of several requests for one attempt, the first one is recorded.
        first = dict(zip(reversed(keys), reversed(ends), strict=True))
        async with self._connection.use() as connection:
            known = await self._finish(connection, first)
            others = [end for key, end in first.items() if key not in known] if len(known) < len(first) else []
            if others:
                known |= await read_lease_ends(connection, others)
        return [self._result(end, known.get(key)) for key, end in zip(keys, ends, strict=True)]

    def _result(self, end: LeaseEnd, known: RememberedEnd | None) -> EndedLease | LeaseLost:
        """Returns the response to a request, if its end is known and it was the same request that ended the attempt."""
        if known is None or known.digest != end.digest:
            self._metrics.leases_lost.inc()
            return LeaseLost.of(end.finish.job_id)
        return EndedLease(known.job_id, _STATUSES.get(known.kind, Status.PENDING), known.sequence)

    async def _finish(self, connection: Connection, ends: Mapping[LeaseKey, LeaseEnd]) -> dict[LeaseKey, RememberedEnd]:
        """Records the ends of attempts that hold their lease, and wakes what depends on them."""
        recorded = await self._recorded(connection, list(ends.values()))
        self._finisher.note_recorded([end.finish for end in ends.values()], list(recorded.finished.values()))
        if recorded.checkpointed:
            # A checkpoint that another request recorded at the same moment: the statement did not see its row.
            await drop_left_checkpoints(connection, recorded.checkpointed)
        return {
            key: RememberedEnd(done.job_id, done.kind, done.sequence, ends[key].digest)
            for key, done in recorded.finished.items()
        }

    async def _recorded(self, connection: Connection, ends: Sequence[LeaseEnd]) -> RecordedLeaseEnds:
        """Records ends and parks."""
        given: _Given = {"source": self._source, "cancelled_error": cancelled_error()}
        parks = [end for end in ends if end.finish.waits]
        if not parks:
            return await finish_leases_if_held(connection, ends, **given)
        parked = await park_leases(connection, parks, **given)
        if len(parks) == len(ends):
            return parked
        others = [end for end in ends if not end.finish.waits]
        ended = await finish_leases_if_held(connection, others, **given)
        return RecordedLeaseEnds(parked.finished | ended.finished, [*parked.checkpointed, *ended.checkpointed])
