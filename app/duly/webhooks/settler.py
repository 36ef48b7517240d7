"""Settler: records results of attempts in batches; results that arrive meanwhile go into the next one."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog

from duly.domain.database_clock import DatabaseClock
from duly.domain.receiver_breaker import ReceiverBreakerDecision, ReceiverFailures, receiver_after_failures
from duly.domain.webhook_events import endpoint_disabled_body
from duly.lifecycle.writes.bisection import Bisected, record_bisecting
from duly.store.postgres.database import Connection, Database, DatabaseOutage, RecordBusy, RecordRefused
from duly.store.webhooks.delivery_attempts import AttemptResult, SettledCounts, put_off_if_held, settle_if_held
from duly.store.webhooks.receivers import Receiver, disable_endpoint, lock_failures, record_failures
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.dispatcher")

BATCH = 500
# Bound of the wait for a locked row, so that it does not delay other deliveries.
LOCK_SECONDS = 2.0
# A delivery whose attempts cannot be recorded is sent again after a minute, later after up to about an hour.
FIRST_PUT_OFF_SECONDS = 60.0
MOST_REFUSALS = 10_000
NOTHING = SettledCounts(0, frees=False, heals=False)


class Settler:
    """Recorder of attempts, which are put without waiting; callers pause while `waiting` is high.

    Args:
        disable_seconds: an endpoint with nothing but failures for this long is disabled.
    """

    def __init__(self, database: Database, metrics: Metrics, *, disable_seconds: float, clock: DatabaseClock) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._metrics = metrics
        self._clock = clock
        self._disable_seconds = disable_seconds
        self.recorded: Callable[[Sequence[AttemptResult], SettledCounts], None] = lambda _results, _settled: None
        self._results: list[AttemptResult] = []
        self._refusals: dict[UUID, int] = {}
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Returns the number of results to record."""
        return len(self._results)

    def put(self, attempt: AttemptResult) -> None:
        """Adds a result."""
        self._results.append(attempt)
        self._arrived.set()

    async def step(self) -> float:
        """Waits for results and records one batch."""
        await self._arrived.wait()
        batch = self._results[:BATCH]
        settled = NOTHING
        try:
            settled = await self._record(batch)
        finally:
            del self._results[: len(batch)]
            if not self._results:
                self._arrived.clear()
                self._empty.set()
        self.recorded(batch, settled)
        return 0

    async def _record(self, batch: Sequence[AttemptResult]) -> SettledCounts:
        # Before the results: once these are recorded, their receivers get more deliveries.
        noted = await self._by_halves([attempt for attempt in batch if attempt.fails or attempt.disables], self._note)
        settled = await self._by_halves(batch, self._settle)
        for attempt, error in noted.refused:
            log.warning(
                "failure of a receiver not recorded",
                action="receiver_failure_unnoted",
                receiver_id=str(attempt.receiver_id),
                error=str(error),
            )
        again = await self._without_answers(settled)
        refused = [(attempt, error) for attempt, error in settled.refused if again is None or not _is_of_data(error)]
        await self._put_off([*refused, *(again.refused if again else ())])
        if settled.away is not None:
            _warn(settled.left, settled.away)
        counts = [count for _, count in [*settled.parts, *(again.parts if again else ())]]
        return SettledCounts(
            sum(count.held for count in counts),
            frees=any(count.frees for count in counts) or bool(settled.refused),
            heals=any(count.heals for count in counts) or bool(settled.refused),
        )

    async def _put_off(self, refused: Sequence[tuple[AttemptResult, Exception]]) -> None:
        """Delays deliveries whose results cannot be recorded, longer each time; the first time is logged."""
        if not refused:
            return
        if len(self._refusals) > MOST_REFUSALS:
            self._refusals.clear()
        for attempt, error in refused:
            times = self._refusals[attempt.delivery_id] = self._refusals.get(attempt.delivery_id, 0) + 1
            if times == 1:
                self._metrics.items_refused.labels("settle").inc()
                _warn([attempt], error)
        attempts = [attempt for attempt, _ in refused]
        seconds = [
            FIRST_PUT_OFF_SECONDS * 2.0 ** min(self._refusals[attempt.delivery_id] - 1, 6) for attempt in attempts
        ]
        with suppress(DatabaseOutage, RecordRefused):
            async with self._connection.use() as connection:
                await put_off_if_held(connection, attempts, seconds)

    async def _without_answers(
        self, settled: Bisected[AttemptResult, SettledCounts]
    ) -> Bisected[AttemptResult, SettledCounts] | None:
        """Records attempts with a rejected value without the text of their receiver; None if there are none."""
        attempts = [
            attempt._replace(answer=None, error=f"The response cannot be recorded: {error}")
            for attempt, error in settled.refused
            if _is_of_data(error)
        ]
        return await self._by_halves(attempts, self._settle) if attempts else None

    async def _by_halves(
        self, attempts: Sequence[AttemptResult], record: Callable[[Sequence[AttemptResult]], Awaitable[SettledCounts]]
    ) -> Bisected[AttemptResult, SettledCounts]:
        return await record_bisecting(attempts, record, statement="settle", metrics=self._metrics)

    async def _settle(self, attempts: Sequence[AttemptResult]) -> SettledCounts:
        async with self._connection.use() as connection:
            return await settle_if_held(connection, attempts)

    async def _note(self, failed: Sequence[AttemptResult]) -> SettledCounts:
        async with self._connection.use() as connection:
            await self._note_failures(connection, failed)
        return NOTHING

    async def _note_failures(self, connection: Connection, failed: Sequence[AttemptResult]) -> None:
        """Records consequences of failures for their receivers: a pause, or disabling."""
        by_receiver = defaultdict[UUID, list[AttemptResult]](list)
        for attempt in failed:
            by_receiver[attempt.receiver_id].append(attempt)
        async with connection.transaction():
            receivers = [
                Receiver(attempts[0].tenant_id, attempts[0].receiver_id, attempts[0].registered)
                for attempts in by_receiver.values()
            ]
            before, now = await lock_failures(connection, receivers)
            decisions = {
                receiver_id: self._decide(before[receiver_id], attempts, now)
                for receiver_id in before
                if now is not None and (attempts := [attempt for attempt in by_receiver[receiver_id] if attempt.fails])
            }
            if decisions:
                await record_failures(connection, decisions)
            for receiver_id in before:
                await self._disable(connection, by_receiver[receiver_id], decisions.get(receiver_id))

    def _decide(
        self, before: ReceiverFailures | None, attempts: Sequence[AttemptResult], now: datetime
    ) -> tuple[ReceiverBreakerDecision, str | None]:
        """Returns the consequence of these failed attempts at one receiver, and its last error."""
        decision = receiver_after_failures(
            before,
            count=len(attempts),
            first_seconds_ago=max(attempt.duration_ms for attempt in attempts) / 1000,
            now=now,
            disable_seconds=self._disable_seconds,
        )
        if decision.state.is_open and not (before and before.is_open):
            _log_opened(attempts[-1], decision)
        return decision, attempts[-1].error

    async def _disable(
        self,
        connection: Connection,
        attempts: Sequence[AttemptResult],
        found: tuple[ReceiverBreakerDecision, str | None] | None,
    ) -> None:
        """Disables the endpoint, if its receiver requested that or has failed for too long."""
        endpoint = attempts[0]
        reason = next((attempt.disables for attempt in attempts if attempt.disables), None)
        if reason is None and found is not None and found[0].disables:
            days = self._disable_seconds / 86_400
            reason = f"FAILING: only failures for {days:g} days; last: {found[1]}"
        if reason is None or not endpoint.registered:
            return
        body = endpoint_disabled_body(endpoint.receiver_id, reason, at=self._clock.now())
        message_id = self._clock.ids.new()
        if await disable_endpoint(
            connection, endpoint.tenant_id, endpoint.receiver_id, reason=reason, message_id=message_id, body=body
        ):
            self._metrics.endpoints_disabled.inc()
            log.warning(
                f"endpoint disabled: {reason}",
                action="endpoint_disabled",
                endpoint_id=str(endpoint.receiver_id),
                reason=reason,
            )

    async def drained(self) -> None:
        """Returns once all results are recorded."""
        while self._results:
            self._empty.clear()
            await self._empty.wait()


def _log_opened(last: AttemptResult, decision: ReceiverBreakerDecision) -> None:
    log.warning(
        f"circuit of a receiver opened: {last.error}",
        action="receiver_circuit_opened",
        receiver_id=str(last.receiver_id),
        registered=last.registered,
        failures=decision.state.failures,
        probe_in_seconds=decision.pause_seconds,
    )


def _warn(batch: Sequence[AttemptResult], error: Exception) -> None:
    """Logs results that were not recorded. Their rows are due again when the hold ends: sent twice rather than not at
    all, with the same id.
    """
    for _ in batch:
        log.warning("a try was not recorded", action="delivery_unsettled", error=str(error))


def _is_of_data(error: Exception) -> bool:
    return isinstance(error, RecordRefused) and error.of_data and not isinstance(error, RecordBusy)
