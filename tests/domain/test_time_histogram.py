"""Histogram of times: percentiles to within 15 %, from a millisecond to a day."""

import random

import pytest

from duly.domain.time_histogram import BOUNDS, TimeHistogram


def histogram_of(*times: float) -> TimeHistogram:
    histogram = TimeHistogram()
    histogram.add(sorted(times))
    return histogram


@pytest.mark.parametrize("scale", [0.001, 0.02, 1.0, 60.0, 9_000.0])
def test_percentiles_are_right_to_within_15_percent(scale: float) -> None:
    chance = random.Random(7)  # noqa: S311  # not a secret
    times = sorted(scale * (1 + chance.expovariate(1)) for _ in range(5_000))
    histogram = histogram_of(*times)
    for share in (0.5, 0.9, 0.99):
        assert histogram.percentile(share) == pytest.approx(times[int(share * len(times))], rel=0.15)


def test_a_histogram_without_times_has_no_percentile() -> None:
    assert TimeHistogram().percentile(0.5) is None


def test_times_added_together_count_as_those_added_one_by_one() -> None:
    times = [0.0, 0.0, 0.001, 0.0011, *BOUNDS[3:6], 5.0, 5.0, 2_000_000.0]
    single = TimeHistogram()
    for seconds in times:
        single.add([seconds])
    single.add([])
    together = histogram_of(*times)
    assert (together.count, together.buckets) == (single.count, single.buckets)
    assert together.seconds == pytest.approx(single.seconds)


def test_a_time_of_weeks_counts_as_a_day() -> None:
    assert histogram_of(2_000_000.0).percentile(0.5) == pytest.approx(BOUNDS[-1], rel=0.01)


def test_merged_histograms_have_the_times_of_both() -> None:
    short, both = histogram_of(0.01, 0.02), histogram_of(0.01, 0.02, 30.0)
    long = histogram_of(30.0)
    short.merge(long.count, long.seconds, long.buckets)
    assert (short.count, short.seconds, short.buckets) == (both.count, both.seconds, both.buckets)
    long.merge(2, 0.03, histogram_of(0.01, 0.02).buckets)
    assert long.buckets == both.buckets
