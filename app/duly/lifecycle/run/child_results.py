"""Reads the results of child jobs and batches for the handlers that wait for them."""

from collections.abc import Sequence
from uuid import UUID

from duly.lifecycle.writes.batcher import Batcher
from duly.store.ledger.job_results import Ended, find_first_unended, find_last_unended, read_ends, read_members_after
from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.submit.batches import view_batch

BATCH = 200


class ChildResultReader:
    """Reads results for all attempts of this node. All methods raise DatabaseOutage if they cannot be read now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.hot()
        self.batcher: Batcher[tuple[int, UUID], Ended | None] = Batcher(
            self._look, capacity=50_000, batch=BATCH, patience_seconds=30, what="looks"
        )

    async def look(self, tenant_id: int, job_id: UUID) -> Ended | None:
        """Returns the end of a job; None if it has not ended. Concurrent calls share a statement.

        Raises:
            Overloaded: too many calls wait.
        """
        return await self.batcher.put((tenant_id, job_id))

    async def _look(self, keys: Sequence[tuple[int, UUID]]) -> list[Ended | None]:
        try:
            ended = await self._read(keys)
        except DatabaseOutage:  # the connection may have broken while it was idle
            ended = await self._read(keys)
        return [ended.get(job_id) for _, job_id in keys]

    async def _read(self, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, Ended]:
        async with self._connection.use() as connection:
            return await read_ends(connection, keys)

    async def read(self, tenant_id: int, job_ids: Sequence[UUID]) -> dict[UUID, Ended]:
        """Returns those of these jobs that have ended."""
        async with self._database.connection() as connection:
            return await read_ends(connection, [(tenant_id, job_id) for job_id in job_ids])

    async def first_unended(self, tenant_id: int, job_ids: Sequence[UUID]) -> int | None:
        """Returns the index of the first of these jobs that has not ended; None if all have."""
        async with self._database.connection() as connection:
            return await find_first_unended(connection, tenant_id, job_ids)

    async def last_unended(self, tenant_id: int, job_ids: Sequence[UUID], *, limit: int) -> list[UUID]:
        """Returns the last of these jobs that have not ended, the last one first."""
        async with self._database.connection() as connection:
            return await find_last_unended(connection, tenant_id, job_ids, limit=limit)

    async def knows_batch(self, tenant_id: int, batch_id: UUID) -> bool:
        """Returns True if this tenant has such a batch."""
        async with self._database.connection() as connection:
            return await view_batch(connection, tenant_id, batch_id) is not None

    async def members_after(self, tenant_id: int, batch_id: UUID, after: UUID, *, limit: int) -> list[UUID]:
        """Returns the next jobs of a batch, in order of submission."""
        async with self._database.connection() as connection:
            return await read_members_after(connection, tenant_id, batch_id, after, limit=limit)
