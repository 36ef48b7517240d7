"""A node's copy of the claim restrictions: paused queues, limits, open breakers, and when to try again under limits.

A stale copy starts no job that must not start: each claim names the version that it knows, and the database compares it
with the current one.
"""

import time
from collections.abc import Collection, Container, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from duly.domain.job import Lane
from duly.store.queue.claim_limited import ClaimLimits
from duly.store.queue.flow_control import Control, Name
from duly.store.queue.ready import LaneStart


class Backoff(NamedTuple):
    """Time (monotonic clock) until which limits are not tried; `full`: or until a job ends that they count."""

    until: float
    full: bool


class ClaimRestrictions:
    """The claim restrictions as one node knows them.

    Args:
        guarded: the job types whose breakers count; a breaker that was removed from the code restricts nothing.
    """

    def __init__(self, guarded: Collection[str] = ()) -> None:
        self._guarded = frozenset(guarded)
        self._control = Control()
        self._restricted_queues: frozenset[Name] = frozenset()
        self._restricted_types: frozenset[Name] = frozenset()
        self._backoffs: dict[ClaimLimits, Backoff] = {}

    @property
    def version(self) -> int:
        """Version of these restrictions."""
        return self._control.version

    @property
    def any(self) -> bool:
        """True if anything is restricted."""
        return bool(self._restricted_queues or self._restricted_types)

    def update(self, control: Control) -> None:
        """Replaces the restrictions by those read from the database."""
        if control.version != self._control.version:
            self._backoffs.clear()
        broken = frozenset(name for name in control.broken if name[1] in self._guarded)
        self._control = control._replace(broken=broken)
        self._restricted_queues = control.paused | control.queues
        self._restricted_types = control.types | broken

    def breaker_open(self, job_type: str) -> bool:
        """Returns True if the breaker of this type is open for a tenant."""
        return any(broken == job_type for _, broken in self._control.broken)

    def unrestricted(self, lane: Lane) -> bool:
        """Returns True if no pause, limit or open breaker applies to this lane."""
        tenant = lane.tenant_id
        return (tenant, lane.queue) not in self._restricted_queues and (tenant, lane.type) not in self._restricted_types

    def limits_of(self, lane: Lane) -> ClaimLimits | None:
        """Returns the limits that apply to this lane; None if its queue is paused."""
        control, tenant = self._control, lane.tenant_id
        if (tenant, lane.queue) in control.paused:
            return None
        return ClaimLimits(
            tenant,
            queue=lane.queue if (tenant, lane.queue) in control.queues else None,
            type=lane.type if (tenant, lane.type) in control.types else None,
            breaker=lane.type if (tenant, lane.type) in control.broken else None,
        )

    def worth_trying(self, lane: Lane) -> bool:
        """Returns True if a claim of this lane may find a job now."""
        return self.unrestricted(lane) or (
            (limits := self.limits_of(lane)) is not None and not self.backing_off(limits)
        )

    def claims(self, starts: Sequence[LaneStart]) -> Sequence[tuple[ClaimLimits | None, Sequence[LaneStart]]]:
        """Returns the lanes that are claimed together: unrestricted ones under None, others under the limits that they
        share. Keeps the order of the lanes. Tenants without restrictions are claimed together; of another tenant,
        priorities are not mixed.
        """
        if not self.any:
            return [(None, starts)] if starts else []
        tried = [start for start in starts if self.worth_trying(start.lane)]
        if all(self.unrestricted(start.lane) for start in tried):
            return [(None, tried)] if tried else []
        together: dict[tuple[int, int, ClaimLimits | None], list[LaneStart]] = {}
        for tenant, of_tenant in groupby(tried, key=lambda start: start.lane.tenant_id):
            lanes = list(of_tenant)
            free = all(self.unrestricted(start.lane) for start in lanes)
            for start in lanes:
                limits = None if free or self.unrestricted(start.lane) else self.limits_of(start.lane)
                key = (0, 0, None) if free else (tenant, start.lane.priority, limits)
                together.setdefault(key, []).append(start)
        return [(limits, lanes) for (_, _, limits), lanes in together.items()]

    def back_off(self, limits: ClaimLimits, seconds: float, *, full: bool = False) -> None:
        """Stops claims under these limits for some seconds."""
        self._backoffs[limits] = Backoff(time.monotonic() + seconds, full)

    def backing_off(self, limits: ClaimLimits) -> bool:
        """Returns True if these limits are not tried now."""
        backoff = self._backoffs.get(limits)
        return backoff is not None and backoff.until > time.monotonic()

    def ended(self, lanes: Iterable[Lane]) -> bool:
        """Notes that attempts of these lanes ended here. Returns True if limits are worth another try."""
        full = [limits for limits, backoff in self._backoffs.items() if backoff.full]
        if not full:
            return False
        queues, types = set(), set()
        for lane in lanes:
            queues.add((lane.tenant_id, lane.queue))
            types.add((lane.tenant_id, lane.type))
        freed = [limits for limits in full if _counted(limits, queues, types)]
        for limits in freed:
            del self._backoffs[limits]
        return bool(freed)

    def seconds_to_next(self, lanes: Iterable[Lane], *, at_most: float) -> float:
        """Returns the seconds until a claim of these lanes is worth another try."""
        now = time.monotonic()
        all_limits = {limits for lane in lanes if (limits := self.limits_of(lane)) is not None}
        untils = [backoff.until for limits in all_limits if (backoff := self._backoffs.get(limits)) is not None]
        return max(0.001, min([at_most, *(until - now for until in untils)]))


def _counted(limits: ClaimLimits, queues: Container[Name], types: Container[Name]) -> bool:
    """Returns True if these limits count jobs of one of these queues or types."""
    tenant = limits.tenant_id
    return any(
        name is not None and (tenant, name) in ended
        for name, ended in ((limits.queue, queues), (limits.type, types), (limits.breaker, types))
    )
