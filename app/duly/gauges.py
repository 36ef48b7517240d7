"""Reads the figures of the whole service for `/metrics`: depth and age of queues, and the state of the loops."""

import time

from duly.lifecycle.cluster.stream_lag import StreamWatch
from duly.loop import Loops
from duly.store.ledger.stream_blockers import read_held
from duly.store.postgres.database import Connection, Database
from duly.store.postgres.partition_function import days_ahead
from duly.store.postgres.partitions import PARTITIONED
from duly.store.read.queue_stats import count_all, count_by_queue, oldest_ages
from duly.store.webhooks.receivers import count_open
from duly.telemetry.metrics import Metrics, QueueFigures

SHORTEST_SECONDS = 5.0
# Counting a long queue takes long: the most of a connection's time that it may take.
SHARE = 0.02


class GaugeReader:
    """Sets the gauges that take a query; `step` is run by a loop."""

    def __init__(self, database: Database, metrics: Metrics, loops: Loops) -> None:
        self._database = database
        self._metrics = metrics
        self._loops = loops
        self._stream_watch = StreamWatch(lambda kind, seconds: metrics.stream_behind.labels(kind).set(seconds))

    async def step(self) -> float:
        """Reads all figures once. Returns the seconds until the next round: the longer the counting took, the more."""
        began = time.monotonic()
        for loop in self._loops:  # first: the state of the loops matters most while the database is away
            self._metrics.loop_failures.labels(loop.name).set(loop.failures)
            self._metrics.loop_age.labels(loop.name).set(time.monotonic() - loop.last_success)
        async with self._database.background() as connection:
            figures = await _figures(connection)
            waiting = await count_all(connection, "deliveries")
            left_alone = await count_open(connection)
            self._metrics.partition_days.set(await days_ahead(connection, PARTITIONED))
            self._stream_watch.note(await read_held(connection))
        self._metrics.queues(figures)
        self._metrics.deliveries_waiting.set(waiting)
        self._metrics.receivers_open.set(left_alone)
        return max(SHORTEST_SECONDS, (time.monotonic() - began) / SHARE)


async def _figures(connection: Connection) -> dict[str, QueueFigures]:
    ready = await count_by_queue(connection, "ready")
    scheduled = await count_by_queue(connection, "scheduled")
    running = await count_by_queue(connection, "running")
    ages = await oldest_ages(connection, None)
    return {
        queue: QueueFigures(
            ready=ready.get(queue, 0),
            scheduled=scheduled.get(queue, 0),
            running=running.get(queue, 0),
            oldest_seconds=ages.get(queue, 0.0),
        )
        for queue in {*ready, *scheduled, *running, "default"}
    }
