"""Figures of several cells, joined as if one database had recorded them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from duly.api.figures.nodes import joined_nodes
from duly.api.queues.breaker_bodies import breaker_body
from duly.domain.figure_series import Span, StoredMinute, joined_minutes, series_of
from duly.domain.job_type_breaker import CircuitState
from duly.domain.run_times import joined_run_times, summarize_run_times
from duly.domain.scaling import Load
from duly.domain.time_histogram import TimeHistogram
from duly.lifecycle.figures.scaling import TenantLoad, signal_of
from duly.store.queue.job_type_breakers import JobTypeBreakerView
from duly.store.queue.limits import FlowLimits
from duly.store.queue.nodes import ListedNode
from duly.store.read.queue_stats import joined_queue, nothing_in

START = datetime(2026, 1, 27, 10, tzinfo=UTC)
SPAN = Span(0, 300, 60)
TIMES = st.lists(st.floats(0.001, 1000), max_size=5).map(sorted)


@st.composite
def minutes(draw: st.DrawFn) -> StoredMinute:
    """One minute of one cell: counts, depths and times."""
    histogram = TimeHistogram()
    histogram.add(draw(TIMES))
    counts = {name: draw(st.integers(0, 9)) for name in StoredMinute._fields}
    times = {"waited": histogram.count, "wait_seconds": histogram.seconds, "waits": histogram.buckets}
    others = {"at": 60 * draw(st.integers(0, 4)), "ran": 0, "run_seconds": 0.0, "runs": []}
    return StoredMinute(**(counts | times | others))  # type: ignore[arg-type]  # by name


@settings(max_examples=50)
@given(st.lists(st.lists(minutes(), max_size=5, unique_by=lambda minute: minute.at), min_size=1, max_size=4))
def test_counts_and_times_are_those_of_all_cells(cells: list[list[StoredMinute]]) -> None:
    joined = joined_minutes(cells)
    assert [minute.at for minute in joined] == sorted({minute.at for cell in cells for minute in cell})
    series, apart = series_of(joined, SPAN), [series_of(cell, SPAN) for cell in cells]
    at_once = series_of([minute for cell in cells for minute in cell], SPAN)
    for name in ("submitted", "completed", "deliveriesFailed", "waitP50Seconds", "waitP99Seconds"):
        assert series[name] == at_once[name]
    for name in ("waiting", "running"):  # in one reading of each minute
        assert series[name] == [sum(depths) for depths in zip(*(each[name] for each in apart), strict=True)]
    assert series["oldestWaitSeconds"] == at_once["oldestWaitSeconds"]


def test_the_scaling_signal_rounds_the_sum_of_all_loads_once() -> None:
    load = Load(waiting=1, arrival_rate=0.0, run_seconds=6.0)
    parts = [TenantLoad(1, 0, seconds, [load], slots=5) for seconds in (3.0, 7.0, 1.0, 2.0)]
    signal = signal_of(parts, target_seconds=60.0)
    assert (signal.waiting, signal.oldest_seconds, signal.desired_slots) == (4, 7.0, 1)
    assert signal.drain_seconds == 4 * 6.0 / 20


def test_a_process_that_registers_in_all_cells_is_one_node() -> None:
    def node(number: int, name: str, second: int, *, late: bool = False) -> ListedNode:
        at = START + timedelta(seconds=second)
        return ListedNode(UUID(int=number), name, "1", ["worker"], 25, number, at, at, draining=False, late=late)

    # Two containers may have the same name.
    cells = [
        [node(1, "web-1", 0), node(2, "same", 5), node(3, "same", 9)],
        [node(4, "web-1", 1, late=True), node(5, "same", 6), node(6, "same", 10)],
    ]
    joined = joined_nodes(cells)
    assert [(each.name, each.slots, each.busy_slots, each.late) for each in joined] == [
        ("web-1", 50, 5, True),
        ("same", 50, 7, False),
        ("same", 50, 9, False),
    ]


def test_a_queue_is_paused_and_limited_if_it_is_in_any_cell() -> None:
    empty, limits = nothing_in("mail"), FlowLimits(3, None)
    parts = [
        empty,
        type(empty)("mail", 2, 1, 0, 1, 0, 4, 9.0, 0.5, 1.5, START, limits),
        type(empty)("mail", 3, 0, 2, 0, 5, 1, 4.0, 0.5, 0.5, START + timedelta(seconds=1), limits),
    ]
    assert joined_queue(parts) == type(empty)("mail", 5, 1, 2, 1, 5, 5, 9.0, 1.0, 2.0, START, limits)


def test_run_times_of_cells_weigh_as_their_samples() -> None:
    few, many = summarize_run_times([10.0]), summarize_run_times([1.0] * 9)
    joined = joined_run_times([few, None, many])
    assert joined is not None
    assert (joined.count, joined.p50_seconds, joined.p99_seconds, joined.mean_seconds) == (10, 1.9, 10.0, 1.9)
    assert joined.suggested_timeout_seconds == 20
    assert joined_run_times([None]) is None


def test_the_breaker_that_holds_back_most_is_shown() -> None:
    closed = JobTypeBreakerView(CircuitState.CLOSED, 4, "TIMED_OUT", None)
    half_open = JobTypeBreakerView(CircuitState.HALF_OPEN, 5, "TIMED_OUT", None)
    opened = JobTypeBreakerView(CircuitState.OPEN, 5, "TIMED_OUT", START)
    assert breaker_body(closed, half_open)["state"] == "half-open"
    assert breaker_body(half_open, opened, closed)["openUntil"] == "2026-01-27T10:00:00.000Z"
