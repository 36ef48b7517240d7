"""Checkpoint: what attempts leave for the next one, recorded together, fenced by the lease token."""

from collections.abc import Sequence
from uuid import UUID

from duly.lifecycle.submit.batcher import Batcher
from duly.store.ledger.checkpoints import Checkpoint, keep_if_held
from duly.store.postgres.database import Database

# A value may be as large as a result.
BATCH = 32
# The row of a job that somebody else keeps locked holds up no other checkpoint for much longer.
LOCK_SECONDS = 2.0


class CheckpointRecorder:
    """Gathers the checkpoints of all attempts on this node; of several of one attempt the newest counts."""

    def __init__(self, database: Database) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self.batcher: Batcher[Checkpoint, bool] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="checkpoints"
        )

    async def keep(self, job_id: UUID, token: int, value: str) -> bool:
        """Records a checkpoint, JSON text; False where the attempt has lost its lease.

        Raises:
            Overloaded, DatabaseAway: it is not known to be recorded; doing it again is safe.
            RecordBusy: another transaction holds the job's row; doing it again is safe.
            RecordRefused: Postgres does not take this value.
        """
        return await self.batcher.put(Checkpoint(job_id, token, value))

    async def _record(self, told: Sequence[Checkpoint]) -> Sequence[bool]:
        newest = {(checkpoint.job_id, checkpoint.token): checkpoint for checkpoint in told}
        async with self._connection.use() as connection:
            kept = await keep_if_held(connection, list(newest.values()))
        return [(checkpoint.job_id, checkpoint.token) in kept for checkpoint in told]
