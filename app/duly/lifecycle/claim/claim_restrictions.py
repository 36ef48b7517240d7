"""What a node believes of what holds lanes back, and when those under a limit are worth another try.

A belief lets nothing start that may not: each start names the version it goes by, and the ledger knows the newest.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from duly.domain.job import Lane
from duly.store.queue.claim_limited import Under
from duly.store.queue.flow_control import Control
from duly.store.queue.ready import LaneStart


class Backoff(NamedTuple):
    """Until when limits are left alone, on the monotonic clock; `full`: or until something ends that they count."""

    until: float
    full: bool


class ClaimRestrictions:
    """What one node knows.

    Args:
        guarded: the job types whose breakers count; one whose breaker was taken out of the code holds nothing back.
    """

    def __init__(self, guarded: Collection[str] = ()) -> None:
        self._guarded = frozenset(guarded)
        self._control = Control()
        self._held_queues: frozenset[str] = frozenset()
        self._held_types: frozenset[str] = frozenset()
        self._backoffs: dict[Under, Backoff] = {}

    @property
    def version(self) -> int:
        return self._control.version

    @property
    def any(self) -> bool:
        """Whether anything is held back at all."""
        return bool(self._held_queues or self._held_types)

    def update(self, control: Control) -> None:
        """The truth of a moment."""
        if control.version != self._control.version:
            self._backoffs.clear()
        self._control = control._replace(broken=control.broken & self._guarded)
        self._held_queues = control.paused | control.queues
        self._held_types = control.types | self._control.broken

    def breaker_open(self, job_type: str) -> bool:
        """Whether the breaker of this type is open."""
        return job_type in self._control.broken

    def unrestricted(self, lane: Lane) -> bool:
        """Whether nothing holds this lane back: neither a pause nor a limit nor an open breaker."""
        return lane.queue not in self._held_queues and lane.type not in self._held_types

    def under(self, lane: Lane) -> Under | None:
        """The limits that count for this lane; None where its queue is paused."""
        control = self._control
        if lane.queue in control.paused:
            return None
        return Under(
            queue=lane.queue if lane.queue in control.queues else None,
            type=lane.type if lane.type in control.types else None,
            breaker=lane.type if lane.type in control.broken else None,
        )

    def worth_trying(self, lane: Lane) -> bool:
        """Whether a claim of this lane may find something now."""
        return self.unrestricted(lane) or ((under := self.under(lane)) is not None and not self.backing_off(under))

    def claims(self, starts: Sequence[LaneStart]) -> Sequence[tuple[Under | None, Sequence[LaneStart]]]:
        """These lanes as they are claimed together: free ones under None, others under the limits that they share. The
        order stays that of the lanes; higher priorities are not mixed with lower ones where there are limits.
        """
        if not self.any:
            return [(None, starts)] if starts else []
        tried = [start for start in starts if self.worth_trying(start.lane)]
        if all(self.unrestricted(start.lane) for start in tried):
            return [(None, tried)] if tried else []
        together: dict[tuple[int, Under | None], list[LaneStart]] = {}
        for start in tried:
            under = None if self.unrestricted(start.lane) else self.under(start.lane)
            together.setdefault((start.lane.priority, under), []).append(start)
        return [(under, lanes) for (_, under), lanes in together.items()]

    def back_off(self, under: Under, seconds: float, *, full: bool = False) -> None:
        """Nothing more can start under these limits for so long, as far as is known."""
        self._backoffs[under] = Backoff(time.monotonic() + seconds, full)

    def backing_off(self, under: Under) -> bool:
        rest = self._backoffs.get(under)
        return rest is not None and rest.until > time.monotonic()

    def ended(self, lanes: Iterable[Lane]) -> bool:
        """Attempts of these lanes have ended here. Returns whether limits are worth another try for it."""
        full = [under for under, rest in self._backoffs.items() if rest.full]
        if not full:
            return False
        queues, types = set(), set()
        for lane in lanes:
            queues.add(lane.queue)
            types.add(lane.type)
        freed = [under for under in full if under.queue in queues or under.type in types or under.breaker in types]
        for under in freed:
            del self._backoffs[under]
        return bool(freed)

    def seconds_to_next(self, lanes: Iterable[Lane], *, at_most: float) -> float:
        """How long until a claim of these lanes is worth another try."""
        now = time.monotonic()
        unders = {under for lane in lanes if (under := self.under(lane)) is not None}
        untils = [rest.until for under in unders if (rest := self._backoffs.get(under)) is not None]
        return max(0.001, min([at_most, *(until - now for until in untils)]))
