"""Records the steps of running attempts, many in one statement, fenced by their lease tokens, and reads them again."""

from collections.abc import Sequence
from uuid import UUID

from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.batcher import Batcher
from duly.store.ledger.steps import StepRecord, StepRow, WaitRow, read_steps, read_waits, record_steps_if_held
from duly.store.postgres.database import Database, DatabaseOutage

# A result has up to 256 KiB.
BATCH = 64
# Jobs in one read: each may have many steps.
READ_BATCH = 16
# Longest wait for a row that another transaction has locked, so that other steps are not delayed by it.
LOCK_SECONDS = 2.0

Key = tuple[int, UUID]


class StepRecorder:
    """Collects the steps of all attempts on this node.

    Args:
        source: source of the events that it records.
    """

    def __init__(self, database: Database, wakeups: Wakeups, *, source: str) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._source = source
        self.batcher: Batcher[StepRecord, bool] = Batcher(
            self._record, capacity=20_000, batch=BATCH, patience_seconds=30, what="steps"
        )

    async def record(self, step: StepRecord) -> bool:
        """Records a step. Returns False if the attempt has lost its lease.

        Raises:
            Overloaded, DatabaseOutage: it is not known to be recorded.
            RecordBusy: another transaction holds the job's row; it is safe to try again.
            RecordRefused: a step of this name is recorded, or Postgres rejects the result.
        """
        return await self.batcher.put(step)

    async def _record(self, steps: Sequence[StepRecord]) -> Sequence[bool]:
        async with self._connection.use() as connection:
            held = await record_steps_if_held(connection, steps, source=self._source)
        self._wakeups.changed({step.job_id for step, is_held in zip(steps, held, strict=True) if is_held})
        return held


class StepReader:
    """Reads recorded steps and waits for the attempts on this node; concurrent calls share a statement."""

    def __init__(self, database: Database) -> None:
        self._connection = database.hot()
        self.steps: Batcher[Key, list[StepRow]] = Batcher(
            self._read_steps, capacity=50_000, batch=READ_BATCH, patience_seconds=30, what="reads of steps"
        )
        self.waits: Batcher[Key, list[WaitRow]] = Batcher(
            self._read_waits, capacity=50_000, batch=READ_BATCH, patience_seconds=30, what="reads of waits"
        )

    async def read_steps(self, tenant_id: int, job_id: UUID) -> list[StepRow]:
        """Returns the recorded steps of a job.

        Raises:
            Overloaded, DatabaseOutage: they cannot be read now.
        """
        return await self.steps.put((tenant_id, job_id))

    async def read_waits(self, tenant_id: int, job_id: UUID) -> list[WaitRow]:
        """Returns the ended waits of a job, and the signals sent to it.

        Raises:
            Overloaded, DatabaseOutage: they cannot be read now.
        """
        return await self.waits.put((tenant_id, job_id))

    async def _read_steps(self, keys: Sequence[Key]) -> list[list[StepRow]]:
        try:
            rows = await self._fetch_steps(keys)
        except DatabaseOutage:  # the connection may have broken while it was idle
            rows = await self._fetch_steps(keys)
        return [[row for row in rows if row.job_id == job_id] for _, job_id in keys]

    async def _fetch_steps(self, keys: Sequence[Key]) -> list[StepRow]:
        async with self._connection.use() as connection:
            return await read_steps(connection, list(set(keys)))

    async def _read_waits(self, keys: Sequence[Key]) -> list[list[WaitRow]]:
        try:
            rows = await self._fetch_waits(keys)
        except DatabaseOutage:  # as above
            rows = await self._fetch_waits(keys)
        return [[row for row in rows if row.job_id == job_id] for _, job_id in keys]

    async def _fetch_waits(self, keys: Sequence[Key]) -> list[WaitRow]:
        async with self._connection.use() as connection:
            return await read_waits(connection, list(set(keys)))
