"""Rates of jobs submitted and ended in this process within the last minute, by queue."""

import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from duly.domain.rate_keys import Queue, rate_key

WINDOW_SECONDS = 60.0
SLOT_SECONDS = 5.0
# Clients choose the names of queues: only the busiest are counted. The busiest one of each tenant comes first, then the
# second ones, so that a tenant with many queues does not hide those of others.
MOST_QUEUES = 200


@dataclass(slots=True)
class _Slot:
    """Counts of a few seconds."""

    began_at: float
    submitted: Counter[Queue] = field(default_factory=Counter)
    ended: Counter[Queue] = field(default_factory=Counter)


class QueueRates:
    """Counts of one process. Each process writes its own to the table of nodes; readers add them up."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._slots = deque([_Slot(self._began_at)])

    def submitted(self, jobs: Iterable[Queue] | Mapping[Queue, int]) -> None:
        """Counts submitted jobs: their number by queue, or one for each of these queues."""
        _count(self._slot().submitted, jobs)

    def ended(self, jobs: Iterable[Queue] | Mapping[Queue, int]) -> None:
        """Counts ended jobs, as `submitted` does."""
        _count(self._slot().ended, jobs)

    def per_second(self) -> dict[Queue, tuple[float, float]]:
        """Returns jobs per second into and out of each queue, over the last minute or since the start."""
        self._slot()
        seconds = min(max(self._clock() - self._began_at, 1.0), WINDOW_SECONDS)
        submitted: Counter[Queue] = Counter()
        ended: Counter[Queue] = Counter()
        for slot in self._slots:
            submitted.update(slot.submitted)
            ended.update(slot.ended)
        shown = _busiest(submitted + ended)
        return {queue: (round(submitted[queue] / seconds, 3), round(ended[queue] / seconds, 3)) for queue in shown}

    def as_json(self) -> str:
        """Returns the rates as a JSON object."""
        return json.dumps({rate_key(queue): rates for queue, rates in self.per_second().items()}, ensure_ascii=False)

    def _slot(self) -> _Slot:
        """Returns the current slot, and drops slots older than the window."""
        now = self._clock()
        if now >= self._slots[-1].began_at + SLOT_SECONDS:
            self._slots.append(_Slot(now))
        while self._slots[0].began_at <= now - WINDOW_SECONDS:
            self._slots.popleft()
        return self._slots[-1]


def _count(counter: Counter[Queue], jobs: Iterable[Queue] | Mapping[Queue, int]) -> None:
    counter.update(jobs)
    if len(counter) > 2 * MOST_QUEUES:
        kept = set(_busiest(counter))
        for queue in [queue for queue in counter if queue not in kept]:
            del counter[queue]


def _busiest(counter: Counter[Queue]) -> list[Queue]:
    """Returns the queues with the highest counts, at most `MOST_QUEUES`."""
    ranks: Counter[int] = Counter()
    ranked = []
    for queue, count in counter.most_common():
        ranks[queue[0]] += 1
        ranked.append((ranks[queue[0]], -count, queue))
    return [queue for *_, queue in sorted(ranked)[:MOST_QUEUES]]
