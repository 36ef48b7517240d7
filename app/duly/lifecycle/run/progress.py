"""Records the progress of running attempts, many in one statement; of several reports of one job, the newest."""

import json
from collections.abc import Sequence
from uuid import UUID

from duly.domain.json_cleaning import clean_text, truncate_text
from duly.domain.outcome import MESSAGE_LIMIT
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.writes.batcher import Batcher
from duly.lifecycle.writes.round_size import SkippedRows
from duly.store.postgres.database import Database, RecordRefused
from duly.store.queue.running import Progress, record_progress_if_held
from duly.telemetry.metrics import Metrics

BATCH = 500
# Longest wait for a row that another transaction has locked, so that other progress is not delayed by it.
LOCK_SECONDS = 2.0


class ProgressRecorder:
    """Collects the progress of all attempts on this node."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics, *, source: str) -> None:
        self._connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._wakeups = wakeups
        self._source = source
        self._refused: SkippedRows[UUID] = SkippedRows(metrics, statement="progress")
        self.batcher: Batcher[Progress, bool] = Batcher(self._record, capacity=20_000, batch=BATCH, patience_seconds=30)

    async def record(self, job_id: UUID, token: int, *, percent: float, message: str | None) -> bool:
        """Records progress. Returns False if the attempt has lost its lease.

        Raises:
            DatabaseOutage, RecordRefused, Overloaded: it is not recorded.
        """
        message = truncate_text(clean_text(message), MESSAGE_LIMIT) if message else message
        shown = int(percent) if percent == int(percent) else round(percent, 2)
        data = json.dumps({"progress": shown, "message": message}, ensure_ascii=False)
        try:
            return await self.batcher.put(Progress(job_id, token, percent, message, data))
        except RecordRefused as error:
            self._refused.put(job_id, error)
            raise

    async def _record(self, reports: Sequence[Progress]) -> Sequence[bool]:
        """Records the newest report of each attempt."""
        newest = {progress.job_id: progress for progress in reports}
        async with self._connection.use() as connection:
            recorded = await record_progress_if_held(connection, list(newest.values()), source=self._source)
        self._wakeups.changed(recorded)
        if any(recorded.values()):
            self._wakeups.deliveries()
        return [progress.job_id in recorded for progress in reports]
