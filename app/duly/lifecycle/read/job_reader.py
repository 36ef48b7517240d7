"""Reads single jobs, all concurrent requests in one statement."""

from collections.abc import Sequence
from uuid import UUID

from duly.domain.job import JobView
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.read.job_view import view_each

BATCH = 200
WAITING = 20_000


class JobReader:
    """Reads single jobs for all requests of this process."""

    def __init__(self, database: Database) -> None:
        self._connection = database.hot()
        self.batcher: Batcher[tuple[int, UUID], JobView | None] = Batcher(
            self._look, capacity=WAITING, batch=BATCH, what="reads"
        )

    async def look(self, tenant_id: int, job_id: UUID) -> JobView | None:
        """Returns the current state of the job; None if this tenant has no such job.

        Raises:
            Overloaded: see `duly.errors`.
            DatabaseOutage: it cannot be read now.
        """
        return await self.batcher.put((tenant_id, job_id))

    async def _look(self, keys: Sequence[tuple[int, UUID]]) -> list[JobView | None]:
        try:
            return await self._view(keys)
        except DatabaseOutage:  # the connection may have broken while it was idle
            return await self._view(keys)

    async def _view(self, keys: Sequence[tuple[int, UUID]]) -> list[JobView | None]:
        async with self._connection.use() as connection:
            return await view_each(connection, keys)
