"""Records steps of attempts on workers over HTTP, as those of handlers on nodes are recorded."""

from typing import NamedTuple

from duly.domain.lease_id import Lease
from duly.errors import LeaseLost, StepAlreadyRecorded
from duly.lifecycle.run.steps import StepRecorder
from duly.store.ledger.steps import StepRecord, read_steps
from duly.store.postgres.database import Database, RecordRefused


class LeasedStep(NamedTuple):
    """Completed step. `result` is JSON text; `data` is that of the event, with the result."""

    name: str
    result: str
    data: str
    compensable: bool


class LeasedStepRecorder:
    """Records steps of leased attempts on this node."""

    def __init__(self, database: Database, recorder: StepRecorder) -> None:
        self._database = database
        self._recorder = recorder

    async def record(self, lease: Lease, step: LeasedStep) -> None:
        """Records a step. The same step again changes nothing.

        Raises:
            LeaseLost: the attempt has ended, or has lost its lease; nothing was recorded.
            StepAlreadyRecorded: a step of this name with another result is recorded.
            Overloaded, DatabaseError: it is not known to be recorded; it is safe to try again.
        """
        record = StepRecord(lease.job_id, lease.token, step.name, step.data, step.compensable)
        try:
            held = await self._recorder.record(record)
        except RecordRefused:
            async with self._database.connection() as connection:
                rows = await read_steps(connection, [(lease.tenant_id, lease.job_id)])
            known = next((row for row in rows if row.name == step.name), None)
            if known is None:
                raise
            if known.result != step.result:
                raise StepAlreadyRecorded.of(step.name) from None
            return
        if not held:
            raise LeaseLost.of(lease.job_id)
