"""Records compensated steps of running attempts, many in one statement, fenced by their lease tokens."""

from collections.abc import Sequence

from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.batcher import Batcher
from duly.store.ledger.compensation import CompensatedStep, record_compensated_if_held
from duly.store.postgres.database import Database

BATCH = 64
# Longest wait for a row that another transaction has locked, so that other steps are not delayed by it.
LOCK_SECONDS = 2.0


class CompensationRecorder:
    """Collects the compensated steps of all attempts on this node.

    Args:
        source: source of the events that it records.
    """

    def __init__(self, database: Database, wakeups: Wakeups, *, source: str) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._source = source
        self.batcher: Batcher[CompensatedStep, bool] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="compensated steps"
        )

    async def record(self, step: CompensatedStep) -> bool:
        """Records a compensated step, once. Returns False if the attempt has lost its lease.

        Raises:
            Overloaded, DatabaseOutage, RecordBusy: it is not known to be recorded; it is safe to try again.
        """
        return await self.batcher.put(step)

    async def _record(self, steps: Sequence[CompensatedStep]) -> Sequence[bool]:
        async with self._connection.use() as connection:
            held = await record_compensated_if_held(connection, steps, source=self._source)
        self._wakeups.changed({step.job_id for step in steps if (step.job_id, step.token) in held})
        return [(step.job_id, step.token) in held for step in steps]
