"""Label values for names that clients choose: a limited number get a series of their own, all others share one.

A counter must never decrease, so a name keeps its series, which counts from then on only: the sum over all series is
right. Half of the series are reserved for busy names, so that names seen once cannot use them up.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TypeVar

from duly.domain.job import DEFAULT_QUEUE

MOST_NAMES = 50
# Number of names that get a series at once; the remaining series are for names counted `BUSY` times.
AT_FIRST_SIGHT = 25
BUSY = 20
# Number of other names that are counted.
MOST_CANDIDATES = 1_000
OTHER = "other"

Figures = TypeVar("Figures")


class LabelValues:
    """Names with a series of their own, for one counter in one process."""

    def __init__(self) -> None:
        self._shown = {DEFAULT_QUEUE, OTHER}
        self._candidates: Counter[str] = Counter()

    def label(self, name: str, count: int) -> str:
        """Returns the label value that counts this name `count` times."""
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
    """Returns the largest figures by name, and the sum of all others."""
    if len(figures) <= MOST_NAMES:
        return dict(figures)
    largest = set(heapq.nlargest(MOST_NAMES - 2, figures, key=lambda name: size(figures[name]))) | {DEFAULT_QUEUE}
    shown: dict[str, Figures] = {}
    for name, one in figures.items():
        label = name if name in largest else OTHER
        shown[label] = add(shown[label], one) if label in shown else one
    return shown
