"""Run times as observed, and the timeout that they suggest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.run_times import LONGEST_SECONDS, suggested_timeout, summarize_run_times


def test_nothing_was_observed_of_a_type_without_completed_jobs() -> None:
    assert summarize_run_times([]) is None


def test_percentiles_are_run_times_that_were_seen() -> None:
    seen = summarize_run_times([n / 10 for n in range(1, 101)])
    assert seen is not None
    assert (seen.count, seen.p50_seconds, seen.p99_seconds) == (100, 5.0, 9.9)

    one = summarize_run_times([0.0314159])
    assert one is not None
    assert (one.count, one.p50_seconds, one.p99_seconds, one.suggested_timeout_seconds) == (1, 0.031, 0.031, 1)


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    seen = summarize_run_times([-0.5])
    assert seen is not None
    assert seen.p50_seconds == 0.0


@pytest.mark.parametrize(
    ("p99", "suggested"),
    [
        (0.0, 1),
        (0.5, 1),
        (0.51, 2),
        (1.4, 3),
        (2.5, 5),
        (23.0, 60),
        (30.0, 60),
        (31.0, 120),
        (400.0, 900),
        (1_800.0, 3_600),
        (5_000.0, 10_800),
        (40_000.0, 86_400),
        (10 * 86_400.0, 20 * 86_400),
        (40 * 86_400.0, LONGEST_SECONDS),
    ],
)
def test_a_suggested_timeout_is_twice_the_p99_rounded_up_to_what_people_write(p99: float, suggested: int) -> None:
    assert suggested_timeout(p99) == suggested


@given(st.floats(min_value=0.5, max_value=15 * 86_400))
def test_a_suggested_timeout_leaves_room_and_not_too_much(p99: float) -> None:
    suggested = suggested_timeout(p99)
    assert 2 * p99 <= suggested <= max(4 * p99 + 0.01, 2)
