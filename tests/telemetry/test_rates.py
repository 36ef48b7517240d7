"""Rates of queues: jobs in and out within the last minute."""

import json

from duly.telemetry.rates import MOST_QUEUES, QueueRates


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_per_second_since_the_start_and_then_over_a_minute() -> None:
    clock = Clock()
    rates = QueueRates(clock)
    rates.submitted(["a"] * 40 + ["b"] * 10)
    rates.ended(["a"] * 20)
    assert rates.per_second() == {"a": (40.0, 20.0), "b": (10.0, 0.0)}  # the first second counts as one

    clock.now += 10
    assert rates.per_second() == {"a": (4.0, 2.0), "b": (1.0, 0.0)}
    clock.now += 49
    rates.submitted(["a"] * 19)
    assert rates.per_second()["a"] == (1.0, 0.339)
    clock.now += 1
    assert rates.per_second() == {"a": (0.317, 0.0)}  # what came in the first second is a minute old
    clock.now += 59
    assert rates.per_second() == {}


def test_a_process_that_was_idle_for_long_shows_nothing_old() -> None:
    clock = Clock()
    rates = QueueRates(clock)
    rates.submitted(["a"])
    clock.now += 86_400
    assert rates.per_second() == {}
    rates.ended(["a"] * 6)
    assert rates.per_second() == {"a": (0.0, 0.1)}


def test_queues_of_any_number_of_names_take_bounded_room_and_the_busiest_are_kept() -> None:
    rates = QueueRates(Clock())
    for start in range(0, 10_000, 100):
        rates.submitted([f"queue-{number}" for number in range(start, start + 100)] + ["busy"] * 2)
    shown = rates.per_second()
    assert len(shown) == MOST_QUEUES
    assert shown["busy"] == (200.0, 0.0)
    assert len(rates._slots[-1].submitted) <= MOST_QUEUES


def test_rates_are_written_as_json() -> None:
    rates = QueueRates(Clock())
    rates.submitted(["größe"])
    assert json.loads(rates.as_json()) == {"größe": [1.0, 0.0]}
