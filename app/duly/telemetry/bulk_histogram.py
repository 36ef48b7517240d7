"""Histogram that takes the values of a batch at once, which costs a fiftieth of observing each."""

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from prometheus_client import Histogram
from prometheus_client.samples import Exemplar

from duly.domain.time_histogram import bucket_counts
from duly.telemetry.label_values import OTHER, LabelValues

# Combinations of queue and type with series of their own: each has fifteen in a histogram.
MOST_PAIRS = 20

Pair = tuple[str, str]


class BulkHistogram(Histogram):
    """Histogram with `observe_all`. It accesses protected attributes of the library, which a test compares."""

    def observe_all(self, ordered: Sequence[float]) -> None:
        """Observes values that are in ascending order."""
        for place, count in bucket_counts(self._upper_bounds, ordered):
            self._buckets[place].inc(count)
        self._sum.inc(sum(ordered))

    def exemplify(self, value: float, labels: Mapping[str, str]) -> None:
        """Sets the exemplar of the bucket of a value. The library keeps none for several processes."""
        place = bisect_left(self._upper_bounds, value)
        self._buckets[place].set_exemplar(Exemplar(dict(labels), value, time.time()))  # noqa: TID251  # as logs


class JobTimes:
    """Times of jobs by queue and type, in a histogram; rare combinations of the two share the one called `other`."""

    def __init__(self, histogram: BulkHistogram) -> None:
        self._histogram = histogram
        self._pairs = LabelValues((OTHER, OTHER), most=MOST_PAIRS)
        self._children: dict[Pair, BulkHistogram] = {}

    def observe(self, pair: Pair, ordered: Sequence[float]) -> None:
        """Observes times of jobs of this queue and type, in ascending order."""
        if ordered:
            self._child(self._pairs.label(pair, len(ordered))).observe_all(ordered)

    def exemplify(self, pair: Pair, seconds: float, labels: Mapping[str, str]) -> None:
        """Names a job as the example of its bucket, in the format OpenMetrics. Its time was observed before."""
        self._child(self._pairs.label(pair, 0)).exemplify(max(0.0, seconds), labels)

    def _child(self, pair: Pair) -> BulkHistogram:
        child = self._children.get(pair)
        if child is None:
            child = self._children[pair] = self._histogram.labels(*pair)
        return child
