"""Heartbeat: one update for each process keeps the leases of all its attempts."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import structlog

from duly.lifecycle.cluster.clock_watch import ClockWatch
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.store.postgres.database import Connection, Database, DatabaseError, DatabaseOutage
from duly.store.postgres.error_classes import NO_ANSWER
from duly.store.queue.nodes import NodeRecord, NodeReport, RenewedLease, beat, leave, register, replace_handlers

log = structlog.stdlib.get_logger("duly.heartbeat")

# A timer that is later than this was kept by the process itself, which stood still.
LATE_SECONDS = 0.5
# The last share of a lease is for the handlers to stop.
LAST_SHARE = 1 / 12
# More than there are heartbeats between two complete looks of an idle service.
KNOWN_TRANSACTIONS = 32


class Heartbeat:
    """Registers this node, under a new id at each start, and renews its lease.

    Args:
        clock: learns the database's time with each beat.
        lost: called when attempts of this node may run elsewhere already; it must stop them.
        report: returns what to store with each beat.
    """

    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        *,
        record: NodeRecord,
        lease_seconds: float,
        clock: ClockWatch,
        lost: Callable[[], None],
        report: Callable[[], NodeReport],
    ) -> None:
        self._connection = database.own()
        self._wakeups = wakeups
        self._record = record
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._lost = lost
        self._report = report
        self._renewed_at = self._stops_at = time.monotonic()
        self._overdue: asyncio.TimerHandle | None = None
        self._registered = False
        self.draining = False
        # IDs of the transactions of the last heartbeats.
        self.transactions: deque[int] = deque(maxlen=KNOWN_TRANSACTIONS)

    @property
    def node_id(self) -> UUID:
        """Current id of this node."""
        return self._record.node_id

    async def replace_handlers(self, job_types: Sequence[str], schedules: Sequence[str]) -> None:
        """Records other job types and schedules for this node.

        Raises:
            DatabaseError: they cannot be recorded. They will be, should the node register again.
        """
        self._record = self._record._replace(job_types=job_types, schedules=schedules)
        async with self._connection.use() as connection:
            await replace_handlers(connection, self._record)

    async def step(self) -> float:
        """Sends one heartbeat. Returns the seconds until the next.

        Raises:
            DatabaseOutage: it failed, or was not confirmed in time.
        """
        try:
            async with asyncio.timeout(self._lease_seconds / 3):
                if self._registered:
                    await self._beat()
                else:
                    await self._register()
        except DatabaseError:
            self._stop_if_overdue()
            raise
        except TimeoutError as error:
            self._stop_if_overdue()
            raise DatabaseOutage("the heartbeat", NO_ANSWER) from error
        return self._lease_seconds / 3

    async def _beat(self) -> None:
        """Renews the lease and reads cancel requests; registers again if the node was declared lost."""
        asked_at, heard = time.monotonic(), self._wakeups.heard
        async with self._connection.use() as connection:
            beat_row = await self._renew(connection)
        if beat_row is None:
            log.error("node was declared lost; registering again", action="node_struck", node_id=str(self.node_id))
            self._lost()
            self._registered = False
            await self._register()
            return
        self._renewed(asked_at)
        self._note_listed(beat_row.listed, heard)
        for job_id in beat_row.cancelled:
            self._wakeups.local.cancel(job_id)

    async def _register(self) -> None:
        """Adds this node, under a new id, to the list of nodes."""
        self._record = self._record._replace(node_id=uuid4())
        asked_at, heard = time.monotonic(), self._wakeups.heard
        async with self._connection.use() as connection:
            await register(connection, self._record)
            beat_row = await self._renew(connection)
        self._registered = True
        self._renewed(asked_at)
        self._note_listed(0 if beat_row is None else beat_row.listed, heard)

    def _note_listed(self, listed: int, heard: int) -> None:
        """Notes whether this node is the only one. Another that was heard since the heartbeat began may be new."""
        self._wakeups.alone = listed == 1 and self._wakeups.heard == heard

    async def _renew(self, connection: Connection) -> RenewedLease | None:
        """Renews the lease and corrects the clock."""
        sent_at = self._clock.elapsed()
        beat_row = await beat(connection, self.node_id, draining=self.draining, report=self._report())
        if beat_row is not None:
            self._clock.learn(beat_row.at, sent_at=sent_at)
            self.transactions.append(beat_row.transaction)
        return beat_row

    def _renewed(self, asked_at: float) -> None:
        """Sets when attempts stop unless the lease is renewed before, even if the next heartbeat hangs."""
        self._renewed_at = asked_at
        self._stop_at(asked_at + self._lease_seconds * 2 / 3)

    def _stop_at(self, moment: float) -> None:
        self._forget_timer()
        self._stops_at = moment
        left = max(0.0, moment - time.monotonic())
        self._overdue = asyncio.get_running_loop().call_later(left, self._stop_in_time)

    def _stop_in_time(self) -> None:
        """Stops the attempts of this node before others may start them again. If this process stood still meanwhile,
        it has half of the time that is left to renew its lease.
        """
        now = time.monotonic()
        left = self._renewed_at + self._lease_seconds - now
        if now - self._stops_at > LATE_SECONDS and left > self._lease_seconds * LAST_SHARE:
            self._stop_at(now + left / 2)
        else:
            self._lost()

    def _forget_timer(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _stop_if_overdue(self) -> None:
        if self._registered and time.monotonic() > self._stops_at:
            self._stop_in_time()

    async def leave(self) -> None:
        """Removes this node from the list of nodes. Its attempts must have ended."""
        async with self._connection.use() as connection:
            await leave(connection, self.node_id)
        self._registered = False
        self._forget_timer()
