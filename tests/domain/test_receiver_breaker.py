"""Circuit of a failing receiver: when it opens, for how long, and when the endpoint is disabled."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.receiver_breaker import ReceiverBreakerDecision, ReceiverFailures, receiver_after_failures

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 86_400.0


def failed(
    before: ReceiverFailures | None = None,
    *,
    count: int = 1,
    first_seconds_ago: float = 0,
    disable_seconds: float = 5 * DAYS,
) -> ReceiverBreakerDecision:
    return receiver_after_failures(
        before, count=count, first_seconds_ago=first_seconds_ago, now=NOW, disable_seconds=disable_seconds
    )


def failing(failures: int, seconds: float, *, is_open: bool = False) -> ReceiverFailures:
    """Returns a circuit with this number of failures, the first of them this many seconds ago."""
    return ReceiverFailures(failures, NOW - timedelta(seconds=seconds), is_open)


def test_the_first_failure_is_the_beginning_of_the_trouble() -> None:
    assert failed(first_seconds_ago=3) == ReceiverBreakerDecision(
        ReceiverFailures(1, NOW - timedelta(seconds=3), is_open=False), None, False
    )


def test_failures_are_counted_and_their_beginning_stays() -> None:
    before = failing(2, 7)
    assert failed(before, count=2).state == ReceiverFailures(4, before.failing_since, is_open=False)


@pytest.mark.parametrize(
    ("before", "opens"),
    [
        (failing(4, 10), True),
        (failing(4, 9.9), False),  # much at once, as while a receiver restarts
        (failing(3, 3600), False),  # rarely, as at an endpoint with few deliveries
        (failing(400, 9.9), False),
        (failing(400, 11), True),
    ],
)
def test_it_is_left_alone_after_five_failures_over_ten_seconds(before: ReceiverFailures, *, opens: bool) -> None:
    assert failed(before).state.is_open is opens


def test_many_failures_at_once_may_have_taken_ten_seconds() -> None:
    assert failed(count=5, first_seconds_ago=15).state.is_open
    assert not failed(count=4, first_seconds_ago=15).state.is_open
    assert not failed(count=5, first_seconds_ago=5).state.is_open


def test_open_it_stays_open_at_each_failure() -> None:
    assert failed(failing(1, 0, is_open=True)).state.is_open


@pytest.mark.parametrize(
    ("failing_seconds", "pause"), [(10, 10), (40, 10), (60, 15), (400, 100), (1200, 300), (4 * DAYS, 300)]
)
def test_the_pause_is_a_quarter_of_the_trouble_within_its_bounds(failing_seconds: float, pause: float) -> None:
    assert failed(failing(9, failing_seconds, is_open=True)).pause_seconds == pause


@pytest.mark.parametrize(("failing_seconds", "disables"), [(5 * DAYS - 1, False), (5 * DAYS, True), (50 * DAYS, True)])
def test_five_days_of_nothing_but_failure_are_enough(failing_seconds: float, *, disables: bool) -> None:
    assert failed(failing(9, failing_seconds, is_open=True)).disables is disables


def test_how_long_is_enough_is_the_settings_to_say() -> None:
    assert failed(failing(1, 61), disable_seconds=60).disables
    assert not failed(failing(1, 59), disable_seconds=60).disables


def test_a_clock_that_went_back_is_no_harm() -> None:
    verdict = failed(ReceiverFailures(9, NOW + timedelta(hours=1), is_open=True))
    assert (verdict.pause_seconds, verdict.disables) == (10, False)


@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=20), gap=st.floats(0, 7200))
def test_however_failures_come_in_they_add_up(counts: list[int], gap: float) -> None:
    """Settled one by one or many at once, on one node or on several."""
    trouble, opened = None, False
    for place, count in enumerate(counts):
        now = NOW + timedelta(seconds=place * gap)
        verdict = receiver_after_failures(trouble, count=count, first_seconds_ago=1, now=now, disable_seconds=5 * DAYS)
        assert verdict.state.is_open >= opened
        assert (verdict.pause_seconds is None) is not verdict.state.is_open
        assert verdict.pause_seconds is None or 10 <= verdict.pause_seconds <= 300
        trouble, opened = verdict.state, verdict.state.is_open
    assert trouble is not None
    assert (trouble.failures, trouble.failing_since) == (sum(counts), NOW - timedelta(seconds=1))
