"""Records checkpoints of running attempts, many in one statement, fenced by their lease tokens."""

from collections.abc import Sequence
from uuid import UUID

from duly.lifecycle.writes.batcher import Batcher
from duly.store.ledger.checkpoints import Checkpoint, record_checkpoints_if_held
from duly.store.postgres.database import Database

# A checkpoint may be as large as a result.
BATCH = 32
# Longest wait for a row that another transaction has locked, so that other checkpoints are not delayed by it.
LOCK_SECONDS = 2.0


class CheckpointRecorder:
    """Collects the checkpoints of all attempts on this node; of several of one attempt, the newest is recorded."""

    def __init__(self, database: Database) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self.batcher: Batcher[Checkpoint, bool] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="checkpoints"
        )

    async def keep(self, job_id: UUID, token: int, value: str) -> bool:
        """Records a checkpoint (JSON text). Returns False if the attempt has lost its lease.

        Raises:
            Overloaded, DatabaseOutage: it is not known to be recorded; it is safe to try again.
            RecordBusy: another transaction holds the job's row; it is safe to try again.
            RecordRefused: Postgres rejects the value.
        """
        return await self.batcher.put(Checkpoint(job_id, token, value))

    async def _record(self, checkpoints: Sequence[Checkpoint]) -> Sequence[bool]:
        newest = {(checkpoint.job_id, checkpoint.token): checkpoint for checkpoint in checkpoints}
        async with self._connection.use() as connection:
            kept = await record_checkpoints_if_held(connection, list(newest.values()))
        return [(checkpoint.job_id, checkpoint.token) in kept for checkpoint in checkpoints]
