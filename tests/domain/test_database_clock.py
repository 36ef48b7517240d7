"""Estimate of the database's clock in a process, independent of changes to the machine's clock."""

from datetime import UTC, datetime, timedelta

import pytest

from duly.domain.database_clock import DatabaseClock, elapsed_seconds
from duly.domain.ids import made_at

TRUE = datetime(2026, 1, 27, 10, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """A machine whose clock is off by `off`, and an exact database."""

    def __init__(self, off: timedelta) -> None:
        self.off = off
        self.passed = 0.0

    @property
    def true(self) -> datetime:
        return TRUE + timedelta(seconds=self.passed)

    def wall(self) -> float:
        return (self.true + self.off).timestamp()

    def elapsed(self) -> float:
        return 77.0 + self.passed

    def clock(self) -> DatabaseClock:
        return DatabaseClock(wall=self.wall, elapsed=self.elapsed)

    def ask(self, clock: DatabaseClock, *, there: float = 0.0, back: float = 0.0) -> None:
        """One heartbeat, with the seconds that its way took."""
        sent_at = self.elapsed()
        self.passed += there
        read = self.true
        self.passed += back
        clock.correct(read, sent_at=sent_at, received_at=self.elapsed())

    def error_of(self, clock: DatabaseClock) -> float:
        return abs((clock.now() - self.true).total_seconds())


@pytest.mark.parametrize("off", [HOUR, -HOUR, timedelta(days=-9000), timedelta(0)])
def test_one_answer_corrects_a_clock_that_is_off(off: timedelta) -> None:
    machine = Machine(off)
    clock = machine.clock()
    machine.ask(clock, there=0.001, back=0.001)

    assert machine.error_of(clock) < 0.0021
    assert clock.offset_seconds == pytest.approx(off.total_seconds(), abs=0.0021)
    assert abs(made_at(clock.ids.new()) - machine.true) < timedelta(milliseconds=4)


def test_a_machine_whose_clock_is_set_between_two_answers_changes_nothing() -> None:
    machine = Machine(timedelta(0))
    clock = machine.clock()
    machine.ask(clock)
    first = clock.ids.new()
    for off in (HOUR, -HOUR):
        machine.off = off
        machine.passed += 1

        assert machine.error_of(clock) < 0.001
        assert clock.offset_seconds == pytest.approx(off.total_seconds(), abs=0.001)
        assert timedelta(0) < made_at(clock.ids.new()) - made_at(first) < timedelta(seconds=3)


def test_a_slow_answer_does_not_spoil_what_a_quick_one_told() -> None:
    machine = Machine(HOUR)
    clock = machine.clock()
    machine.ask(clock, there=0.001, back=0.001)
    for there, back in ((4, 0), (0, 4), (2, 2)):
        machine.ask(clock, there=there, back=back)

        assert machine.error_of(clock) < 0.0021


def test_a_quick_answer_puts_right_what_a_slow_one_told() -> None:
    for off in (HOUR, -HOUR):
        for there, back in ((4, 0), (0, 4)):
            machine = Machine(off)
            clock = machine.clock()
            machine.ask(clock, there=there, back=back)
            machine.ask(clock, there=0.001, back=0.001)

            assert machine.error_of(clock) < 0.0021


def test_ids_grow_where_the_database_itself_was_set_back() -> None:
    machine = Machine(timedelta(0))
    clock = machine.clock()
    machine.ask(clock)
    first = clock.ids.new()
    clock.correct(machine.true - HOUR, sent_at=machine.elapsed(), received_at=machine.elapsed())

    assert abs(clock.now() - (machine.true - HOUR)) < timedelta(milliseconds=1)
    assert clock.ids.new() > first


def test_before_the_first_answer_it_shows_the_machines_time() -> None:
    machine = Machine(HOUR)

    assert abs(machine.clock().now() - (machine.true + HOUR)) < timedelta(milliseconds=1)
    assert abs(DatabaseClock().now() - datetime.now(UTC)) < timedelta(seconds=60)
    assert elapsed_seconds() <= elapsed_seconds()
