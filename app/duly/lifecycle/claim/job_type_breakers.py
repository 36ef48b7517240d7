"""Circuit breakers of job types: counts how attempts end, over all nodes.

Counting does not delay the recording of ends: they are recorded first, collected here, and counted in one round.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import orjson
import structlog

from duly.domain.events import EventKind
from duly.domain.job import Finish, Finished
from duly.domain.job_type_breaker import CircuitBreaker, CircuitState, JobTypeBreaker, Streak, breaker_after
from duly.handlers.registry import RegisteredHandler
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Database
from duly.store.queue.flow_control import raise_version
from duly.store.queue.job_type_breakers import JobTypeBreakerChange, Key, lock_breakers, record_breakers

log = structlog.stdlib.get_logger("duly.breakers")

# Successes may wait for more; a failure may be the one that opens the breaker.
GATHER_SECONDS = 0.02
FAILED = frozenset({EventKind.FAILED, EventKind.RETRY_SCHEDULED, EventKind.HELD})


def _failed(kind: EventKind, end: Finish) -> bool:
    """Returns whether an attempt failed: also where its job compensates steps first."""
    return kind in FAILED or (kind is EventKind.COMPENSATING and end.kind in FAILED)


class JobTypeBreakers:
    """One node's share of the counting; `step` is run by a loop."""

    def __init__(self, database: Database, wakeups: Wakeups, handlers: Iterable[RegisteredHandler]) -> None:
        self._connection = database.hot()
        self._wakeups = wakeups
        self.declared: dict[str, CircuitBreaker] = {}
        self.declare(handlers)
        self._streaks: dict[Key, Streak] = {}
        self._arrived = asyncio.Event()

    def declare(self, handlers: Iterable[RegisteredHandler]) -> None:
        """Replaces the breakers by those of these handlers, for all that use `declared`."""
        self.declared.clear()
        self.declared |= {handler.type: handler.breaker for handler in handlers if handler.breaker is not None}

    def ended(self, ends: Sequence[Finish], finished: Sequence[Finished]) -> None:
        """Notes ended attempts whose end is recorded."""
        if not self.declared:
            return
        recorded = {done.job_id: done for done in finished if done.lane.type in self.declared}
        if not recorded:
            return
        for end in ends:
            if done := recorded.get(end.job_id):
                self._count((done.lane.tenant_id, done.lane.type), done.kind, end)

    def _count(self, key: Key, kind: EventKind, end: Finish) -> None:
        """Adds one end to the streak of its tenant and type, to be recorded later."""
        streak = self._streaks.get(key, Streak())
        if kind is EventKind.COMPLETED:
            streak = streak.success()
        elif _failed(kind, end) and end.data is not None and self.declared[key[1]].counts(code := _code(end.data)):
            streak = streak.failure(code)
        else:
            streak = streak.silence()
        self._streaks[key] = streak
        self._arrived.set()

    async def step(self) -> float:
        """Runs one round: waits for ends and counts them."""
        await self._arrived.wait()
        self._arrived.clear()
        streaks, self._streaks = self._streaks, {}
        try:
            changes = await self._record(streaks)
        except BaseException:
            later, self._streaks = self._streaks, streaks
            for key, streak in later.items():
                self._streaks[key] = streaks.get(key, Streak()).followed_by(streak)
            self._arrived.set()
            raise
        self._wake(changes)
        return 0 if any(streak.failures for streak in streaks.values()) else GATHER_SECONDS

    async def _record(self, streaks: Mapping[Key, Streak]) -> list[JobTypeBreakerChange]:
        """Applies streaks to the breakers, in one transaction. Returns the breakers that changed."""
        async with self._connection.use() as connection, connection.transaction():
            failed = {key: streak.failures > 0 for key, streak in streaks.items()}
            states = await lock_breakers(connection, failed)
            changes = [change for key, state in states.items() if (change := self._change(key, state, streaks[key]))]
            if changes:
                await record_breakers(connection, changes)
            if any(_changes_claims(change) for change in changes):
                await raise_version(connection)
        return changes

    def _change(self, key: Key, state: JobTypeBreaker, streak: Streak) -> JobTypeBreakerChange | None:
        breaker = self.declared.get(key[1])
        if breaker is None:  # a reload has removed it
            return None
        now = breaker_after(state, streak, breaker)
        if now == state:
            return None
        opens = breaker.seconds if now.circuit is CircuitState.OPEN and not now.due else None
        return JobTypeBreakerChange(*key, state.circuit, now, opens)

    def _wake(self, changes: Sequence[JobTypeBreakerChange]) -> None:
        """Logs changes of breakers, and wakes those who claim. Call it after the commit."""
        for change in changes:
            if change.opens_for_seconds is not None:
                log.warning(
                    f"circuit breaker of {change.type} opened after {change.state.failures} failures in a row",
                    action="breaker_opened",
                    tenant_id=change.tenant_id,
                    job_type=change.type,
                    code=change.state.code,
                    failures=change.state.failures,
                    seconds=change.opens_for_seconds,
                )
            elif change.state.circuit is CircuitState.CLOSED and _changes_claims(change):
                log.info(
                    f"circuit breaker of {change.type} closed",
                    action="breaker_closed",
                    tenant_id=change.tenant_id,
                    job_type=change.type,
                )
        if any(_changes_claims(change) for change in changes):
            self._wakeups.restrictions()


def _changes_claims(change: JobTypeBreakerChange) -> bool:
    """Returns True if the change affects claims."""
    return change.opens_for_seconds is not None or change.state.circuit is not change.before


def _code(error: str) -> str:
    code: str = orjson.loads(error)["code"]
    return code
