"""Hints: what one part of a node, or another node, ought to look at. A hint may be lost; all who get one also poll."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from duly.domain.job import Lane


def _nothing(*_: object) -> None:
    """For parts that this node does not run."""


@dataclass(slots=True)
class Listeners:
    """What the parts of this node do with each hint; the composition root fills it in."""

    ready: Callable[[Lane, UUID], None] = _nothing
    scheduled: Callable[[float], None] = _nothing
    changed: Callable[[Iterable[UUID]], None] = _nothing
    deliveries: Callable[[], None] = _nothing
    cancel: Callable[[UUID], None] = _nothing


@dataclass(slots=True)
class Signals:
    """Tells this node's listeners at once, and notes what the other nodes should hear."""

    local: Listeners = field(default_factory=Listeners)
    alone: bool = True  # no other node is listed: nothing needs to be sent
    wake_sender: Callable[[], None] | None = None  # none: nobody sends, everybody polls
    _ready: dict[Lane, UUID] = field(default_factory=dict)
    _changed: dict[UUID, None] = field(default_factory=dict)
    _cancels: list[UUID] = field(default_factory=list)
    _deliveries: bool = False

    def ready(self, lane: Lane, oldest: UUID) -> None:
        """Jobs stand ready in this lane, none of the new ones older than `oldest`."""
        self.local.ready(lane, oldest)
        if wake := self._sender():
            self._ready[lane] = min(self._ready.get(lane, oldest), oldest)
            wake()

    def changed(self, job_ids: Iterable[UUID]) -> None:
        """These jobs have a newer sequence."""
        self.local.changed(job_ids)
        if wake := self._sender():
            self._changed.update(dict.fromkeys(job_ids))
            wake()

    def deliveries(self) -> None:
        """The outbox holds something new."""
        self.local.deliveries()
        if wake := self._sender():
            self._deliveries = True
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

    def take(self) -> list[list[object]]:
        """What to send to other nodes, emptied by the call."""
        hints: list[list[object]] = [["ready", *lane, str(oldest)] for lane, oldest in self._ready.items()]
        changed = [str(job_id) for job_id in self._changed]
        hints += [["changed", *changed[start : start + _IDS_A_HINT]] for start in range(0, len(changed), _IDS_A_HINT)]
        hints += [["cancel", str(job_id)] for job_id in self._cancels]
        hints += [["deliveries"]] if self._deliveries else []
        self._ready, self._changed, self._cancels, self._deliveries = {}, {}, [], False
        return hints

    def hear(self, hint: Any) -> None:
        """Acts on a hint of another node; one that is not understood (a newer version's) is passed over."""
        try:
            act = self._meaning_of(hint)
        except (AttributeError, TypeError, ValueError):  # what should be an id is none
            return
        act()

    def _meaning_of(self, hint: Any) -> Callable[[], None]:
        match hint:
            case ["ready", str(queue), str(type_), int(priority), str(oldest)]:
                return partial(self.local.ready, Lane(queue, type_, priority), UUID(oldest))
            case ["changed", *job_ids]:
                return partial(self.local.changed, [UUID(job_id) for job_id in job_ids])
            case ["cancel", str(job_id)]:
                return partial(self.local.cancel, UUID(job_id))
            case ["deliveries"]:
                return self.local.deliveries
            case ["hello"]:
                return self._not_alone
            case _:
                return _nothing

    def _not_alone(self) -> None:
        self.alone = False


_IDS_A_HINT = 150  # a NOTIFY carries less than 8,000 bytes
