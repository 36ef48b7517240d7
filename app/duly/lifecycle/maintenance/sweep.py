"""Sweeps: ends or requeues attempts of lost nodes and attempts past their deadline, and expires and releases jobs.

Any number of nodes may sweep: each verdict is recorded by the finish statement, fenced by the lease token.
"""

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import assert_never
from uuid import UUID

import structlog

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished
from duly.domain.outcome import AttemptFacts, Cancelled, Outcome, TimedOut, WorkerLost, decide, expired_error
from duly.domain.retry import RetryPolicy
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.attempt_log import log_end
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.end.follow_ups import wake_for_ended
from duly.lifecycle.writes.bisection import record_bisecting
from duly.lifecycle.writes.round_size import RoundSize, SkippedRows
from duly.store.ledger.end_jobs import WaitingJobEnd, end_waiting_jobs, find_expired, seconds_to_next_expiry
from duly.store.ledger.retention import any_expired, drop_expired
from duly.store.postgres.advisory_locks import DROPPING, take
from duly.store.postgres.database import Connection, Database, DatabaseOutage
from duly.store.postgres.partition_function import may_make
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.queue.declared_types import forget_unused_types
from duly.store.queue.leases import delete_stale_leases
from duly.store.queue.nodes import SilentNode, delete_silent_nodes
from duly.store.queue.park import resume_due
from duly.store.queue.queue_names import forget_unused_names
from duly.store.queue.ready import LaneStart
from duly.store.queue.running import Overdue, OverdueReason, find_overdue
from duly.store.queue.scheduled import DueKind, find_first_due, release_due, seconds_to_next
from duly.store.queue.schedules import delete_old_runs
from duly.store.queue.set_aside import delete_old_set_aside
from duly.store.submit.idempotency import forget_old_keys
from duly.store.ties.placement import release_keyed
from duly.store.webhooks.receivers import delete_idle_receivers
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.sweep")

BATCH = 500
# Extra time of a live node, after a deadline or cancel request, to record the end of its own attempt.
PATIENCE_SECONDS = 5.0
SWEEP_SECONDS = 2.0
# Longest wait for a row that another transaction has locked, so that other verdicts are not delayed by it.
LOCK_SECONDS = 2.0
LONGEST_LOOK_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 3600.0
# Time after which a type is forgotten that no worker has a handler for, unless jobs of it wait.
UNUSED_TYPE_DAYS = 30


