"""Claim: take ready jobs for this node, in bulk, oldest and most urgent first."""

import time
from collections.abc import Container
from uuid import UUID

from duly.domain.events import CALLBACK_BITS
from duly.domain.job import ClaimedJob
from duly.lifecycle.lanes import Lanes
from duly.lifecycle.signals import Signals
from duly.store.database import Database
from duly.store.ready import claim_ready, find_lanes
from duly.store.running import find_held
from duly.telemetry.metrics import Metrics

# How often the table is looked at without any belief; hints and this node's own submissions come in between.
LOOK_SECONDS = 1.0
LARGEST_CLAIM = 500
STARTED_BIT = CALLBACK_BITS["job.started"]


class Claimer:
    """The claiming side of one node. Its connection is its own, with plans pinned."""

    def __init__(self, database: Database, signals: Signals, metrics: Metrics, *, types: Container[str]) -> None:
        self._connection = database.hot()
        self._signals = signals
        self._metrics = metrics
        self._types = types
        self._looked_at = float("-inf")
        self.lanes = Lanes()

    async def claim(self, limit: int, *, node_id: UUID, source: str) -> list[ClaimedJob]:
        """Up to `limit` jobs, now running on this node. Empty where nothing was found.

        Raises:
            DatabaseAway: it is not known whether jobs were claimed; if so, they are found among those `held`.
        """
        await self._look_now_and_then()
        starts = self.lanes.starts(self._types)
        if not starts:
            return []
        limit = min(limit, LARGEST_CLAIM)
        async with self._connection.use() as connection:
            jobs = await claim_ready(connection, starts, limit=limit, node_id=node_id, source=source)
        self.lanes.claimed(starts, jobs, filled=len(jobs) >= limit)
        if jobs:
            self._metrics.recorded(len(jobs), statement="claim")
            self._signals.changed([job.job_id for job in jobs])
        if any(job.callback_events & STARTED_BIT for job in jobs):
            self._signals.deliveries()
        return jobs

    async def _look_now_and_then(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        await self.look()

    async def look(self) -> None:
        """Reads which lanes hold jobs; before the first time nothing is known, and all seems done."""
        async with self._connection.use() as connection:
            found = await find_lanes(connection)
        self.lanes.found(found)
        self._looked_at = time.monotonic()

    async def held(self, node_id: UUID, *, older_than_seconds: float) -> dict[UUID, int]:
        """The jobs that stand as running on this node for so long, with their tokens; no claim may be under way."""
        async with self._connection.use() as connection:
            return await find_held(connection, node_id, older_than_seconds=older_than_seconds)

    @property
    def hopeful(self) -> bool:
        """Whether a claim now may find something, as far as is known."""
        return self.lanes.any_of(self._types)
