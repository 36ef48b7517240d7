"""Rates: how many jobs of each queue came to this process and ended in it within the last minute."""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 5.0
# Clients choose the names of queues: of so many at most, the busiest, is kept count.
MOST_QUEUES = 200


@dataclass(slots=True)
class _Slot:
    """What happened within a few seconds."""

    began_at: float
    submitted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)


class QueueRates:
    """Counts for one process; every process writes its own to the list of nodes, and a reader adds them up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._slots = deque([_Slot(self._began_at)])

    def submitted(self, queues: Iterable[str]) -> None:
        """Jobs were recorded, one in each of these queues."""
        _count(self._slot().submitted, queues)

    def ended(self, queues: Iterable[str]) -> None:
        """Jobs of these queues have ended."""
        _count(self._slot().ended, queues)

    def per_second(self) -> dict[str, tuple[float, float]]:
        """In and out of each queue, over the last minute or for as long as this process runs."""
        self._slot()
        seconds = min(max(self._clock() - self._began_at, 1.0), WINDOW_SECONDS)
        submitted: Counter[str] = Counter()
        ended: Counter[str] = Counter()
        for slot in self._slots:
            submitted.update(slot.submitted)
            ended.update(slot.ended)
        busiest = (submitted + ended).most_common(MOST_QUEUES)
        return {queue: (round(submitted[queue] / seconds, 3), round(ended[queue] / seconds, 3)) for queue, _ in busiest}

    def as_json(self) -> str:
        return json.dumps(self.per_second(), ensure_ascii=False)

    def _slot(self) -> _Slot:
        """The one of this moment; those that are older than the window are let go."""
        now = self._clock()
        if now >= self._slots[-1].began_at + SLOT_SECONDS:
            self._slots.append(_Slot(now))
        while self._slots[0].began_at <= now - WINDOW_SECONDS:
            self._slots.popleft()
        return self._slots[-1]


def _count(counter: Counter[str], queues: Iterable[str]) -> None:
    counter.update(queues)
    if len(counter) > MOST_QUEUES:
        for queue, _ in counter.most_common()[MOST_QUEUES:]:
            del counter[queue]
