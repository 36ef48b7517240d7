"""Retries and cancels jobs, one or many: walks the jobs that match a filter from the newest to the oldest, in pages.

Each page is a transaction of its own. If the walk stops early, finished pages stay done, and repeating it continues
with the rest: a retried or cancelled job no longer matches.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from duly.domain.audit import Actor, AuditEntry
from duly.domain.ids import SMALLEST
from duly.errors import NotRetryable, Overloaded, UniqueKeyTaken
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.retry import Redriven, redrive
from duly.store.access.audit import record_change
from duly.store.postgres.database import Database, RecordBusy
from duly.store.read.access_paths import ListFilter
from duly.store.read.list_jobs import find_ids
from duly.store.submit.batches import BatchView, read_job_ids_after
from duly.store.ties.unique_keys_and_dependencies import LockContention

PAGE = 500
MOST_COUNTED = 10_000
# After this time no further page is counted; a page itself takes up to a second.
COUNT_SECONDS = 1.0
TRIES = 3

# Called before each page; raises to stop the walk.
GoOn = Callable[[], None]


class Author(NamedTuple):
    """Author of a bulk action.

    Attributes:
        chosen: the filter, as it was requested.
        recorded: called once the action is in the audit log.
    """

    actor: Actor
    subject: str
    chosen: dict[str, Any]
    recorded: Callable[[], None] | None = None


class Count(NamedTuple):
    """Number of jobs that match a filter. `complete`: no others match."""

    jobs: int
    complete: bool


class BulkActions:
    """Retries and cancels many jobs."""

    def __init__(self, database: Database, wakeups: Wakeups, canceller: Canceller) -> None:
        self._database = database
        self._wakeups = wakeups
        self._canceller = canceller

    async def retry_one(self, tenant_id: int, job_id: UUID, *, from_step: str | None = None) -> None:
        """Retries one job, with fresh attempts.

        Args:
            tenant_id: its tenant.
            job_id: the job.
            from_step: name of a recorded step: it and all later ones are forgotten, and run again.

        Raises:
            NotRetryable: it did not fail, was not cancelled, and is not held.
            StepUnknown: it has no such step.
            UniqueKeyTaken: another unfinished job has its unique key.
            Overloaded: see `duly.errors`.
        """
        redriven = await self._redrive([(tenant_id, job_id)], from_step=from_step)
        if redriven.taken:
            raise UniqueKeyTaken(
                "Another unfinished job has the unique key of this one.", reason="Retry it once that one has ended."
            )
        if not redriven.job_ids:
            raise NotRetryable.now()

    async def count(self, tenant_id: int, job_filter: ListFilter) -> Count:
        """Counts the matching jobs, up to `MOST_COUNTED` and for about `COUNT_SECONDS`."""
        until = time.monotonic() + COUNT_SECONDS
        jobs = 0
        rest: ListFilter | None = job_filter
        while rest is not None and jobs <= MOST_COUNTED and time.monotonic() < until:
            job_ids, rest = await self._page(tenant_id, rest)
            jobs += len(job_ids)
        return Count(min(jobs, MOST_COUNTED), rest is None and jobs <= MOST_COUNTED)

    async def retry(self, tenant_id: int, job_filter: ListFilter, *, go_on: GoOn, by: Author | None = None) -> int:
        """Retries all matching jobs whose unique key is free. Returns their number."""
        await self._record(tenant_id, by, "jobs.retried")
        retried = 0
        async for job_ids in self._pages(tenant_id, job_filter, go_on):
            retried += len((await self._redrive([(tenant_id, job_id) for job_id in job_ids])).job_ids)
        return retried

    async def cancel(self, tenant_id: int, job_filter: ListFilter, *, go_on: GoOn, by: Author | None = None) -> int:
        """Cancels all matching jobs that have not ended, and their children. Returns the number of matching jobs."""
        await self._record(tenant_id, by, "jobs.cancelled")
        cancelled = 0
        async for job_ids in self._pages(tenant_id, job_filter, go_on):
            cancelled += await self._canceller.cancel_many(tenant_id, job_ids)
        return cancelled

    async def cancel_batch(self, tenant_id: int, batch: BatchView, *, go_on: GoOn, by: Author | None = None) -> None:
        """Cancels the unfinished jobs of a batch."""
        await self._record(tenant_id, by, "batch.cancelled")
        after = SMALLEST
        while True:
            go_on()
            async with self._database.connection() as connection:
                job_ids = await read_job_ids_after(
                    connection, tenant_id, batch, after=after, limit=PAGE, unfinished=True
                )
            await self._canceller.cancel_many(tenant_id, job_ids)
            if len(job_ids) < PAGE:
                return
            after = job_ids[-1]

    async def _record(self, tenant_id: int, by: Author | None, action: str) -> None:
        """Audits the action before its first page, so that nothing is changed unrecorded."""
        if by is not None:
            async with self._database.connection() as connection:
                entry = AuditEntry(action, by.subject, None, by.chosen)
                await record_change(connection, tenant_id, by.actor, entry)
            if by.recorded is not None:
                by.recorded()

    async def _pages(self, tenant_id: int, job_filter: ListFilter, go_on: GoOn) -> AsyncIterator[list[UUID]]:
        """Yields the ids of matching jobs, page by page, from the newest to the oldest."""
        rest: ListFilter | None = job_filter
        while rest is not None:
            go_on()
            job_ids, rest = await self._page(tenant_id, rest)
            if job_ids:
                yield job_ids

    async def _page(self, tenant_id: int, job_filter: ListFilter) -> tuple[list[UUID], ListFilter | None]:
        """Returns the ids of a page, and the filter of the rest; None after the last page."""
        async with self._database.connection() as connection:
            found = await find_ids(connection, tenant_id, job_filter, limit=PAGE)
        following = found.job_ids[-1] if len(found.job_ids) == PAGE else found.reached
        return found.job_ids, job_filter._replace(before=following) if following is not None else None

    async def _redrive(self, keys: Sequence[tuple[int, UUID]], *, from_step: str | None = None) -> Redriven:
        for _ in range(TRIES):
            try:
                return await redrive(self._database, self._wakeups, keys, from_step=from_step)
            except (LockContention, RecordBusy):
                continue
        raise Overloaded("Could not lock the keys or dependencies of these jobs. Retry.")
