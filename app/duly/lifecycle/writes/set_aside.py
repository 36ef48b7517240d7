"""Outcomes that the database refuses: set aside, and tried again with backoff.

The node keeps the lease of the attempt meanwhile, so the job does not run again. When the node ends, the attempt is
lost like its others; the third time, the job ends as `CRASH_LOOP`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import structlog

from duly.domain.job import Finish
from duly.domain.json_cleaning import clean_text, truncate_text
from duly.store.postgres.database import Database, DatabaseOutage, HotConnection, RecordRefused
from duly.store.queue.set_aside import SetAside, Stage, delete_set_aside, record_set_aside
from duly.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("duly.set_aside")

BATCH = 500
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0
LOCK_SECONDS = 2.0
REASON_LIMIT = 500


async def note_refusal(
    connection: HotConnection, job_id: UUID, error: Exception, *, stage: Stage, tenant_id: int | None = None
) -> None:
    """Records why a job's start or follow-up is refused, to be shown by `/why`; if that is refused too, only the log
    has it.
    """
    item = SetAside(job_id, 0, truncate_text(clean_text(str(error)), REASON_LIMIT), tenant_id)
    with suppress(RecordRefused):
        async with connection.use() as held:
            await record_set_aside(held, [item], stage=stage, node_id=None)


async def forget_refusals(connection: HotConnection, jobs: Sequence[UUID], *, stage: Stage) -> None:
    """Deletes such notes."""
    with suppress(RecordRefused):
        async with connection.use() as held:
            await delete_set_aside(held, jobs, stage=stage)


@dataclass(slots=True)
class _Kept:
    """An outcome, why it was refused, and when it is tried again (monotonic clock).

    `as_failure`: a failure in its place was refused as well, so its data is not the reason.
    """

    end: Finish
    reason: str
    retry_at: float
    refusals: int = 1
    noted: bool = False
    as_failure: bool = False


class OutcomesSetAside:
    """Outcomes that one node could not record; `step` tries them again.

    Args:
        record: records outcomes; calls `recorded` for those that were, and `put` for those refused again.
        node_id: returns the node that keeps the outcomes.
    """

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        *,
        record: Callable[[Sequence[Finish]], Awaitable[None]],
        node_id: Callable[[], UUID | None],
    ) -> None:
        # A connection of its own: a try that waits for a lock must not delay other outcomes.
        self.connection = database.hot(lock_seconds=LOCK_SECONDS)
        self._metrics = metrics
        self._record = record
        self._kept: dict[tuple[UUID, int], _Kept] = {}
        self._noted: list[UUID] = []
        self._arrived = asyncio.Event()
        self._unnoted = False
        self._node_id = node_id

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, job_id: object) -> bool:
        return any(job == job_id for job, _ in self._kept)

    @property
    def jobs(self) -> Collection[UUID]:
        """The jobs whose outcome is set aside here."""
        return {job_id for job_id, _ in self._kept}

    def refused_as_failure(self, end: Finish) -> bool:
        """Returns True if a failure in place of this outcome was refused as well."""
        kept = self._kept.get((end.job_id, end.token))
        return kept is not None and kept.as_failure

    def put(self, end: Finish, error: Exception, *, as_failure: bool = False) -> None:
        """Sets aside an outcome that was refused alone, for longer each time.

        Args:
            end: the outcome.
            error: the refusal.
            as_failure: True if a failure in its place was refused as well.
        """
        key = end.job_id, end.token
        reason = truncate_text(clean_text(str(error) or type(error).__name__), REASON_LIMIT)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = _Kept(end, reason, 0.0)
            self._metrics.items_refused.labels("finish").inc()
            log.error(
                f"outcome of job {end.job_id} rejected by the database, retrying later: {reason}",
                action="outcome_set_aside",
                job_id=str(end.job_id),
                error=reason,
            )
        else:
            kept.end, kept.reason, kept.refusals, kept.noted = end, reason, kept.refusals + 1, False
        kept.as_failure |= as_failure
        seconds = min(FIRST_RETRY_SECONDS * 2.0 ** min(kept.refusals - 1, 10), LAST_RETRY_SECONDS)
        kept.retry_at = time.monotonic() + seconds * random.uniform(0.75, 1)  # noqa: S311  # jitter
        self._show()
        self._arrived.set()

    def recorded(self, ends: Sequence[Finish]) -> None:
        """Removes outcomes that are recorded now, or have lost their lease."""
        if not self._kept:
            return
        for end in ends:
            if (kept := self._kept.pop((end.job_id, end.token), None)) is not None:
                self._noted.append(end.job_id)
                log.info(
                    f"outcome of job {end.job_id} recorded after {kept.refusals} rejections",
                    action="outcome_recorded_late",
                    job_id=str(end.job_id),
                )
                for other in self._kept.values():
                    other.retry_at = 0.0  # the reason of their refusal may be gone
                self._arrived.set()
        self._show()

    def _show(self) -> None:
        self._metrics.outcomes_set_aside.set(len(self._kept))

    async def step(self) -> float:
        """Runs one round of its loop: waits for an outcome that is due or new, tries what is due, and records notes."""
        await self._due_or_new()
        now = time.monotonic()
        due = [kept.end for kept in self._kept.values() if kept.retry_at <= now]
        if due:
            await self._record(due[:BATCH])
        await self._note()
        return 0

    async def _due_or_new(self) -> None:
        """Waits until an outcome is due, or has no note yet: one that arrives does not wait for the older ones."""
        next_at = min((kept.retry_at for kept in self._kept.values()), default=None)
        seconds = None if next_at is None else max(next_at - time.monotonic(), 0.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._arrived.wait()

    async def record_now(self) -> None:
        """Tries all outcomes once more, due or not; before a node ends."""
        with suppress(DatabaseOutage):
            if self._kept:
                await self._record([kept.end for kept in self._kept.values()])

    async def _note(self) -> None:
        """Records notes for `/why` and other nodes' sweepers; if that is refused too, only log and metric have them."""
        new = [kept for kept in self._kept.values() if not kept.noted]
        gone, self._noted = self._noted, []
        if not new and not gone:
            self._arrived.clear()
            return
        items = [SetAside(kept.end.job_id, kept.end.token, kept.reason) for kept in new]
        newest = {item.job_id: item for item in sorted(items, key=lambda item: item.token)}
        try:
            async with self.connection.use() as connection:
                if gone:
                    await delete_set_aside(connection, gone, stage=Stage.FINISH)
                if newest:
                    await record_set_aside(
                        connection, list(newest.values()), stage=Stage.FINISH, node_id=self._node_id()
                    )
        except RecordRefused as error:
            if not self._unnoted:
                log.warning(
                    f"could not record which outcomes are set aside: {error}",
                    action="set_aside_unnoted",
                    error=str(error),
                )
            self._unnoted = True
        for kept in new:
            kept.noted = True
        if not self._noted and all(kept.noted for kept in self._kept.values()):
            self._arrived.clear()
