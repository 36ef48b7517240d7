"""Reads run-time statistics of job types, at most once in ten seconds for each type."""

import asyncio
import time
from collections.abc import Iterable

from duly.domain.run_times import RunTimes, summarize_run_times
from duly.store.postgres.database import Database
from duly.store.read.run_times import run_times

GOOD_FOR_SECONDS = 10.0


class RunTimeReader:
    """Caches run-time statistics; one query at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._known: dict[tuple[int, str], tuple[float, RunTimes | None]] = {}

    async def observed(self, tenant_id: int, job_types: Iterable[str]) -> dict[str, RunTimes | None]:
        """Returns run-time statistics of the newest completed jobs of each type; None if there are none.

        Raises:
            DatabaseOutage: they cannot be read now.
        """
        async with self._lock:
            return {job_type: await self._one(tenant_id, job_type) for job_type in job_types}

    async def _one(self, tenant_id: int, job_type: str) -> RunTimes | None:
        known = self._known.get((tenant_id, job_type))
        if known is None or time.monotonic() - known[0] >= GOOD_FOR_SECONDS:
            async with self._database.connection() as connection:
                found = summarize_run_times(await run_times(connection, tenant_id, job_type))
            known = self._known[tenant_id, job_type] = (time.monotonic(), found)
        return known[1]
