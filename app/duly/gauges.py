"""Reads the figures of the whole service for `/metrics`: depth and age of queues, and the state of the loops.

Most take a query. They are read every five seconds while metrics are requested or exported, and else once
a minute: the next request then waits for a fresh reading.
"""

import asyncio
import shutil
import time
from contextlib import suppress
from pathlib import Path

from duly.domain.node_role import Role
from duly.lifecycle.cluster.stream_lag import StreamWatch
from duly.loop import Loops
from duly.store.ledger.stream_blockers import read_held
from duly.store.maintenance.diagnosis import count_sessions
from duly.store.postgres.database import Connection, Database
from duly.store.postgres.partition_function import days_ahead
from duly.store.postgres.partitions import PARTITIONED
from duly.store.read.queue_stats import Scheduled, count_all, count_by_queue, count_scheduled, oldest_ages
from duly.store.read.upkeep import (
    count_live_roles,
    count_types_without_worker,
    read_schedules_late,
    read_snapshots,
    read_tables,
)
from duly.store.submit.inbox import read_oldest_age
from duly.store.webhooks.receivers import count_open
from duly.telemetry.metrics import Metrics, QueueFigures

SHORTEST_SECONDS = 5.0
# Pause of the readings after metrics were not requested for some time.
REST_SECONDS = 60.0
ASKED_SECONDS = 150.0
# Longest wait for a reading of the requests that ask first.
FRESH_SECONDS = 2.0
# Counting a long queue takes long: the most of a connection's time that it may take.
SHARE = 0.02
UNKNOWN = -1.0


class GaugeReader:
    """Sets the gauges that take a query; `step_if_due` is run by a loop.

    Args:
        database: the database.
        metrics: its metrics.
        loops: the loops of the node.
        exported: whether the metrics are exported without a request.
    """

    def __init__(self, database: Database, metrics: Metrics, loops: Loops, *, exported: bool = False) -> None:
        self._database = database
        self._metrics = metrics
        self._loops = loops
        self._exported = exported
        # Data folder of the embedded database, if it is used.
        self.database_folder: Path | None = None
        self._counted_seconds = 0.0
        self._pause = SHORTEST_SECONDS
        # By the monotonic clock: the last reading, the last request for metrics, and the first
        # one of those without a long pause.
        self._read_at = self._asked_at = self._asked_since = float("-inf")
        self._ended = asyncio.Event()
        self._stream_watch = StreamWatch(lambda kind, seconds: metrics.stream_behind.labels(kind).set(seconds))

    async def step_if_due(self) -> float:
        """Sets the gauges of this process, and reads the others if they are due. Returns the seconds until the next
        round.
        """
        if self._seconds_left() <= 0:
            await self.step()
        else:
            self._set_own()
        return max(0.0, min(self._seconds_left(), SHORTEST_SECONDS))

    async def refresh(self) -> None:
        """Notes a request for metrics. Without a recent one, waits for a reading, for at most `FRESH_SECONDS`."""
        now = time.monotonic()
        if now - self._asked_at > ASKED_SECONDS:
            self._asked_since = now
        self._asked_at = now
        left = self._asked_since + FRESH_SECONDS - now
        if left > 0 and self._seconds_left() <= 0:
            self._loops.waker("gauges")()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._ended.wait()
        self._set_own()

    def _seconds_left(self) -> float:
        """Returns the seconds until the next reading is due. A stream that is held back is watched closely."""
        now = time.monotonic()
        asked = self._exported or now - self._asked_at <= ASKED_SECONDS
        rests = not asked and not self._stream_watch.held
        return self._read_at + max(self._pause, REST_SECONDS if rests else 0.0) - now

    async def step(self) -> float:
        """Reads all figures once. Returns the seconds until the next round: the longer the counting took, the more."""
        self._set_own()  # first: the state of the loops matters most while the database is away
        try:
            await self._read()
        finally:
            self._ended.set()
            self._ended = asyncio.Event()
        return self._pause

    async def _read(self) -> None:
        async with self._database.background() as connection:
            began = time.monotonic()
            figures = await _figures(connection)
            waiting = await count_all(connection, "deliveries")
            left_alone = await count_open(connection)
            self._metrics.partitions_ahead.set(await days_ahead(connection, PARTITIONED))
            self._stream_watch.note(await read_held(connection))
            await _read_upkeep(connection, self._metrics)
            self._metrics.inbox_rows.set(await count_all(connection, "inbox"))
            self._metrics.inbox_oldest.set(await read_oldest_age(connection))
            ended = time.monotonic()
        self._metrics.queues(figures)
        self._metrics.deliveries_waiting.set(waiting)
        self._metrics.receivers_open.set(left_alone)
        # One slow round says little about the queues: the machine or the database may have paused.
        before, self._counted_seconds = self._counted_seconds, ended - began
        self._pause = max(SHORTEST_SECONDS, min(before, self._counted_seconds) / SHARE)
        self._read_at = ended

    def _set_own(self) -> None:
        """Sets the gauges of this process."""
        for loop in self._loops:
            self._metrics.loop_failures.labels(loop.name).set(loop.failures)
            self._metrics.loop_age.labels(loop.name).set(time.monotonic() - loop.last_success)
        _set_use(self._database, self._metrics, folder=self.database_folder)


async def _figures(connection: Connection) -> dict[str, QueueFigures]:
    ready = await count_by_queue(connection, "ready")
    scheduled = await count_scheduled(connection)
    running = await count_by_queue(connection, "running")
    ages = await oldest_ages(connection)
    return {
        queue: QueueFigures(
            ready=ready.get(queue, 0),
            scheduled=scheduled.get(queue, Scheduled()).waiting,
            parked=scheduled.get(queue, Scheduled()).parked,
            held=scheduled.get(queue, Scheduled()).held,
            running=running.get(queue, 0),
            oldest_seconds=ages.get(queue, 0.0),
        )
        for queue in {*ready, *scheduled, *running, "default"}
    }


async def _read_upkeep(connection: Connection, metrics: Metrics) -> None:
    """Sets the gauges that take a query."""
    roles = await count_live_roles(connection)
    for role in Role:
        metrics.nodes.labels(role.value).set(roles.get(role, 0))
    metrics.types_without_worker.set(await count_types_without_worker(connection))
    metrics.schedules_late.set(await read_schedules_late(connection))
    for table in await read_tables(connection):
        metrics.dead_rows.labels(table.table).set(table.dead_rows)
        metrics.table_size.labels(table.table).set(table.size_bytes)
        if table.vacuumed_seconds is not None:
            metrics.vacuum_age.labels(table.table).set(table.vacuumed_seconds)
    for snapshot in await read_snapshots(connection):
        metrics.snapshot_transactions.labels(snapshot.kind).set(snapshot.transactions)
        metrics.snapshot_seconds.labels(snapshot.kind).set(snapshot.seconds)
    sessions = await count_sessions(connection)
    metrics.sessions.set(sessions.open)
    metrics.sessions_limit.set(sessions.most)


def _set_use(database: Database, metrics: Metrics, *, folder: Path | None) -> None:
    """Sets the gauges of the connections and of the disk.

    Args:
        folder: data folder of the embedded database, if it is used.
    """
    in_use, limit = database.pool_use
    metrics.pool_connections.set(in_use)
    metrics.pool_limit.set(limit)
    disk = shutil.disk_usage(folder) if folder is not None else None
    metrics.disk_free.set(UNKNOWN if disk is None else disk.free)
    metrics.disk_size.set(UNKNOWN if disk is None else disk.total)
