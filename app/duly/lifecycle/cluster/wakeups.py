"""Hints: what one part of a node, or another node, ought to look at. A hint may be lost; all who get one also poll."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from duly.domain.job import Lane
from duly.lifecycle.cluster.follow_filter import ALL_JOBS, FollowFilter, buckets_of


def _ignore(*_: object) -> None:
    """For parts that this node does not run."""


@dataclass(slots=True)
class LocalWakeups:
    """What the parts of this node do with each hint; the composition root fills it in."""

    ready: Callable[[Lane, UUID], None] = _ignore
    submitted: Callable[[Iterable[str]], None] = _ignore
    scheduled: Callable[[float], None] = _ignore
    changed: Callable[[Iterable[UUID]], None] = _ignore
    deliveries: Callable[[], None] = _ignore
    follow_ups: Callable[[], None] = _ignore
    restrictions: Callable[[], None] = _ignore
    cancel: Callable[[UUID], None] = _ignore
    ledger_grew: Callable[[], None] = _ignore


@dataclass(slots=True)
class Wakeups:
    """Tells this node's listeners at once, and notes what the other nodes should hear."""

    local: LocalWakeups = field(default_factory=LocalWakeups)
    greeted: bool = False  # by a new node, since what is followed here was said last
    alone: bool = True  # no other node is listed: nothing needs to be sent
    wake_sender: Callable[[], None] | None = None  # none: nobody sends, everybody polls
    _ready: dict[Lane, UUID] = field(default_factory=dict)
    _changed: dict[UUID, None] = field(default_factory=dict)
    _cancels: list[UUID] = field(default_factory=list)
    _deliveries: bool = False
    _follow_ups: bool = False
    _restrictions: bool = False
    _ledger_grew: bool = False
    _follows_everything: bool = False
    _followed: int = 0
    _followed_still: int | None = None
    follow_filter: FollowFilter = field(default_factory=FollowFilter)

    def ready(self, lane: Lane, oldest: UUID) -> None:
        """Jobs stand ready in this lane, none of the new ones older than `oldest`."""
        self.local.ready(lane, oldest)
        if wake := self._sender():
            if lane in self._ready or len(self._ready) < _MOST_LANES:
                self._ready[lane] = min(self._ready.get(lane, oldest), oldest)
            wake()

    def changed(self, job_ids: Collection[UUID]) -> None:
        """These jobs have a newer sequence."""
        self.local.changed(job_ids)
        self.ledger_grew()
        if (wake := self._sender()) and (followed := self.follow_filter.followed_elsewhere(job_ids)):
            self._changed.update(dict.fromkeys(followed))
            wake()

    def submitted(self, queues: Iterable[str]) -> None:
        """Jobs were recorded: of each, its queue."""
        self.local.submitted(queues)
        self.ledger_grew()

    def ledger_grew(self) -> None:
        """The ledger has grown."""
        self.local.ledger_grew()
        if (wake := self._sender()) and self.follow_filter.everything:
            self._ledger_grew = True
            wake()

    def follow_job(self, job_id: UUID) -> bool:
        """Somebody here follows this job now. Returns whether other nodes have to hear of it first."""
        if wake := self._sender():
            self._followed |= buckets_of([job_id])
            wake()
        return wake is not None

    def follow_all(self, followed: bool) -> None:  # noqa: FBT001  # what it says
        """Whether somebody here follows all jobs now."""
        self._follows_everything = followed
        if followed and (wake := self._sender()):
            self._followed |= ALL_JOBS
            wake()

    def repeat_follows(self, job_ids: Iterable[UUID]) -> None:
        """All that is followed here; said again and again, for a hint may be lost, and a node be new."""
        self.greeted = False
        self.follow_filter.expire()
        if self._sender():
            self._followed_still = buckets_of(job_ids) | (ALL_JOBS if self._follows_everything else 0)

    def deliveries(self) -> None:
        """The outbox holds something new."""
        self.local.deliveries()
        if wake := self._sender():
            self._deliveries = True
            wake()

    def follow_ups(self) -> None:
        """A job has ended that other jobs, or a batch, are to hear of."""
        self.local.follow_ups()
        if wake := self._sender():
            self._follow_ups = True
            wake()

    def restrictions(self) -> None:
        """What holds claims back has changed."""
        self.local.restrictions()
        if wake := self._sender():
            self._restrictions = True
            wake()

    def cancel(self, job_id: UUID) -> None:
        """Somebody wants this running job cancelled."""
        self.local.cancel(job_id)
        if wake := self._sender():
            self._cancels.append(job_id)
            wake()

    def _sender(self) -> Callable[[], None] | None:
        """Wakes who sends; None where nothing is to be sent, and so nothing may gather."""
        return None if self.alone else self.wake_sender

    def take_outgoing(self) -> list[list[object]]:
        """What to send to other nodes, emptied by the call."""
        hints: list[list[object]] = [["ready", *lane, str(oldest)] for lane, oldest in self._ready.items()]
        changed = [str(job_id) for job_id in self._changed]
        hints += [["changed", *changed[start : start + _IDS_A_HINT]] for start in range(0, len(changed), _IDS_A_HINT)]
        hints += [["cancel", str(job_id)] for job_id in self._cancels]
        hints += [["deliveries"]] if self._deliveries else []
        hints += [["consequences"]] if self._follow_ups else []
        hints += [["control"]] if self._restrictions else []
        hints += [["news"]] if self._ledger_grew else []
        if self._followed_still is not None:
            hints.append(["follows-still", self.follow_filter.name, f"{self._followed_still:x}"])
        elif self._followed:
            hints.append(["follows", self.follow_filter.name, f"{self._followed:x}"])
        self._ready, self._changed, self._cancels, self._deliveries = {}, {}, [], False
        self._followed, self._followed_still = 0, None
        self._follow_ups = self._restrictions = self._ledger_grew = False
        return hints

    def receive(self, hint: Any) -> None:
        """Acts on a hint of another node; one that is not understood (a newer version's) is passed over."""
        try:
            act = self._meaning_of(hint)
        except (AttributeError, TypeError, ValueError):  # what should be an id is none
            return
        act()

    def _meaning_of(self, hint: Any) -> Callable[[], None]:  # noqa: PLR0911  # a table, one return a row
        match hint:
            case ["ready", str(queue), str(type_), int(priority), str(oldest)]:
                return partial(self.local.ready, Lane(queue, type_, priority), UUID(oldest))
            case ["changed", *job_ids]:
                return partial(self.local.changed, [UUID(job_id) for job_id in job_ids])
            case ["cancel", str(job_id)]:
                return partial(self.local.cancel, UUID(job_id))
            case ["deliveries"]:
                return self.local.deliveries
            case ["consequences"]:
                return self.local.follow_ups
            case ["control"]:
                return self.local.restrictions
            case ["news"]:
                return self.local.ledger_grew
            case ["follows" | "follows-still" as what, str(name), str(mask)]:
                return partial(self.follow_filter.heard, name, int(mask, 16), anew=what == "follows-still")
            case ["hello"]:
                return self._not_alone
            case _:
                return _ignore

    def _not_alone(self) -> None:
        """A new node: it has not heard yet what is followed here."""
        self.alone = False
        self.greeted = True
        if self.wake_sender:
            self.wake_sender()


# Clients choose their names. Lanes beyond these are found by the other nodes' own look, within a second.
_MOST_LANES = 1_000
_IDS_A_HINT = 150  # a NOTIFY carries less than 8,000 bytes
