"""Reads the figures of the whole service for `/metrics`: depth and age of queues, and the state of the loops."""

import shutil
import time
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
# Counting a long queue takes long: the most of a connection's time that it may take.
SHARE = 0.02
UNKNOWN = -1.0


class GaugeReader:
    """Sets the gauges that take a query; `step` is run by a loop."""

    def __init__(self, database: Database, metrics: Metrics, loops: Loops) -> None:
        self._database = database
        self._metrics = metrics
        self._loops = loops
        # Data folder of the embedded database, if it is used.
        self.database_folder: Path | None = None
        self._counted_seconds = 0.0
        self._stream_watch = StreamWatch(lambda kind, seconds: metrics.stream_behind.labels(kind).set(seconds))

    async def step(self) -> float:
        """Reads all figures once. Returns the seconds until the next round: the longer the counting took, the more."""
        for loop in self._loops:  # first: the state of the loops matters most while the database is away
            self._metrics.loop_failures.labels(loop.name).set(loop.failures)
            self._metrics.loop_age.labels(loop.name).set(time.monotonic() - loop.last_success)
        _set_own(self._database, self._metrics, folder=self.database_folder)
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
            seconds = time.monotonic() - began
        self._metrics.queues(figures)
        self._metrics.deliveries_waiting.set(waiting)
        self._metrics.receivers_open.set(left_alone)
        # One slow round says little about the queues: the machine or the database may have paused.
        before, self._counted_seconds = self._counted_seconds, seconds
        return max(SHORTEST_SECONDS, min(before, seconds) / SHARE)


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


def _set_own(database: Database, metrics: Metrics, *, folder: Path | None) -> None:
    """Sets the gauges of this process.

    Args:
        folder: data folder of the embedded database, if it is used.
    """
    in_use, limit = database.pool_use
    metrics.pool_connections.set(in_use)
    metrics.pool_limit.set(limit)
    disk = shutil.disk_usage(folder) if folder is not None else None
    metrics.disk_free.set(UNKNOWN if disk is None else disk.free)
    metrics.disk_size.set(UNKNOWN if disk is None else disk.total)
