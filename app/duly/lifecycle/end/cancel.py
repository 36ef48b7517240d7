"""Cancels jobs and their children: a waiting job ends at once, a running one is interrupted."""

from collections.abc import Sequence
from enum import Enum
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.outcome import cancelled_error
from duly.errors import JobAlreadyEnded, NotFound, Unavailable
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.follow_ups import wake_for_ended
from duly.store.ledger.end_jobs import EndedWaitingJob, WaitingJobEnd, end_waiting_jobs
from duly.store.postgres.database import Database
from duly.store.queue.running import CancelRequestResult, request_cancel
from duly.store.read.job_view import view_job
from duly.store.ties.child_jobs import find_unfinished_children
from duly.telemetry.metrics import Metrics

TRIES = 5
BATCH = 500


class CancelResult(Enum):
    """Result of a cancel request."""

    CANCELLED = "cancelled"
    REQUESTED = "requested"


class Canceller:
    """Cancels jobs, one or many."""

    def __init__(self, database: Database, wakeups: Wakeups, metrics: Metrics) -> None:
        self._database = database
        self._wakeups = wakeups
        self._metrics = metrics

    async def cancel(self, tenant_id: int, job_id: UUID) -> CancelResult:
        """Cancels a job and its children.

        Raises:
            NotFound: this tenant has no such job.
            JobAlreadyEnded: it has ended.
            Unavailable: it could not be locked in time.
        """
        result = await self._cancel_one(tenant_id, job_id)
        await self.cancel_children(tenant_id, [job_id])
        return result

    async def cancel_many(self, tenant_id: int, job_ids: Sequence[UUID]) -> int:
        """Cancels those of these jobs that have not ended, and their children. Returns the number of the former."""
        cancelled = 0
        for start in range(0, len(job_ids), BATCH):
            chosen = job_ids[start : start + BATCH]
            cancelled += await self._cancel_batch(tenant_id, chosen)
            await self.cancel_children(tenant_id, chosen)
        return cancelled

    async def cancel_children(self, tenant_id: int, job_ids: Sequence[UUID]) -> None:
        """Cancels the unfinished children of these jobs, down to the last generation."""
        parents = list(job_ids)
        while parents:
            async with self._database.connection() as connection:
                children = await find_unfinished_children(connection, tenant_id, parents[:BATCH], limit=BATCH)
            if len(children) < BATCH:
                parents = parents[BATCH:]
            if children:
                await self._cancel_batch(tenant_id, children)
                parents += children

    async def _cancel_one(self, tenant_id: int, job_id: UUID) -> CancelResult:
        """Cancels one job, running or waiting, without its children."""
        for _ in range(TRIES):
            async with self._database.connection() as connection:
                view = await view_job(connection, tenant_id, job_id)
                if view is None:
                    raise NotFound("Job not found.")
                if view.ended:
                    raise JobAlreadyEnded(f"The job has ended already: {view.status}.")
                if view.compensating:
                    raise JobAlreadyEnded("The job's end is decided: its completed steps are being compensated.")
            if ended := await self._end_waiting(tenant_id, [job_id]):
                return CancelResult.CANCELLED if ended[0].kind.terminal else CancelResult.REQUESTED
            async with self._database.connection() as connection:
                request = await request_cancel(connection, tenant_id, job_id, source="api")
            if request is CancelRequestResult.RECORDED:
                self._wakeups.changed([job_id])
                self._wakeups.cancel(job_id)
            if request is not CancelRequestResult.NOT_RUNNING:
                return CancelResult.REQUESTED
            # It moved between the read and the statement: read again.
        raise Unavailable("Could not lock the job. Retry.")

    async def _cancel_batch(self, tenant_id: int, job_ids: Sequence[UUID]) -> int:
        """Cancels several jobs, running or waiting, without their children."""
        concerned = {end.job_id for end in await self._end_waiting(tenant_id, job_ids)}
        moving: list[UUID] = []
        async with self._database.connection() as connection:
            for job_id in job_ids:
                if job_id in concerned:
                    continue
                request = await request_cancel(connection, tenant_id, job_id, source="api")
                if request is CancelRequestResult.NOT_RUNNING:
                    moving.append(job_id)
                if request is CancelRequestResult.RECORDED:
                    concerned.add(job_id)
                    self._wakeups.changed([job_id])
                    self._wakeups.cancel(job_id)
        # Some of them were requeued by a worker meanwhile; the others had ended.
        return len(concerned.union(end.job_id for end in await self._end_waiting(tenant_id, moving)))

    async def _end_waiting(self, tenant_id: int, job_ids: Sequence[UUID]) -> list[EndedWaitingJob]:
        """Ends waiting jobs in the order of their ids, so that two callers with the same jobs cannot deadlock. Those
        with steps to compensate end later.
        """
        if not job_ids:
            return []
        ends = [WaitingJobEnd(tenant_id, job_id, EventKind.CANCELLED, cancelled_error()) for job_id in sorted(job_ids)]
        async with self._database.pinned() as connection:
            ended = await end_waiting_jobs(connection, ends, source="api")
        wake_for_ended(self._wakeups, self._metrics, ended)
        return ended
