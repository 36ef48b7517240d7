"""Series for plots, from the figures of minutes."""

from duly.domain.figure_series import Span, StoredMinute, series_of
from duly.domain.time_histogram import TimeHistogram

NOON = 1_800_000_000 // 3600 * 3600


def minute(number: int, *, waits: tuple[float, ...] = (), **figures: float) -> StoredMinute:
    histogram = TimeHistogram()
    histogram.add(sorted(waits))
    nothing: dict[str, object] = dict.fromkeys(StoredMinute._fields, 0) | {"runs": []}
    times = {"waited": histogram.count, "wait_seconds": histogram.seconds, "waits": histogram.buckets}
    return StoredMinute(**(nothing | times | figures | {"at": NOON + 60 * number}))  # type: ignore[arg-type]  # by name


def test_counts_are_added_up_and_depths_are_the_largest_of_a_step() -> None:
    minutes = [
        minute(0, submitted=3, ready=5, oldest_seconds=1.23456),
        minute(4, submitted=4, ready=2, oldest_seconds=0.5),
        minute(10, submitted=1, undelivered=2),
    ]
    series = series_of(minutes, Span(NOON, NOON + 900, 300))
    assert series["submitted"] == [7, 0, 1]
    assert series["waiting"] == [5, 0, 0]
    assert series["oldestWaitSeconds"] == [1.235, 0, 0]
    assert series["deliveriesFailed"] == [0, 0, 2]


def test_percentiles_are_those_of_all_times_of_a_step() -> None:
    series = series_of([minute(0, waits=(1.0,) * 50), minute(1, waits=(100.0,) * 50)], Span(NOON, NOON + 600, 300))
    low, high = series["waitP50Seconds"], series["waitP99Seconds"]
    assert low[0] is not None and 0.85 < low[0] < 1.15
    assert high[0] is not None and 85 < high[0] < 115
    assert (low[1], high[1], series["runP99Seconds"]) == (None, None, [None, None])


def test_a_span_contains_the_whole_steps_of_its_period() -> None:
    assert Span.around(NOON + 1, NOON + 301, 300) == Span(NOON, NOON + 600, 300)
    assert Span.around(NOON, NOON + 300, 300).steps == 1
    assert Span.around(NOON + 5, NOON + 5, 300).steps == 1
    assert Span.around(NOON + 400, NOON + 5, 300).steps == 0
