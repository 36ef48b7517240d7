"""Label values for names that clients choose: a limited number get a series of their own, all others share one.

A counter must never decrease, so a name keeps its series, which counts from then on only: the sum over all series is
right. Half of the series are reserved for busy names, so that names seen once cannot use them up.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

from duly.domain.job import DEFAULT_QUEUE

MOST_NAMES = 50
# Share of the series that names get at once; the remaining ones are for names counted `BUSY` times.
AT_FIRST_SIGHT = 0.5
BUSY = 20
# Number of other names that are counted.
MOST_CANDIDATES = 1_000
OTHER = "other"

Figures = TypeVar("Figures")
Name = TypeVar("Name", bound=Hashable)


class LabelValues(Generic[Name]):
    """Names with a series of their own, for one counter in one process.

    Args:
        other: the name of all others.
        known: names that always have a series.
        most: number of series.
    """

    def __init__(self, other: Name, *, known: Collection[Name] = (), most: int = MOST_NAMES) -> None:
        self._other = other
        self._most = most
        self._shown = {other, *known}
        self._candidates: Counter[Name] = Counter()

    def label(self, name: Name, count: int) -> Name:
        """Returns the label value that counts this name `count` times."""
        if name in self._shown:
            return name
        room = len(self._shown) < self._most
        if len(self._shown) < self._most * AT_FIRST_SIGHT or (room and self._is_busy(name, count)):
            self._shown.add(name)
            return name
        return self._other

    def _is_busy(self, name: Name, count: int) -> bool:
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
    """Returns the largest figures by name, and the sum of all others."""
    if len(figures) <= MOST_NAMES:
        return dict(figures)
    largest = set(heapq.nlargest(MOST_NAMES - 2, figures, key=lambda name: size(figures[name]))) | {DEFAULT_QUEUE}
    shown: dict[str, Figures] = {}
    for name, one in figures.items():
        label = name if name in largest else OTHER
        shown[label] = add(shown[label], one) if label in shown else one
    return shown
