"""Sends signals to jobs: the first one of a name is kept, and resumes a job that waits for it."""

from typing import NamedTuple
from uuid import UUID

from duly.domain.audit import Actor, AuditEntry
from duly.domain.job import JobView
from duly.domain.json_writer import digest_of, dump_text
from duly.errors import JobAlreadyEnded, NotFound, SignalAlreadySent, Unavailable
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.read.inbox_view import view_inbox
from duly.store.access.audit import record_change
from duly.store.postgres.database import Connection, Database
from duly.store.queue.signals import SentSignal, Signal, lock_signals, send_signal
from duly.store.read.job_view import view_job
from duly.telemetry.metrics import Metrics

TRIES = 10


class SignalReceipt(NamedTuple):
    """Recorded signal. `fresh`: this call recorded it, not an earlier one with the same body."""

    signal: SentSignal
    fresh: bool


class SignalSender:
    """Sends signals."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics) -> None:
        self._database = database
        self._wakeups = wakeups
        self._metrics = metrics

    async def send(  # a signal, and who sends it
        self, tenant_id: int, job_id: UUID, name: str, body: object, *, by: Actor, source: str
    ) -> SignalReceipt:
        """Sends a signal. `body` is a value from `read_json`.

        Raises:
            NotFound: this tenant has no such job.
            SignalAlreadySent: a signal of this name with another body was sent before.
            JobAlreadyEnded: the job has ended.
            Unavailable: the job could not be locked in time, or is not recorded yet.
        """
        data = f'{{"signal":{dump_text(name)},"body":{dump_text(body)}}}'
        signal = Signal(tenant_id, job_id, name, digest_of(body), data)
        for _ in range(TRIES):
            sent = await self._record(signal, by=by, source=source)
            if sent is None:
                await self._refuse(tenant_id, job_id)
            elif sent.digest is None:
                self._wake(job_id, sent)
                return SignalReceipt(sent, fresh=True)
            elif sent.digest == signal.digest:
                return SignalReceipt(sent, fresh=False)
            else:
                raise SignalAlreadySent.of(name)
        raise Unavailable("Could not lock the job. Retry.")

    async def _record(self, signal: Signal, *, by: Actor, source: str) -> SentSignal | None:
        """Records the signal and who sent it, in one transaction."""
        async with self._database.pinned() as connection:
            await lock_signals(connection, signal.job_id)
            sent = await send_signal(connection, signal, source=source)
            if sent is not None and sent.digest is None:
                entry = AuditEntry(
                    "signal.sent", str(signal.job_id), None, {"signal": signal.name, "sequence": sent.sequence}
                )
                await record_change(connection, signal.tenant_id, by, entry)
        return sent

    async def _refuse(self, tenant_id: int, job_id: UUID) -> None:
        """Raises the reason why a job gets no signal. Returns if it has only moved between tables."""
        async with self._database.connection() as connection:
            view = await view_job(connection, tenant_id, job_id)
            if view is None:
                await _refuse_unknown(connection, tenant_id, job_id)
        if view is not None and view.ended:
            raise _ended(view)

    def _wake(self, job_id: UUID, sent: SentSignal) -> None:
        """Wakes what follows the job and, where it may start, the claims. A claim that passed by its locked row takes
        its lane as read up to there.
        """
        self._metrics.signals.inc()
        self._wakeups.changed([job_id])
        if sent.lane is not None:
            self._wakeups.ready(sent.lane, job_id)


def _ended(view: JobView) -> JobAlreadyEnded:
    return JobAlreadyEnded(f"The job has ended already: {view.status}.", reason="The signal was not recorded.")


async def _refuse_unknown(connection: Connection, tenant_id: int, job_id: UUID) -> None:
    if await view_inbox(connection, [(tenant_id, job_id)]):
        raise Unavailable("The job is not recorded yet.", reason="It is about to be. Retry.", retry_after_seconds=1)
    raise NotFound("Job not found.")
