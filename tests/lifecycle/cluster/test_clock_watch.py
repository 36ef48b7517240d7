"""An offset of the machine clock is reported once, and again when it gets worse or better."""

import pytest
from structlog.testing import capture_logs

from duly.domain.database_clock import DatabaseClock
from duly.lifecycle.cluster.clock_watch import ClockWatch


def said_of(*offsets: float) -> list[str]:
    """The words for machines of all that is said while these offsets come one after another."""
    shown: list[float] = []
    watch = ClockWatch(DatabaseClock(), shown.append)
    with capture_logs() as lines:
        for offset in offsets:
            watch.report(offset)
    assert shown == list(offsets)
    return [f"{line['log_level']}: {line['action']}" for line in lines]


@pytest.mark.parametrize("offset", [0.0, 1.99, -1.99, 2.0])
def test_a_small_offset_is_not_told_of(offset: float) -> None:
    assert said_of(offset, offset) == []


@pytest.mark.parametrize("offset", [2.01, -2.01, 3600.5, -86_400.0])
def test_an_offset_is_warned_of_once(offset: float) -> None:
    assert said_of(offset, offset, offset) == ["warning: clock_differs"]


def test_another_class_of_offset_is_warned_of_again_and_its_end_is_told() -> None:
    warned = "warning: clock_differs"
    assert said_of(3, 100, 5000, 100, 3) == [warned] * 5
    assert said_of(3, -3) == [warned] * 2
    assert said_of(5000, 0.1, 0.1) == [warned, "info: clock_agrees"]


def test_an_offset_that_moves_about_a_bound_is_told_of_once() -> None:
    assert said_of(*[2.1, 1.9] * 20) == ["warning: clock_differs"]
    assert said_of(*[-61, -59] * 20) == ["warning: clock_differs"]


def test_the_warning_names_the_size_the_side_and_the_remedy() -> None:
    watch = ClockWatch(DatabaseClock(), lambda _offset: None)
    with capture_logs() as lines:
        watch.report(3600.04)
        watch.report(-2.5)
    ahead, behind = (line["event"] for line in lines)
    assert "3,600.0 s ahead of the database clock" in ahead
    assert "2.5 s behind the database clock" in behind
    assert "NTP" in ahead
