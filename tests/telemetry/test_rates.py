"""Rates of queues: jobs in and out within the last minute."""

import json

from duly.telemetry.rates import MOST_QUEUES, QueueRates

A, B, BUSY = (1, "a"), (1, "b"), (1, "busy")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_per_second_since_the_start_and_then_over_a_minute() -> None:
    clock = Clock()
    rates = QueueRates(clock)
    rates.submitted([A] * 40 + [B] * 10)
    rates.ended([A] * 20)
    assert rates.per_second() == {A: (40.0, 20.0), B: (10.0, 0.0)}  # the first second counts as one

    clock.now += 10
    assert rates.per_second() == {A: (4.0, 2.0), B: (1.0, 0.0)}
    clock.now += 49
    rates.submitted([A] * 19)
    assert rates.per_second()[A] == (1.0, 0.339)
    clock.now += 1
    assert rates.per_second() == {A: (0.317, 0.0)}  # what came in the first second is a minute old
    clock.now += 59
    assert rates.per_second() == {}


def test_a_process_that_was_idle_for_long_shows_nothing_old() -> None:
    clock = Clock()
    rates = QueueRates(clock)
    rates.submitted([A])
    clock.now += 86_400
    assert rates.per_second() == {}
    rates.ended([A] * 6)
    assert rates.per_second() == {A: (0.0, 0.1)}


def test_queues_of_any_number_of_names_take_bounded_room_and_the_busiest_are_kept() -> None:
    rates = QueueRates(Clock())
    for start in range(0, 10_000, 100):
        rates.submitted([(1, f"queue-{number}") for number in range(start, start + 100)] + [BUSY] * 2)
    shown = rates.per_second()
    assert len(shown) == MOST_QUEUES
    assert shown[BUSY] == (200.0, 0.0)
    assert len(rates._slots[-1].submitted) <= 2 * MOST_QUEUES


def test_a_tenant_with_many_queues_hides_no_queue_of_another() -> None:
    rates = QueueRates(Clock())
    for _ in range(3):
        rates.submitted((1, f"queue-{number}") for number in range(1_000) for _ in range(5))
    rates.submitted([(2, "lonely"), (3, "a"), (3, "b")])
    shown = rates.per_second()
    assert len(shown) == MOST_QUEUES
    assert {(2, "lonely"), (3, "a"), (3, "b")} <= set(shown)


def test_rates_are_written_as_json() -> None:
    rates = QueueRates(Clock())
    rates.submitted([(1, "größe"), (27, "größe")])
    assert json.loads(rates.as_json()) == {"größe": [1.0, 0.0], "27 größe": [1.0, 0.0]}
