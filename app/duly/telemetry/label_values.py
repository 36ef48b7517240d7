"""Names that clients choose, as values of a label: a limited number have their own series, all others share one.

A counter must never go down, so a name keeps the series that it once has; the series counts from then on only, so the
sum over all series is right. Half of the room is reserved for names that prove busy: names that were first and are seen
once cannot fill it.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from duly.domain.job import DEFAULT_QUEUE

MOST_NAMES = 50
# Names that get a series at first sight; the rest of the room is for names counted `BUSY` times among the others.
AT_FIRST_SIGHT = 25
BUSY = 20
# Names among the others that are counted.
MOST_CANDIDATES = 1_000
OTHER = "other"

Figures = TypeVar("Figures")


class ShownNames:
    """Names with a series of their own, of one counter in one process."""

    def __init__(self) -> None:
        self._shown = {DEFAULT_QUEUE, OTHER}
        self._candidates: Counter[str] = Counter()

    def label(self, name: str, count: int) -> str:
        """Returns the label value under which to count this name `count` times."""
        if name in self._shown:
            return name
        if len(self._shown) < AT_FIRST_SIGHT or (len(self._shown) < MOST_NAMES and self._is_busy(name, count)):
            self._shown.add(name)
            return name
        return OTHER

    def _is_busy(self, name: str, count: int) -> bool:
        self._candidates[name] += count
        if self._candidates[name] >= BUSY:
            del self._candidates[name]
            return True
        if len(self._candidates) > MOST_CANDIDATES:
            self._candidates = Counter(dict(self._candidates.most_common(MOST_CANDIDATES // 2)))
        return False


def busiest(
    figures: Mapping[str, Figures], *, size: Callable[[Figures], float], add: Callable[[Figures, Figures], Figures]
) -> dict[str, Figures]:
    """Returns the largest of these figures by name, and the sum of all others."""
    if len(figures) <= MOST_NAMES:
        return dict(figures)
    largest = set(heapq.nlargest(MOST_NAMES - 2, figures, key=lambda name: size(figures[name]))) | {DEFAULT_QUEUE}
    shown: dict[str, Figures] = {}
    for name, one in figures.items():
        label = name if name in largest else OTHER
        shown[label] = add(shown[label], one) if label in shown else one
    return shown
