"""Each receiver's share of a node's posts: it grows with its successes, and one that hangs or fails slows no other."""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from duly.store.webhooks.deliveries import DueDelivery, Rooms

# At once, in all. Those that have not answered well of late, or hang, have half of it at most between them.
CONCURRENT = 512
SUSPECTS = CONCURRENT // 2
CHANCES = CONCURRENT // 4
# At once to one receiver: at first, and at most.
FIRST_WINDOW = 4
LARGEST_WINDOW = 32
# Taken from the outbox in a round; each of several busy receivers has its part of it.
ROUND = 100
# Taken beforehand for one that answers well, for each place it has.
AHEAD = 8
HANGS_SECONDS = 1.0
# So many wait here, and none of them for long: it is not worth while to take more.
SUPPLY = 128
BRISK_SECONDS = 0.25
# What has waited so long for its turn goes back: the receiver is slower than it was.
PATIENCE_SECONDS = 5.0
# One that answers at once has nothing under way most of the time: so long it is still asked for by its window.
RECENT_SECONDS = 10.0
# A bad answer that comes at once costs ten times a good one: its connection is lost, its failure is noted. After some
# of them in a row a receiver rests until its turn comes: a process takes so many bad answers a second, few at a time,
# so that most rounds take nothing but what goes to those that answer well.
BAD_IN_A_ROW = 6
BAD_A_SECOND = 100
REST_SECONDS = 0.1
LONGEST_REST_SECONDS = 5.0
# Shares of receivers that are sent nothing just now.
REMEMBERED = 5_000


class Turn(Enum):
    """What is to be done with a delivery: post it, keep it until others to this receiver end, or put it back."""

    NOW = "now"
    WAITS = "waits"
    CROWDED = "crowded"


@dataclass(slots=True)
class ReceiverWindow:
    """What one receiver has. `started`: when each of its posts under way began, the oldest first; `ended_at`: when the
    last one ended; `bad`: how many in a row did not end well; it is sent nothing more before `rests_until`.
    """

    window: int = FIRST_WINDOW
    proven: bool = False
    bad: int = 0
    ended_at: float = float("-inf")
    rests_until: float = float("-inf")
    started: dict[UUID, float] = field(default_factory=dict)
    waiting: deque[tuple[float, DueDelivery]] = field(default_factory=deque)

    def suspect(self, now: float) -> bool:
        return not self.proven or (bool(self.started) and next(iter(self.started.values())) < now - HANGS_SECONDS)

    @property
    def busy(self) -> bool:
        return bool(self.started or self.waiting)


class ReceiverWindows:
    """Who is posted to now, and what waits here for its turn."""

    def __init__(self) -> None:
        self._shares: dict[UUID, ReceiverWindow] = {}
        self._suspected = 0
        self._largest_window = LARGEST_WINDOW
        self._in_a_round = ROUND
        self._booked_until = float("-inf")

    def rooms(self) -> Rooms:
        """How much more may be taken from the outbox for each."""
        now = time.monotonic()
        self._forget()
        self._suspected = sum(len(share.started) for share in self._shares.values() if share.suspect(now))
        # While those that hang have all that they may have, one that is not known yet is still given a chance.
        others = FIRST_WINDOW if self._suspected < SUSPECTS else int(self._suspected < SUSPECTS + CHANCES)
        # So that the connections to all of them can be kept open.
        busy = sum(share.busy or share.ended_at > now - RECENT_SECONDS for share in self._shares.values())
        self._in_a_round = ROUND // max(busy, 1)
        self._largest_window = min(LARGEST_WINDOW, max(FIRST_WINDOW, CONCURRENT // max(busy, 1)))
        known = {
            receiver_id: self._room(share, now)
            for receiver_id, share in self._shares.items()
            if share.busy or share.ended_at > now - RECENT_SECONDS or (share.proven and others < FIRST_WINDOW)
        }
        return Rooms(known, others)

    def _room(self, share: ReceiverWindow, now: float) -> int:
        """One that answers well has more taken for it than may be posted at once."""
        if share.rests_until > now:
            return 0
        held = len(share.started) + len(share.waiting)
        if not share.suspect(now):
            return max(0, min(share.window * (1 + AHEAD) - held, max(share.window, self._in_a_round)))
        return max(0, min(share.window, FIRST_WINDOW) - held) if self._suspected < SUSPECTS else 0

    def admit(self, delivery: DueDelivery) -> Turn:
        """Gives a delivery its turn; one that is to be posted now is counted as under way."""
        share = self._shares.setdefault(delivery.receiver_id, ReceiverWindow())
        if len(share.started) < share.window and not share.waiting:
            share.started[delivery.delivery_id] = time.monotonic()
            return Turn.NOW
        if len(share.waiting) < share.window * AHEAD:
            share.waiting.append((time.monotonic(), delivery))
            return Turn.WAITS
        return Turn.CROWDED

    def ended(self, delivery: DueDelivery, *, well: bool, cut: bool = False) -> list[DueDelivery]:
        """A post is over: what is to be posted next to its receiver, counted as under way. `cut`: its answer was longer
        than is read, which is no success that makes room for more.
        """
        share = self._shares[delivery.receiver_id]
        share.started.pop(delivery.delivery_id, None)
        share.proven = well and not cut
        share.ended_at = time.monotonic()
        share.bad = 0 if share.proven else share.bad + 1
        if share.proven:
            share.window = min(share.window + 1, self._largest_window)
        elif not well:
            share.window = max(share.window // 2, 1)
        if share.bad >= BAD_IN_A_ROW:
            share.rests_until = self._turn(share.ended_at)
            return []
        following = []
        while share.waiting and len(share.started) < share.window:
            _, next_one = share.waiting.popleft()
            share.started[next_one.delivery_id] = time.monotonic()
            following.append(next_one)
        return following

    def _turn(self, now: float) -> float:
        """Books the time at which the next of those that answer badly may be sent something again."""
        earliest = max(self._booked_until, now) + 1 / BAD_A_SECOND
        self._booked_until = min(earliest, now + LONGEST_REST_SECONDS)
        return math.ceil(self._booked_until / REST_SECONDS) * REST_SECONDS

    @property
    def well_supplied(self) -> bool:
        """Whether much waits where turns come quickly. Behind those that fail or are slow, others must be found."""
        now = time.monotonic()
        waiting = [share.waiting for share in self._shares.values() if share.waiting and not share.suspect(now)]
        return sum(map(len, waiting)) >= SUPPLY and all(queue[0][0] > now - BRISK_SECONDS for queue in waiting)

    def take_stale(self) -> list[DueDelivery]:
        """Takes out and returns deliveries that have waited too long, or wait for a receiver that rests."""
        now = time.monotonic()
        stale = []
        for share in self._shares.values():
            resting = share.bad >= BAD_IN_A_ROW and not share.started
            while share.waiting and (resting or share.waiting[0][0] < now - PATIENCE_SECONDS):
                stale.append(share.waiting.popleft()[1])
        return stale

    def _forget(self) -> None:
        """Those that have been idle longest, roughly: in the order in which they were first met."""
        if len(self._shares) > REMEMBERED:
            idle = [receiver_id for receiver_id, share in self._shares.items() if not share.busy]
            for receiver_id in idle[: len(self._shares) - REMEMBERED]:
                del self._shares[receiver_id]
