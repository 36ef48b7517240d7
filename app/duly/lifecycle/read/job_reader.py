"""Reads single jobs, all concurrent requests in one statement."""

from collections.abc import Sequence
from uuid import UUID

from duly.domain.job import JobView
from duly.lifecycle.read.inbox_view import view_inbox
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import Connection, Database, DatabaseOutage
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
            views = await view_each(connection, keys)
            if None not in views:
                return views
            return await self._with_inbox(connection, keys, views)

    async def _with_inbox(
        self, connection: Connection, keys: Sequence[tuple[int, UUID]], views: Sequence[JobView | None]
    ) -> list[JobView | None]:
        """Adds jobs that wait in the inbox. A job that was recorded between the statements is read again."""
        unknown = [key for key, view in zip(keys, views, strict=True) if view is None]
        found = await view_inbox(connection, unknown)
        recorded = [key for key in unknown if key not in found]
        if recorded:
            again = await view_each(connection, recorded)
            found |= {key: view for key, view in zip(recorded, again, strict=True) if view is not None}
        return [view or found.get(key) for key, view in zip(keys, views, strict=True)]
