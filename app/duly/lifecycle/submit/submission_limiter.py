"""Rate limiter and backlog limits for submissions."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from duly.errors import BacklogFull, RateLimited
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import (
    SubmissionLimits,
    count_waiting,
    read_submission_limits,
    save_submission_limits,
    take_tokens,
)

LOOK_SECONDS = 1.0
# Tokens are taken from the shared bucket ahead of need for this long, and dropped when they are older than the next.
AHEAD_SECONDS = 0.1
TOKENS_LAST_SECONDS = 1.0
# A queue's backlog is counted again after this time; until then, submissions accepted here are added to the count.
COUNT_LASTS_SECONDS = 0.25
NOT_FULL_AGAIN_BEFORE_SECONDS = 0.02
# Clients choose queue names: the most counts that are kept.
MOST_COUNTS = 1_000
BACKLOG_RETRY_SECONDS = 2


@dataclass(slots=True)
class _BacklogCount:
    """Jobs that wait in a queue, and when they were counted (monotonic clock)."""

    waiting: int
    at: float


class SubmissionLimiter:
    """Limits of one process. Rates are exact over all nodes, since their tokens come from one bucket in the database;
    backlogs are as exact as a count that is up to a quarter of a second old on each node.
    """

    def __init__(self, database: Database, *, tenant_id: int, settings: SubmissionLimits) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._settings = settings
        self.limits = settings
        self._enabled = not settings.none
        self._tokens = 0
        self._tokens_at = 0.0
        self._empty_until = 0.0
        self._refused = 0
        self._bucket = asyncio.Lock()
        self._counts: dict[str, _BacklogCount] = {}

    @property
    def enabled(self) -> bool:
        """True if there is any limit."""
        return self._enabled

    async def step(self) -> float:
        """Reads the limits that were set at run time; run by a loop."""
        async with self._database.background() as connection:
            found = await read_submission_limits(connection, self._tenant_id)
        self._apply(found)
        return LOOK_SECONDS

    async def set_limits(self, limits: SubmissionLimits | None) -> None:
        """Sets the limits of all nodes; None restores those of the settings."""
        async with self._database.connection() as connection:
            await save_submission_limits(connection, self._tenant_id, limits)
        self._apply(limits)

    def _apply(self, found: SubmissionLimits | None) -> None:
        limits = found if found is not None else self._settings
        if limits != self.limits:
            self.limits = limits
            self._enabled = not limits.none
            self._tokens, self._empty_until = 0, 0.0
            self._counts.clear()

    async def admit(self, jobs: Mapping[str, int], *, checked: int = 0) -> None:
        """Accepts this number of jobs for each queue, or none of them.

        Args:
            jobs: number of jobs by queue.
            checked: number of jobs that passed `check` before and take tokens now.

        Raises:
            RateLimited, BacklogFull: see `duly.errors`.
        """
        await self.check(jobs)
        if self.limits.rate is not None:
            await self._take(sum(jobs.values()) + checked)
        for queue, count in jobs.items():
            if queue in self._counts:
                self._counts[queue].waiting += count

    async def check(self, jobs: Mapping[str, int]) -> None:
        """Checks the backlogs alone.

        Raises:
            BacklogFull: one of these queues has no room for this number of jobs.
        """
        for queue, count in jobs.items():
            if (limit := self.limits.backlog_of(queue)) is not None:
                await self._check_backlog(queue, count, limit)

    async def _check_backlog(self, queue: str, count: int, limit: int) -> None:
        """Checks the backlog of one queue by a recent count."""
        known = self._counts.get(queue)
        age = time.monotonic() - known.at if known else math.inf
        full = known is None or known.waiting + count > limit
        if known is None or age > COUNT_LASTS_SECONDS or (full and age > NOT_FULL_AGAIN_BEFORE_SECONDS):
            async with self._database.connection() as connection:
                waiting = await count_waiting(connection, self._tenant_id, queue, up_to=limit + 1)
            known = self._keep(queue, _BacklogCount(waiting, time.monotonic()))
        if known.waiting + count > limit:
            raise BacklogFull.of(queue, limit=limit, waiting=known.waiting, retry_after_seconds=BACKLOG_RETRY_SECONDS)

    def _keep(self, queue: str, count: _BacklogCount) -> _BacklogCount:
        """Keeps a new count, and forgets the oldest if there are too many."""
        self._counts.pop(queue, None)
        self._counts[queue] = count
        if len(self._counts) > MOST_COUNTS:
            del self._counts[next(iter(self._counts))]
        return count

    async def _take(self, needed: int) -> None:
        """Takes tokens, from those taken ahead or from the shared bucket.

        Raises:
            RateLimited: there are too few.
        """
        rate = self.limits.rate
        if rate is None:
            return
        async with self._bucket:
            now = time.monotonic()
            if now - self._tokens_at > TOKENS_LAST_SECONDS:
                self._tokens = 0
            if self._tokens >= needed:
                self._tokens -= needed
                return
            if now >= self._empty_until or needed < self._refused:
                ahead = int(rate.count / rate.seconds * AHEAD_SECONDS)
                async with self._database.connection() as connection:
                    taken, seconds = await take_tokens(
                        connection, self._tenant_id, rate, needed=needed, wanted=needed + ahead
                    )
                if taken:
                    self._tokens, self._tokens_at = taken - needed, time.monotonic()
                    return
                self._empty_until, self._refused = time.monotonic() + min(seconds, LOOK_SECONDS), needed
                raise RateLimited.of(rate.count, rate.seconds, retry_after_seconds=max(1, math.ceil(seconds)))
        left = max(1, math.ceil(self._empty_until - time.monotonic()))
        raise RateLimited.of(rate.count, rate.seconds, retry_after_seconds=left)


def configured_limits(settings: Settings) -> SubmissionLimits:
    """Returns the limits of the settings. The default burst is ten seconds' worth of the rate."""
    rate = None
    if settings.submit_rate is not None:
        burst = settings.submit_burst or max(1, round(10 * settings.submit_rate))
        rate = Rate(burst, burst / settings.submit_rate)
    return SubmissionLimits(rate, settings.backlog_limit)