class Sweeper:
    """Sweeps for one node; `repair`, `expire`, `release` and `run_housekeeping` are steps of loops."""

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        metrics: Metrics,
        finisher: Finisher,
        *,
        policy_of: Callable[[int, str], Awaitable[RetryPolicy]],
    ) -> None:
        self._database = database
        # A connection of its own, so that recovery does not wait for other work of this node.
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._metrics = metrics
        self._finisher = finisher
        self._policy_of = policy_of
        self._unexpired: SkippedRows[UUID] = SkippedRows(metrics, statement="expire")
        self._due: dict[DueKind, RoundSize[UUID]] = {
            kind: RoundSize(metrics, most=BATCH, statement="release") for kind in DueKind
        }

    async def repair(self, node_id: UUID, *, lease_seconds: float) -> float:
        """Removes silent nodes from the list, and records a verdict for each attempt that is lost or overdue."""
        looked_at = time.monotonic()
        async with self._connection.use() as connection:
            silent = await delete_silent_nodes(connection, lease_seconds=lease_seconds, exclude=node_id)
            overdue = await find_overdue(
                connection, patience_seconds=PATIENCE_SECONDS, limit=BATCH, exclude=self._finisher.set_aside.jobs
            )
        for node in silent:
            log.warning(
                f"node {node.name} stopped sending heartbeats; its jobs run again", action="node_lost", node=node.name
            )
        if overdue:
            ends = {attempt.job_id: await self._verdict(attempt) for attempt in overdue}
            finished = await self._finisher.record(list(ends.values()), connection=self._connection)
            self._observe(silent, overdue, finished, seconds=time.monotonic() - looked_at)
            _log_verdicts(overdue, ends, finished)
        return 0 if len(overdue) == BATCH else SWEEP_SECONDS

    def _observe(
        self, silent: Sequence[SilentNode], overdue: Sequence[Overdue], finished: Sequence[Finished], *, seconds: float
    ) -> None:
        """Observes the time from the end of a node's lease until its attempts were recorded as lost."""
        expired = {node.node_id: node.expired_seconds_ago for node in silent}
        recorded = {done.job_id for done in finished}
        for attempt in overdue:
            if attempt.node_id in expired and attempt.job_id in recorded:
                self._metrics.recovery_seconds.observe(expired[attempt.node_id] + seconds)

    async def _verdict(self, overdue: Overdue) -> Finish:
        policy = await self._policy_of(overdue.tenant_id, overdue.type)
        facts = AttemptFacts(
            overdue.job_id,
            overdue.token,
            overdue.attempt,
            overdue.max_attempts,
            crashes=overdue.crashes,
            marks=overdue.marks,
        )
        return decide(_outcome(overdue), facts, policy=policy, random=random.random)

    async def expire(self) -> float:
        """Ends jobs that did not start in time. Returns the seconds until the next one expires."""
        exclude = self._unexpired.present()
        async with self._database.background() as connection:
            expired = await find_expired(connection, limit=BATCH, exclude=exclude)
        if expired:
            error = expired_error()
            ends = [WaitingJobEnd(tenant_id, job_id, EventKind.FAILED, error) for tenant_id, job_id in expired]
            bisected = await record_bisecting(ends, self._end_expired, statement="expire", metrics=self._metrics)
            for end, refused in bisected.refused:
                self._unexpired.put(end.job_id, refused)
            if bisected.away is not None:
                raise bisected.away
        if len(expired) == BATCH:
            return 0.0
        async with self._database.background() as connection:
            pause = await seconds_to_next_expiry(connection, exclude=self._unexpired.present())
        return LONGEST_LOOK_SECONDS if pause is None else min(max(pause, 0.0), LONGEST_LOOK_SECONDS)

    async def _end_expired(self, ends: Sequence[WaitingJobEnd]) -> None:
        async with self._database.background() as connection:
            ended = await end_waiting_jobs(connection, ends, source="sweeper", only_expired=True)
        for done in ended:
            log.info(f"job {done.job_id} expired before it started", action="job_expired", job_id=str(done.job_id))
        wake_for_ended(self._wakeups, self._metrics, ended)

    async def release(self) -> float:
        """Makes due jobs ready. Returns the seconds until the next one is due."""
        again = [await self._release(round_size, kind) for kind, round_size in self._due.items()]
        if any(again):
            return 0.0
        exclude = [job_id for round_size in self._due.values() for job_id in round_size.aside()]
        async with self._database.background() as connection:
            pause = await seconds_to_next(connection, exclude=exclude)
        return LONGEST_LOOK_SECONDS if pause is None else min(max(pause, 0.0), LONGEST_LOOK_SECONDS)

    async def _release(self, round_size: RoundSize[UUID], kind: DueKind) -> bool:
        """Releases one round of due jobs of a kind. Returns True to continue at once."""
        limit, exclude = round_size.limit, round_size.aside()
        try:
            released = await self._released(kind, limit=limit, exclude=exclude)
        except DatabaseOutage:
            raise
        except Exception as error:  # noqa: BLE001  # any error: the other jobs must be released
            round_size.refused(await self._first_due(kind, exclude=exclude) if limit == 1 else [], error)
            return True
        round_size.recorded([start.floor for start in released])
        for start in released:
            self._wakeups.ready(start.lane, start.floor)
        if kind is DueKind.PARKED:
            self._wakeups.changed([start.floor for start in released])
        return len(released) >= limit

    async def _released(self, kind: DueKind, *, limit: int, exclude: Sequence[UUID]) -> list[LaneStart]:
        """Makes due jobs of a kind ready. Returns the lane and the id of each."""
        async with self._database.background() as connection:
            match kind:
                case DueKind.PLAIN:
                    return await release_due(connection, limit=limit, exclude=exclude)
                case DueKind.KEYED:
                    async with connection.transaction():
                        return await release_keyed(connection, limit=limit, exclude=exclude)
                case DueKind.PARKED:
                    return await resume_due(connection, limit=limit, source="sweeper", exclude=exclude)
                case _:
                    assert_never(kind)

    async def _first_due(self, kind: DueKind, *, exclude: Sequence[UUID]) -> list[UUID]:
        async with self._database.background() as connection:
            return await find_first_due(connection, kind, exclude=exclude)

    async def run_housekeeping(self, *, retention_days: int) -> float:
        """Creates partitions ahead of time, drops those past retention, and forgets old keys, schedule runs,
        and unused names of queues and job types.
        """
        async with self._database.connection() as connection:
            made = await ensure_partitions(connection)
            dropped = await self._drop_expired(connection, retention_days)
        for delete in (forget_old_keys, delete_old_runs):
            deleted = BATCH
            while deleted == BATCH:
                async with self._database.connection() as connection:  # others take turns between two batches
                    deleted = await delete(connection, limit=BATCH)
        async with self._database.connection() as connection:
            await delete_idle_receivers(connection)
            await delete_old_set_aside(connection)
            await delete_stale_leases(connection)
            await forget_unused_names(connection)
            forgotten = await forget_unused_types(connection, days=UNUSED_TYPE_DAYS)
        if forgotten:
            log.info(f"forgot job types: {', '.join(forgotten)}", action="job_types_forgotten", job_types=forgotten)
        if made or dropped:
            log.info("partitions changed", action="partitions_changed", made=made, dropped=dropped)
        return HOUSEKEEPING_SECONDS

    async def _drop_expired(self, connection: Connection, retention_days: int) -> list[str]:
        """Drops old partitions, on one node at a time. A role that does not own the tables drops none."""
        if not await any_expired(connection, retention_days=retention_days):
            return []
        # Not from the pool: if all its users waited for a second connection, none would get one.
        guard = await self._database.connect()
        try:
            async with guard.transaction():
                if not await take(guard, DROPPING):
                    return []
                if (await may_make(connection, PARTITIONED)).owns:
                    return await drop_expired(connection, retention_days=retention_days)
        finally:
            guard.terminate()
        log.info(
            "this role may not drop partitions; run `duly migrate --drop-expired` as their owner",
            action="partitions_kept",
        )
        return []


