"""Windows of receivers: each receiver's share of a node's posts, which grows with successes, so that one that hangs or
fails slows no other.
"""

import math
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from duly.store.webhooks.take_deliveries import DueDelivery, Rooms

# Posts at once in total. Receivers without a recent success, or that hang, share at most half of it.
CONCURRENT = 512
SUSPECTS = CONCURRENT // 2
CHANCES = CONCURRENT // 4
# Posts at once to one receiver: initially, and at most.
FIRST_WINDOW = 4
LARGEST_WINDOW = 32
# Deliveries taken from the outbox in a round, shared by busy receivers.
ROUND = 100
# Deliveries fetched in advance for each post of a receiver that succeeds.
AHEAD = 8
HANGS_SECONDS = 1.0
# With this many waiting deliveries, none of them for long, no more are taken.
SUPPLY = 128
BRISK_SECONDS = 0.25
# A delivery that has waited this long is put back: the receiver has become slower.
PATIENCE_SECONDS = 5.0
# A fast receiver has nothing in progress most of the time; its window applies for this long.
RECENT_SECONDS = 10.0
# An immediate failure costs ten times a success: the connection is lost, the failure is recorded. After some
# consecutive failures a receiver rests until its turn: a process handles a limited number of failures per second, so
# that most rounds take deliveries to working receivers only.
BAD_IN_A_ROW = 6
BAD_A_SECOND = 100
REST_SECONDS = 0.1
LONGEST_REST_SECONDS = 5.0
# Windows kept for idle receivers.
REMEMBERED = 5_000


class Turn(Enum):
    """Decision about a delivery: post it, keep it until posts to its receiver end, or put it back."""

    NOW = "now"
    WAITS = "waits"
    CROWDED = "crowded"


@dataclass(slots=True)
class ReceiverWindow:
    """State of one receiver. `started`: start times of its posts in progress, oldest first; `ended_at`: end of the last
    one; `bad`: number of consecutive posts that failed; it is sent nothing before `rests_until`.
    """

    window: int = FIRST_WINDOW
    proven: bool = False
    bad: int = 0
    ended_at: float = float("-inf")
    rests_until: float = float("-inf")
    started: dict[UUID, float] = field(default_factory=dict)
    waiting: deque[tuple[float, DueDelivery]] = field(default_factory=deque)

    def suspect(self, now: float) -> bool:
        """Returns whether the receiver has not succeeded of late, or has a post that hangs."""
        return not self.proven or (bool(self.started) and next(iter(self.started.values())) < now - HANGS_SECONDS)

    @property
    def busy(self) -> bool:
        """Returns whether deliveries are in progress or waiting."""
        return bool(self.started or self.waiting)


class ReceiverWindows:
    """Posts in progress and waiting deliveries of all receivers."""

    def __init__(self) -> None:
        self._shares: dict[UUID, ReceiverWindow] = {}
        self._suspected = 0
        self._largest_window = LARGEST_WINDOW
        self._in_a_round = ROUND
        self._booked_until = float("-inf")

    def rooms(self) -> Rooms:
        """Returns how many more deliveries may be taken from the outbox for each receiver."""
        now = time.monotonic()
        self._forget()
        self._suspected = sum(len(share.started) for share in self._shares.values() if share.suspect(now))
        # While hanging receivers use their whole share, an unknown one still gets a chance.
        others = FIRST_WINDOW if self._suspected < SUSPECTS else int(self._suspected < SUSPECTS + CHANCES)
        # So that connections to all of them can be kept open.
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
        """Returns the room of one receiver. For one that succeeds more is taken than may be posted at once."""
        if share.rests_until > now:
            return 0
        held = len(share.started) + len(share.waiting)
        if not share.suspect(now):
            return max(0, min(share.window * (1 + AHEAD) - held, max(share.window, self._in_a_round)))
        return max(0, min(share.window, FIRST_WINDOW) - held) if self._suspected < SUSPECTS else 0

    def admit(self, delivery: DueDelivery) -> Turn:
        """Decides about a delivery; one to be posted now counts as in progress."""
        share = self._shares.setdefault(delivery.receiver_id, ReceiverWindow())
        if len(share.started) < share.window and not share.waiting:
            share.started[delivery.delivery_id] = time.monotonic()
            return Turn.NOW
        if len(share.waiting) < share.window * AHEAD:
            share.waiting.append((time.monotonic(), delivery))
            return Turn.WAITS
        return Turn.CROWDED

    def ended(self, delivery: DueDelivery, *, well: bool, cut: bool = False) -> list[DueDelivery]:
        """Records the end of a post. Returns deliveries to post next to its receiver, which count as in progress.
        `cut`: the response was longer than the limit, which does not count as a success.
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
        """Reserves the time at which the next failing receiver may be sent something again."""
        earliest = max(self._booked_until, now) + 1 / BAD_A_SECOND
        self._booked_until = min(earliest, now + LONGEST_REST_SECONDS)
        return math.ceil(self._booked_until / REST_SECONDS) * REST_SECONDS

    @property
    def well_supplied(self) -> bool:
        """Returns whether enough deliveries wait for fast receivers. Behind failing or slow ones, others
        must be found.
        """
        now = time.monotonic()
        waiting = [share.waiting for share in self._shares.values() if share.waiting and not share.suspect(now)]
        return sum(map(len, waiting)) >= SUPPLY and all(queue[0][0] > now - BRISK_SECONDS for queue in waiting)

    def take_stale(self) -> list[DueDelivery]:
        """Removes and returns deliveries that have waited too long, or whose receiver rests."""
        now = time.monotonic()
        stale = []
        for share in self._shares.values():
            resting = share.bad >= BAD_IN_A_ROW and not share.started
            while share.waiting and (resting or share.waiting[0][0] < now - PATIENCE_SECONDS):
                stale.append(share.waiting.popleft()[1])
        return stale

    def _forget(self) -> None:
        """Forgets receivers that have been idle longest, approximately: in the order of their first delivery."""
        if len(self._shares) > REMEMBERED:
            idle = [receiver_id for receiver_id, share in self._shares.items() if not share.busy]
            for receiver_id in idle[: len(self._shares) - REMEMBERED]:
                del self._shares[receiver_id]
