"""Reads run-time statistics of job types, at most once in ten seconds for each type."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from duly.domain.run_times import RunTimes, summarize_run_times
from duly.store.postgres.database import Database
from duly.store.read.run_times import run_times

GOOD_FOR_SECONDS = 10.0
# Types that are read in one transaction: it saves most round trips, and keeps no snapshot for long.
READ_AT_ONCE = 10


class RunTimeReader:
    """Caches run-time statistics; one transaction at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._known: dict[tuple[int, str], tuple[float, RunTimes | None]] = {}

    async def observed(self, tenant_id: int, job_types: Iterable[str]) -> dict[str, RunTimes | None]:
        """Returns run-time statistics of the newest completed jobs of each type; None if there are none.

        Raises:
            DatabaseOutage: they cannot be read now.
        """
        wanted = list(job_types)
        async with self._lock:
            outdated = [job_type for job_type in wanted if self._is_outdated(tenant_id, job_type)]
            for first in range(0, len(outdated), READ_AT_ONCE):
                await self._read(tenant_id, outdated[first : first + READ_AT_ONCE])
            return {job_type: self._known[tenant_id, job_type][1] for job_type in wanted}

    def _is_outdated(self, tenant_id: int, job_type: str) -> bool:
        known = self._known.get((tenant_id, job_type))
        return known is None or time.monotonic() - known[0] >= GOOD_FOR_SECONDS

    async def _read(self, tenant_id: int, job_types: Sequence[str]) -> None:
        async with self._database.connection() as connection:
            found = await run_times(connection, tenant_id, job_types)
        now = time.monotonic()
        self._known |= {(tenant_id, job_type): (now, summarize_run_times(times)) for job_type, times in found.items()}
