"""Pauses and resumes queues, and sets limits of queues and job types.

A change is durable, and applies on all nodes, when the call returns.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict

import structlog

from duly.domain.audit import Actor, AuditEntry
from duly.errors import RestrictionLimitReached
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.access.audit import record_change
from duly.store.postgres.database import Connection, Database
from duly.store.queue.flow_control import (
    count_restrictions,
    pause_queue,
    raise_version,
    resume_queue,
    transactions_that_may_start_jobs,
)
from duly.store.queue.limits import (
    FlowLimits,
    Scope,
    activate_limits,
    delete_limits,
    mark_running,
    read_limits,
    set_limits,
)

log = structlog.stdlib.get_logger("duly.flow_control")

# Starts in progress take milliseconds; a submission of many jobs in one transaction, which starts none, may take long.
# The wait for earlier transactions ends after this time.
PATIENCE_SECONDS = 2.0
# Delay until a new limit applies if the process that sets it dies before it has finished.
BEGINS_SECONDS = 3 * PATIENCE_SECONDS
# Paused queues and limits of one tenant: every node reads the restrictions of all tenants after each change.
MOST_RESTRICTIONS = 1_000
# A machine may stand still for that time: transactions then get some more to end.
LEAST_LOOKS = 20
FIRST_LOOK_SECONDS = 0.002
LAST_LOOK_SECONDS = 0.05


class FlowController:
    """Changes the claim restrictions."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups

    async def pause(self, tenant_id: int, queue: str, *, by: Actor | None = None) -> None:
        """Pauses a queue: when this returns, none of its jobs starts on any node. Running jobs continue.

        Raises:
            RestrictionLimitReached: see `duly.errors`.
        """
        async with self._database.connection() as connection:
            async with connection.transaction():
                if await pause_queue(connection, tenant_id, queue):
                    await raise_version(connection)
                    await _check_number(connection, tenant_id)
                    entry = AuditEntry("queue.paused", queue, {"paused": False}, {"paused": True})
                    await record_change(connection, tenant_id, by, entry)
            self._wakeups.restrictions()
            await _wait_for_earlier_starts(connection)

    async def resume(self, tenant_id: int, queue: str, *, by: Actor | None = None) -> None:
        """Resumes a queue."""
        async with self._database.connection() as connection, connection.transaction():
            if await resume_queue(connection, tenant_id, queue):
                await raise_version(connection)
                entry = AuditEntry("queue.resumed", queue, {"paused": True}, {"paused": False})
                await record_change(connection, tenant_id, by, entry)
        self._wakeups.restrictions()

    async def limit(
        self, tenant_id: int, scope: Scope, name: str, limits: FlowLimits, *, by: Actor | None = None
    ) -> None:
        """Replaces the limits of a queue or a job type. When this returns, they apply on all nodes and count running
        jobs.

        Raises:
            RestrictionLimitReached: see `duly.errors`.
        """
        async with self._database.connection() as connection:
            async with connection.transaction():
                before = await read_limits(connection, tenant_id, scope, name)
                await set_limits(connection, tenant_id, scope, name, limits, begins_in_seconds=BEGINS_SECONDS)
                await raise_version(connection)
                await _check_number(connection, tenant_id)
                await record_change(connection, tenant_id, by, _limits_changed(scope, name, before, limits))
            self._wakeups.restrictions()
            await _wait_for_earlier_starts(connection)
            await _wait_until_counted(connection, tenant_id, scope, name)
            await activate_limits(connection, tenant_id, scope, name)

    async def unlimit(self, tenant_id: int, scope: Scope, name: str, *, by: Actor | None = None) -> None:
        """Removes the limits of a queue or a job type."""
        async with self._database.connection() as connection, connection.transaction():
            before = await read_limits(connection, tenant_id, scope, name)
            if await delete_limits(connection, tenant_id, scope, name):
                await raise_version(connection)
                await record_change(connection, tenant_id, by, _limits_changed(scope, name, before, None))
        self._wakeups.restrictions()


async def _check_number(connection: Connection, tenant_id: int) -> None:
    """Checks that a tenant has not too many restrictions, after the version was raised, which changes wait for.

    Raises:
        RestrictionLimitReached: it has.
    """
    if await count_restrictions(connection, tenant_id, up_to=MOST_RESTRICTIONS + 1) > MOST_RESTRICTIONS:
        raise RestrictionLimitReached.of(MOST_RESTRICTIONS)


def _limits_changed(scope: Scope, name: str, before: FlowLimits | None, after: FlowLimits | None) -> AuditEntry:
    kind = "queue" if scope is Scope.QUEUE else "type"
    members = [asdict(limits) if limits is not None else None for limits in (before, after)]
    return AuditEntry(f"limits.{kind}.changed", name, *members)


async def _wait_for_earlier_starts(connection: Connection) -> None:
    """Waits for transactions that may have read the version before it was raised."""
    pause = FIRST_LOOK_SECONDS
    under_way = await transactions_that_may_start_jobs(connection)
    for _ in _looks():
        if not under_way:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_LOOK_SECONDS)
        under_way &= await transactions_that_may_start_jobs(connection)
    if under_way:
        log.warning(
            "claim restrictions changed without waiting for all earlier transactions",
            action="control_unawaited",
            transactions=len(under_way),
        )


def _looks() -> Iterator[int]:
    """Yields the number of each look, while there is time for another one."""
    until = time.monotonic() + PATIENCE_SECONDS
    return itertools.takewhile(lambda look: look < LEAST_LOOKS or time.monotonic() < until, itertools.count())


async def _wait_until_counted(connection: Connection, tenant_id: int, scope: Scope, name: str) -> None:
    """Counts the jobs that run under a new limit, again while others change them."""
    for _ in _looks():
        if await mark_running(connection, tenant_id, scope, name):
            return
        await asyncio.sleep(FIRST_LOOK_SECONDS)
    log.warning(
        f"limits of {scope.name.lower()} {name} set without counting all running jobs: their rows kept changing",
        action="limit_uncounted",
        scope=scope.name.lower(),
        name=name,
    )
