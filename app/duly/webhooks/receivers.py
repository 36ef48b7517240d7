"""One receiver's share: what it has under way and what waits for it, so that one that hangs slows no other."""

import time
from collections import Counter, defaultdict, deque
from enum import Enum
from functools import lru_cache
from urllib.parse import urlsplit

from duly.store.deliveries import DueDelivery

UNDER_WAY = 32
WAITING = 512
# A receiver that takes no more than this long for its turn to come is slow or hangs: what waits for it goes back.
PATIENCE_SECONDS = 5.0
# One that takes no more than this long keeps up: it is not worth while to take more from the outbox for it.
BRISK_SECONDS = 0.5


class Turn(Enum):
    """What is to be done with a delivery: post it, keep it until others to this receiver end, or put it back."""

    NOW = "now"
    WAITS = "waits"
    CROWDED = "crowded"


class Receivers:
    """Counts by host and port."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._waiting: defaultdict[str, deque[tuple[float, DueDelivery]]] = defaultdict(deque)
        self._of = lru_cache(maxsize=1024)(_receiver)
        self._waiting_in_all = 0

    def admit(self, delivery: DueDelivery) -> Turn:
        """Gives a delivery its turn; one that is to be posted now is counted as under way."""
        receiver = self._of(delivery.url)
        if self._under_way[receiver] < UNDER_WAY:
            self._under_way[receiver] += 1
            return Turn.NOW
        if len(self._waiting[receiver]) < WAITING:
            self._waiting[receiver].append((time.monotonic(), delivery))
            self._waiting_in_all += 1
            return Turn.WAITS
        return Turn.CROWDED

    def ended(self, delivery: DueDelivery) -> DueDelivery | None:
        """A post is over: the next one for its receiver, counted as under way, or None."""
        receiver = self._of(delivery.url)
        if waiting := self._waiting.get(receiver):
            _, following = waiting.popleft()
            self._waiting_in_all -= 1
            return following
        self._waiting.pop(receiver, None)
        self._under_way[receiver] -= 1
        if not self._under_way[receiver]:
            del self._under_way[receiver]
        return None

    def take_stale(self) -> list[DueDelivery]:
        """What has waited for its turn too long, taken out."""
        limit = time.monotonic() - PATIENCE_SECONDS
        stale = []
        for waiting in self._waiting.values():
            while waiting and waiting[0][0] < limit:
                stale.append(waiting.popleft()[1])
        self._waiting_in_all -= len(stale)
        return stale

    @property
    def well_supplied(self) -> bool:
        """Whether much waits, and all of it where turns come quickly. Behind one that is slow, others must be found."""
        if self._waiting_in_all < WAITING // 2:
            return False
        limit = time.monotonic() - BRISK_SECONDS
        return all(waiting[0][0] > limit for waiting in self._waiting.values() if waiting)


def _receiver(url: str) -> str:
    return urlsplit(url).netloc
