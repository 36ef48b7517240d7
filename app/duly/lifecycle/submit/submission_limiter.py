"""Rate limiters and backlog limits for submissions."""

import itertools
import math
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from duly.domain.audit import Actor, AuditEntry
from duly.domain.cell_share import CellShare
from duly.domain.job import DEFAULT_TENANT
from duly.domain.tenant import TenantLimits
from duly.errors import BacklogFull, RateLimited
from duly.lifecycle.submit.shared_bucket import SharedBucket
from duly.settings import Settings
from duly.store.access.audit import record_change
from duly.store.access.tenants import read_limits_of
from duly.store.postgres.database import Connection, Database
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import (
    BucketKey,
    SubmissionLimits,
    count_waiting,
    read_submission_limits,
    save_submission_limits,
)

LOOK_SECONDS = 1.0
# A tenant that submits nothing for this long is forgotten, so that the reads do not grow with the tenants.
KEPT_SECONDS = 60.0
NO_LIMITS = TenantLimits()
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
    """Limits of one tenant in one process. Rates are exact over all nodes, since their tokens come from one bucket in
    the database; backlogs are as exact as a count that is up to a quarter of a second old on each node. Of several
    cells, each enforces its share.
    """

    def __init__(self, database: Database, *, tenant_id: int, limits: SubmissionLimits, share: CellShare) -> None:
        self._database = database
        self._tenant_id = tenant_id
        self._share = share
        self.limits = limits
        self.enabled = not limits.none
        self.used_at = time.monotonic()
        self._read = 0
        self._bucket = SharedBucket(database, BucketKey.of_submissions(tenant_id))
        self._counts: dict[str, _BacklogCount] = {}

    def apply(self, limits: SubmissionLimits, *, read: int) -> None:
        """Replaces the limits, unless a later read has ended before: the limits may have changed between the two.

        Args:
            limits: the limits that were read.
            read: number of the read, in order of their beginnings.
        """
        if read < self._read:
            return
        self._read = read
        if limits != self.limits:
            self.limits = limits
            self.enabled = not limits.none
            self._bucket.forget()
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
                await self._check_backlog(queue, count, self._share.of_backlog(limit, (self._tenant_id, queue)))

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
        """Takes tokens from the bucket of the tenant.

        Raises:
            RateLimited: there are too few.
        """
        rate = self.limits.rate
        if rate is None:
            return
        own = Rate(*self._share.of_rate(rate.count, rate.seconds))
        if (seconds := await self._bucket.take(own, needed)) is not None:
            raise RateLimited.of(rate.count, rate.seconds, retry_after_seconds=seconds)


