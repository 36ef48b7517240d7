"""Rates of jobs submitted and ended in this process within the last minute, by queue."""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 5.0
# Clients choose the names of queues: only the busiest are counted.
MOST_QUEUES = 200


@dataclass(slots=True)
class _Slot:
    """Counts of a few seconds."""

    began_at: float
    submitted: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)


class QueueRates:
    """Counts of one process. Each process writes its own to the table of nodes; readers add them up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._slots = deque([_Slot(self._began_at)])

    def submitted(self, queues: Iterable[str]) -> None:
        """Counts submitted jobs, one for each of these queues."""
        _count(self._slot().submitted, queues)

    def ended(self, queues: Iterable[str]) -> None:
        """Counts ended jobs, one for each of these queues."""
        _count(self._slot().ended, queues)

    def per_second(self) -> dict[str, tuple[float, float]]:
        """Returns jobs per second into and out of each queue, over the last minute or since the start."""
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
        """Returns the rates as a JSON object."""
        return json.dumps(self.per_second(), ensure_ascii=False)

    def _slot(self) -> _Slot:
        """Returns the current slot, and drops slots older than the window."""
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
