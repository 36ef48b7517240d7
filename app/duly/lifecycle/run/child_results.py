"""Outcomes: how other jobs ended, for the handlers that wait for them."""

from collections.abc import Sequence
from uuid import UUID

from duly.lifecycle.submit.batcher import Batcher
from duly.store.ledger.job_results import Ended, first_unended, members_after, read_ends
from duly.store.postgres.database import Database, DatabaseAway
from duly.store.submit.batches import view_batch

BATCH = 200


class ChildResultReader:
    """Reads them for all attempts of this node. Everything here raises DatabaseAway where it cannot be read now."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.hot()
        self.batcher: Batcher[tuple[int, UUID], Ended | None] = Batcher(
            self._look, capacity=50_000, batch=BATCH, patience_seconds=30, what="looks"
        )

    async def look(self, tenant_id: int, job_id: UUID) -> Ended | None:
        """How it ended, or None where it has not. Those who ask at the same time are answered by one statement.

        Raises:
            Overloaded: too many ask.
        """
        return await self.batcher.put((tenant_id, job_id))

    async def _look(self, keys: Sequence[tuple[int, UUID]]) -> list[Ended | None]:
        try:
            ended = await self._read(keys)
        except DatabaseAway:  # the connection may have broken while nobody used it
            ended = await self._read(keys)
        return [ended.get(job_id) for _, job_id in keys]

    async def _read(self, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, Ended]:
        async with self._connection.use() as connection:
            return await read_ends(connection, keys)

    async def read(self, tenant_id: int, job_ids: Sequence[UUID]) -> dict[UUID, Ended]:
        """Those of a few jobs that have ended."""
        async with self._database.connection() as connection:
            return await read_ends(connection, [(tenant_id, job_id) for job_id in job_ids])

    async def first_unended(self, tenant_id: int, job_ids: Sequence[UUID]) -> int | None:
        """The place of the first of these that has not ended; None where all have."""
        async with self._database.connection() as connection:
            return await first_unended(connection, tenant_id, job_ids)

    async def knows_batch(self, tenant_id: int, batch_id: UUID) -> bool:
        """Whether this tenant has such a batch."""
        async with self._database.connection() as connection:
            return await view_batch(connection, tenant_id, batch_id) is not None

    async def members_after(self, tenant_id: int, batch_id: UUID, after: UUID, *, limit: int) -> list[UUID]:
        """The next jobs of a batch, in the order of their submission."""
        async with self._database.connection() as connection:
            return await members_after(connection, tenant_id, batch_id, after, limit=limit)