class SubmissionLimiters:
    """Limiters of the tenants that submit to this process.

    Attributes:
        share: the part of each limit that this cell enforces.
    """

    def __init__(self, database: Database, *, settings: SubmissionLimits, share: CellShare | None = None) -> None:
        self._database = database
        self._settings = settings
        self.share = share or CellShare()
        self._reads = itertools.count(1)
        self._known = {DEFAULT_TENANT: self._limiter(DEFAULT_TENANT, settings)}

    @property
    def tenants(self) -> Collection[int]:
        """Returns the tenants that submitted lately."""
        return self._known.keys()

    def _limiter(self, tenant_id: int, limits: SubmissionLimits) -> SubmissionLimiter:
        return SubmissionLimiter(self._database, tenant_id=tenant_id, limits=limits, share=self.share)

    async def step(self) -> float:
        """Reads the limits of the tenants known here; run by a loop. Forgets those that submitted nothing lately."""
        oldest = time.monotonic() - KEPT_SECONDS
        for tenant_id, limiter in list(self._known.items()):
            if limiter.used_at < oldest and tenant_id != DEFAULT_TENANT:
                del self._known[tenant_id]
        await self._apply(list(self._known), self._database.background())
        return LOOK_SECONDS

    async def of(self, tenant_id: int) -> SubmissionLimiter:
        """Returns the limiter of a tenant, with the limits that were read last."""
        limiter = self.known(tenant_id)
        if limiter is None:
            await self.refresh(tenant_id)
            limiter = self._known[tenant_id]
        return limiter

    def known(self, tenant_id: int) -> SubmissionLimiter | None:
        """Returns the limiter of a tenant that submitted lately; None if its limits have to be read."""
        limiter = self._known.get(tenant_id)
        if limiter is not None:
            limiter.used_at = time.monotonic()
        return limiter

    async def refresh(self, tenant_id: int) -> SubmissionLimits:
        """Reads the limits of a tenant now. Returns them."""
        return (await self._apply([tenant_id], self._database.connection(), adds=True))[tenant_id]

    async def _apply(
        self, tenant_ids: list[int], connecting: AbstractAsyncContextManager[Connection], *, adds: bool = False
    ) -> dict[int, SubmissionLimits]:
        """Reads the limits of tenants, and gives them to their limiters. Returns them.

        Args:
            tenant_ids: the tenants.
            connecting: acquires a connection.
            adds: whether to make limiters for tenants that are not known here.
        """
        read = next(self._reads)
        async with connecting as connection:
            found = await self._read(connection, tenant_ids)
        for tenant_id, limits in found.items():
            if adds and tenant_id not in self._known:
                self._known[tenant_id] = self._limiter(tenant_id, limits)
            if (known := self._known.get(tenant_id)) is not None:
                known.apply(limits, read=read)
        return found

    async def set_limits(
        self, tenant_id: int, limits: SubmissionLimits | None, *, by: Actor | None = None
    ) -> SubmissionLimits:
        """Sets the limits of a tenant on all nodes; None restores those of the settings. Returns those in force."""
        async with self._database.connection() as connection, connection.transaction():
            before = (await read_submission_limits(connection, [tenant_id])).get(tenant_id)
            await save_submission_limits(connection, tenant_id, limits)
            entry = AuditEntry("limits.submission.changed", "submissions", _members(before), _members(limits))
            await record_change(connection, tenant_id, by, entry)
        return await self.refresh(tenant_id)

    async def _read(self, connection: Connection, tenant_ids: list[int]) -> dict[int, SubmissionLimits]:
        granted = await read_limits_of(connection, tenant_ids)
        chosen = await read_submission_limits(connection, tenant_ids)
        return {
            tenant_id: limits_in_force(self._settings, granted.get(tenant_id, NO_LIMITS), chosen.get(tenant_id))
            for tenant_id in tenant_ids
        }


def limits_in_force(
    settings: SubmissionLimits, granted: TenantLimits, chosen: SubmissionLimits | None
) -> SubmissionLimits:
    """Returns the limits of a tenant: those that it has chosen at run time, within what the operator has granted.

    Args:
        settings: limits of the settings, for what the operator has not set.
        granted: limits that the operator has set for the tenant.
        chosen: limits that the tenant has set for itself.
    """
    rate = _rate(granted.submit_rate, granted.submit_burst)
    if chosen is None:
        return SubmissionLimits(rate or settings.rate, granted.backlog_limit or settings.backlog)
    backlogs = {queue: _least(limit, granted.backlog_limit) or limit for queue, limit in chosen.backlogs.items()}
    return SubmissionLimits(_slower(chosen.rate, rate), _least(chosen.backlog, granted.backlog_limit), backlogs)


def _slower(first: Rate | None, second: Rate | None) -> Rate | None:
    """Returns the rate that allows less over time."""
    rates = [rate for rate in (first, second) if rate is not None]
    return min(rates, key=lambda rate: rate.count / rate.seconds, default=None)


def _least(first: int | None, second: int | None) -> int | None:
    return min((limit for limit in (first, second) if limit is not None), default=None)


def _members(limits: SubmissionLimits | None) -> dict[str, Any] | None:
    """Returns limits for the audit log."""
    if limits is None:
        return None
    rate = {"count": limits.rate.count, "seconds": limits.rate.seconds} if limits.rate else None
    return {"rate": rate, "backlog": limits.backlog, "backlogs": dict(limits.backlogs)}


def configured_limits(settings: Settings) -> SubmissionLimits:
    """Returns the limits of the settings."""
    return SubmissionLimits(_rate(settings.submit_rate, settings.submit_burst), settings.backlog_limit)


def _rate(per_second: float | None, burst: int | None) -> Rate | None:
    """Returns a rate. The default burst is ten seconds' worth of it."""
    if per_second is None:
        return None
    burst = burst or max(1, round(10 * per_second))
    return Rate(burst, burst / per_second)