def _log_verdicts(overdue: Sequence[Overdue], ends: Mapping[UUID, Finish], finished: Sequence[Finished]) -> None:
    """Logs the verdicts that were recorded, one line each, and their number."""
    recorded = {done.job_id for done in finished}
    for attempt in overdue:
        if attempt.job_id in recorded:
            log_end(_outcome(attempt), ends[attempt.job_id], job_type=attempt.type, attempt=attempt.attempt)
    log.warning(
        f"swept {len(finished)} lost or overdue attempts",
        action="attempts_swept",
        lost=sum(attempt.verdict in {OverdueReason.LOST, OverdueReason.LEASE_EXPIRED} for attempt in overdue),
        timed_out=sum(attempt.verdict is OverdueReason.TIMED_OUT for attempt in overdue),
    )


def _outcome(overdue: Overdue) -> Outcome:
    """Returns the outcome for an overdue attempt."""
    match overdue.verdict:
        case OverdueReason.LOST:
            return WorkerLost()
        case OverdueReason.LEASE_EXPIRED:
            return WorkerLost("Its worker did not extend the lease in time.")
        case OverdueReason.TIMED_OUT:
            return TimedOut(overdue.timeout_seconds)
        case OverdueReason.CANCELLED:
            return Cancelled()
        case _:
            assert_never(overdue.verdict)
