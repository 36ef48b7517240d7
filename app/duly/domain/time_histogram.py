"""Histogram of times: counts by buckets that grow by a third, from a millisecond to a day."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

# Eight bounds for each power of ten, so that a percentile is right to within 15 %. Numbers of buckets are stored.
BOUNDS = tuple(round(0.001 * 10 ** (step / 8), 6) for step in range(64))


class TimeHistogram:
    """Number, sum and distribution of some times."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets: list[int] = []

    def add(self, ordered: Sequence[float]) -> None:
        """Adds times that are in ascending order, none below zero."""
        if not ordered:
            return
        last = bisect_left(BOUNDS, ordered[-1])
        self.buckets += [0] * (last + 1 - len(self.buckets))
        for bucket, times in bucket_counts(BOUNDS, ordered):
            self.buckets[bucket] += times
        self.count += len(ordered)
        self.seconds += sum(ordered)

    def merge(self, count: int, seconds: float, buckets: Sequence[int]) -> None:
        """Adds the times of another histogram."""
        self.count += count
        self.seconds += seconds
        self.buckets += [0] * max(0, len(buckets) - len(self.buckets))
        for bucket, times in enumerate(buckets):
            self.buckets[bucket] += times

    def percentile(self, share: float) -> float | None:
        """Returns the time below which this share lies, to within 15 %; None without times."""
        total = sum(self.buckets)
        if not total:
            return None
        wanted = share * total
        for bucket, reached in enumerate(accumulate(self.buckets)):
            if reached >= wanted and self.buckets[bucket]:
                return _within(bucket, 1 - (reached - wanted) / self.buckets[bucket])
        return BOUNDS[-1]


def bucket_counts(bounds: Sequence[float], ordered: Sequence[float]) -> Iterator[tuple[int, int]]:
    """Yields the buckets of values in ascending order, each with their number. A bucket includes its upper bound; that
    after the last bound has none. Takes time for each bucket, not for each value.
    """
    first = 0
    while first < len(ordered):
        bucket = bisect_left(bounds, ordered[first])
        after = bisect_right(ordered, bounds[bucket], lo=first) if bucket < len(bounds) else len(ordered)
        yield bucket, after - first
        first = after


def _within(bucket: int, share: float) -> float:
    """Returns the time at this share of the way through a bucket, rounded to three digits."""
    upper = BOUNDS[min(bucket, len(BOUNDS) - 1)]
    if bucket == 0:
        return float(f"{upper * share:.3g}")
    lower = BOUNDS[bucket - 1]
    return float(f"{lower * (upper / lower) ** share:.3g}")
