"""Writes what this process counted, every few seconds, and once a minute the depth of all queues."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.lifecycle.figures.depth_samples import take_samples
from duly.store.figures.depth_samples import is_eldest_sweeper
from duly.store.figures.minute_figures import add_figures, delete_old_figures, put_samples
from duly.store.postgres.database import Database
from duly.telemetry.minute_counts import MinuteCounts, rows_of

# Delay of plots. A service in which nothing happens writes nothing.
FLUSH_SECONDS = 10.0
PRUNE_MINUTES = 60


class FigureRecorder:
    """Recorder of one node; `step` is run by a loop.

    Args:
        node_id: returns the id of this node.
        samples: whether this node may take samples: its role is that of a sweeper.
    """

    def __init__(
        self,
        database: Database,
        counts: MinuteCounts,
        *,
        clock: DatabaseClock,
        node_id: Callable[[], UUID],
        samples: bool,
    ) -> None:
        self._database = database
        self._counts = counts
        self._clock = clock
        self._node_id = node_id
        self._samples = samples
        self._writing = asyncio.Lock()
        self._sampled = self._pruned = 0

    async def step(self) -> float:
        """Writes counts, and the samples of a new minute."""
        await self.flush()
        minute = int(self._clock.seconds()) // 60
        if self._samples and minute > self._sampled:
            await self.sample()
            self._sampled = minute
        return FLUSH_SECONDS

    async def flush(self) -> None:
        """Writes what was counted since the last time, once a write in progress has ended: then all counts are written.

        Raises:
            DatabaseOutage: it is not known to be written. The counts are kept, and may be written twice.
        """
        async with self._writing:
            await self._flush()

    async def _flush(self) -> None:
        taken = self._counts.take()
        rows = rows_of(taken)
        if not rows:
            return
        try:
            async with self._database.background() as connection:
                await add_figures(connection, rows)
        except BaseException:
            self._counts.put_back(taken)
            raise

    async def sample(self) -> None:
        """Records the depth of all queues, on one node at a time, which also deletes old figures."""
        minute = int(self._clock.seconds()) // 60
        async with self._database.background() as connection:
            if not await is_eldest_sweeper(connection, self._node_id()):
                return
            if samples := await take_samples(connection):
                await put_samples(connection, datetime.fromtimestamp(minute * 60, UTC), samples)
            if minute >= self._pruned + PRUNE_MINUTES:
                await delete_old_figures(connection)
                self._pruned = minute
