"""Wake-ups: hints that something changed, for the parts of this node and for other nodes.

A wake-up may be lost: everything that gets wake-ups also polls.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from duly.domain.job import DEFAULT_TENANT, Lane
from duly.domain.rate_keys import Queue
from duly.lifecycle.cluster.follow_filter import ALL_JOBS, FollowFilter, buckets_of


def _ignore(*_: object) -> None:
    """Ignores a wake-up: this node does not run the part."""


@dataclass(slots=True)
class LocalWakeups:
    """Actions of this node's parts on each wake-up, filled in by the node."""

    ready: Callable[[Lane, UUID], None] = _ignore
    submitted: Callable[[Iterable[Queue]], None] = _ignore
    scheduled: Callable[[float], None] = _ignore
    changed: Callable[[Iterable[UUID]], None] = _ignore
    deliveries: Callable[[], None] = _ignore
    follow_ups: Callable[[], None] = _ignore
    restrictions: Callable[[], None] = _ignore
    cancel: Callable[[UUID], None] = _ignore
    keys: Callable[[], None] = _ignore
    job_types: Callable[[], None] = _ignore
    ledger_grew: Callable[[], None] = _ignore
    inbox: Callable[[], None] = _ignore


@dataclass(slots=True)
class Wakeups:
    """Wakes the parts of this node at once, and collects wake-ups for the other nodes.

    Attributes:
        local: actions on this node.
        has_new_node: True if a node has started since the follows of this node were last repeated.
        alone: True if no other node is listed: nothing needs to be sent.
        heard: number of wake-ups of other nodes that were understood.
        wake_sender: wakes the loop that sends; None without LISTEN and NOTIFY.
        follow_filter: what the other nodes follow.
    """

    local: LocalWakeups = field(default_factory=LocalWakeups)
    has_new_node: bool = False
    alone: bool = True
    heard: int = 0
    wake_sender: Callable[[], None] | None = None
    _ready: dict[Lane, UUID] = field(default_factory=dict)
    _changed: dict[UUID, None] = field(default_factory=dict)
    _cancels: list[UUID] = field(default_factory=list)
    _deliveries: bool = False
    _follow_ups: bool = False
    _restrictions: bool = False
    _keys: bool = False
    _job_types: bool = False
    _ledger_grew: bool = False
    _follows_all: bool = False
    _followed: int = 0
    _followed_again: int | None = None
    follow_filter: FollowFilter = field(default_factory=FollowFilter)

    def ready(self, lane: Lane, oldest: UUID) -> None:
        """Reports new ready jobs in this lane, none older than `oldest`."""
        self.local.ready(lane, oldest)
        if wake := self._sender():
            if lane in self._ready or len(self._ready) < _MOST_LANES:
                self._ready[lane] = min(self._ready.get(lane, oldest), oldest)
            wake()

    def changed(self, job_ids: Collection[UUID]) -> None:
        """Reports jobs that have a new event."""
        self.local.changed(job_ids)
        self.ledger_grew()
        if (wake := self._sender()) and (followed := self.follow_filter.followed_elsewhere(job_ids)):
            self._changed.update(dict.fromkeys(followed))
            wake()

    def submitted(self, queues: Iterable[Queue]) -> None:
        """Reports submitted jobs by the queue of each."""
        self.local.submitted(queues)
        self.ledger_grew()

    def ledger_grew(self) -> None:
        """Reports that the ledger has new events."""
        self.local.ledger_grew()
        if (wake := self._sender()) and self.follow_filter.all_followed:
            self._ledger_grew = True
            wake()

    def follow_job(self, job_id: UUID) -> bool:
        """Announces that this job is followed here. Returns True if other nodes have to be notified first."""
        if wake := self._sender():
            self._followed |= buckets_of([job_id])
            wake()
        return wake is not None

    def follow_all(self, followed: bool) -> None:  # noqa: FBT001  # the value to announce
        """Announces whether all jobs are followed here."""
        self._follows_all = followed
        if followed and (wake := self._sender()):
            self._followed |= ALL_JOBS
            wake()

    def repeat_follows(self, job_ids: Iterable[UUID]) -> None:
        """Announces all that is followed here again, since wake-ups may be lost and nodes be new."""
        self.has_new_node = False
        self.follow_filter.expire()
        if self._sender():
            self._followed_again = buckets_of(job_ids) | (ALL_JOBS if self._follows_all else 0)

    def deliveries(self) -> None:
        """Reports new deliveries in the outbox."""
        self.local.deliveries()
        if wake := self._sender():
            self._deliveries = True
            wake()

    def follow_ups(self) -> None:
        """Reports an ended job that has follow-ups."""
        self.local.follow_ups()
        if wake := self._sender():
            self._follow_ups = True
            wake()

    def restrictions(self) -> None:
        """Reports changed claim restrictions."""
        self.local.restrictions()
        if wake := self._sender():
            self._restrictions = True
            wake()

    def keys(self) -> None:
        """Reports changed API keys or tenants."""
        self.local.keys()
        if wake := self._sender():
            self._keys = True
            wake()

    def job_types(self) -> None:
        """Reports changed declared job types."""
        self.local.job_types()
        if wake := self._sender():
            self._job_types = True
            wake()

    def cancel(self, job_id: UUID) -> None:
        """Reports a cancel request for a running job."""
        self.local.cancel(job_id)
        if wake := self._sender():
            self._cancels.append(job_id)
            wake()

    def _sender(self) -> Callable[[], None] | None:
        """Returns what wakes the sender; None if nothing is to be sent, so nothing may be collected."""
        return None if self.alone else self.wake_sender

    def take_outgoing(self) -> list[list[object]]:
        """Returns the wake-ups for other nodes, and forgets them. Their names are fixed: nodes of other releases read
        them.
        """
        messages = [_ready_message(lane, oldest) for lane, oldest in self._ready.items()]
        changed = [str(job_id) for job_id in self._changed]
        messages += [
            ["changed", *changed[start : start + _IDS_A_MESSAGE]] for start in range(0, len(changed), _IDS_A_MESSAGE)
        ]
        messages += [["cancel", str(job_id)] for job_id in self._cancels]
        messages += [["deliveries"]] if self._deliveries else []
        messages += [["consequences"]] if self._follow_ups else []
        messages += [["control"]] if self._restrictions else []
        messages += [["keys"]] if self._keys else []
        messages += [["job-types"]] if self._job_types else []
        messages += [["news"]] if self._ledger_grew else []
        if self._followed_again is not None:
            messages.append(["follows-still", self.follow_filter.name, f"{self._followed_again:x}"])
        elif self._followed:
            messages.append(["follows", self.follow_filter.name, f"{self._followed:x}"])
        self._ready, self._changed, self._cancels, self._deliveries = {}, {}, [], False
        self._followed, self._followed_again = 0, None
        self._follow_ups = self._restrictions = self._keys = self._job_types = self._ledger_grew = False
        return messages

    def receive(self, message: Any) -> None:
        """Acts on a wake-up of another node; ignores one that is not understood, such as a newer release's."""
        try:
            act = self._action_of(message)
        except (AttributeError, TypeError, ValueError):  # an id or a mask is malformed
            return
        self.heard += 1
        self.alone = False  # a node that began to listen later than its sender has missed the hello
        act()

    def _action_of(  # noqa: C901, PLR0911, PLR0912  # a table, one return a row
        self, message: Any
    ) -> Callable[[], None]:
        """Returns the action for a wake-up of another node."""
        match message:
            case ["ready", str(queue), str(type_), int(priority), str(oldest), *tenant]:
                return partial(self.local.ready, Lane(_tenant_of(tenant), queue, type_, priority), UUID(oldest))
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
            case ["keys"]:
                return self.local.keys
            case ["job-types"]:
                return self.local.job_types
            case ["inbox"]:
                return self.local.inbox
            case ["news"]:
                return self.local.ledger_grew
            case ["follows" | "follows-still" as kind, str(name), str(mask)]:
                return partial(self.follow_filter.note, name, int(mask, 16), replace=kind == "follows-still")
            case ["hello"]:
                return self._not_alone
            case _:
                return _ignore

    def _not_alone(self) -> None:
        """Notes a new node, which does not know yet what is followed here."""
        self.alone = False
        self.has_new_node = True
        if self.wake_sender:
            self.wake_sender()


def _ready_message(lane: Lane, oldest: UUID) -> list[object]:
    """Returns the wake-up for a lane. The default tenant is not named: nodes of the previous release do not know it."""
    tenant = [] if lane.tenant_id == DEFAULT_TENANT else [lane.tenant_id]
    return ["ready", lane.queue, lane.type, lane.priority, str(oldest), *tenant]


def _tenant_of(rest: list[Any]) -> int:
    """Returns the tenant at the end of a wake-up for a lane."""
    match rest:
        case []:
            return DEFAULT_TENANT
        case [int(tenant_id)]:
            return tenant_id
        case _:
            raise ValueError(rest)


# Clients choose the names of lanes. Jobs in further lanes are found by other nodes' regular look, within a second.
_MOST_LANES = 1_000
_IDS_A_MESSAGE = 150  # a NOTIFY carries less than 8,000 bytes
