"""Slots that the work at hand needs."""

import pytest

from duly.domain.scaling import Load, desired_slots, seconds_to_drain


@pytest.mark.parametrize(
    ("load", "slots"),
    [
        (Load(), 0),
        # Little's law: 5 jobs per second that take 2 seconds keep 10 slots busy.
        (Load(arrival_rate=5, run_seconds=2, running=10), 10),
        (Load(arrival_rate=5, run_seconds=2, running=9), 10),
        # 600 jobs of 2 seconds are 1,200 seconds of work: 20 slots for a minute, besides those of arrivals.
        (Load(waiting=600, run_seconds=2), 20),
        (Load(waiting=600, run_seconds=2, arrival_rate=5, running=10), 30),
        # Jobs of an hour: one slot for each, and those in progress keep theirs.
        (Load(waiting=5, run_seconds=3600, running=3), 8),
        (Load(waiting=1, run_seconds=0.01), 1),
        (Load(waiting=100, run_seconds=60, limit=4), 4),
        (Load(waiting=100, run_seconds=60, running=7, limit=4), 7),
        # Nothing has ended yet: an attempt takes a second, or as long as those in progress have taken already.
        (Load(waiting=600), 10),
        (Load(waiting=6, running=2, running_seconds=600), 8),
    ],
)
def test_slots_for_a_load(load: Load, slots: int) -> None:
    assert desired_slots([load], target_seconds=60) == slots


def test_loads_are_added_up_before_rounding_and_none_takes_the_slots_of_another() -> None:
    small = Load(waiting=1, run_seconds=0.6)
    assert desired_slots([small] * 10, target_seconds=60) == 1
    assert desired_slots([Load(running=7), Load(waiting=100, run_seconds=60, limit=4)], target_seconds=60) == 11


@pytest.mark.parametrize("waiting", [0, 1, 1_000_000])
@pytest.mark.parametrize("run_seconds", [None, 0.0, 0.001, 1e6])
@pytest.mark.parametrize("running", [0, 1, 50])
@pytest.mark.parametrize("limit", [None, 1])
def test_there_are_never_fewer_slots_than_attempts_in_progress_nor_more_than_jobs(
    waiting: int, run_seconds: float | None, running: int, limit: int | None
) -> None:
    load = Load(waiting=waiting, running=running, run_seconds=run_seconds, limit=limit)
    assert running <= desired_slots([load], target_seconds=60) <= running + waiting


@pytest.mark.parametrize(
    ("load", "slots", "seconds"),
    [
        (Load(), 0, 0.0),
        (Load(waiting=100, run_seconds=2), 10, 20.0),
        (Load(waiting=100, run_seconds=2, arrival_rate=2.5), 10, 40.0),
        (Load(waiting=100, run_seconds=2, arrival_rate=5), 10, None),
        (Load(waiting=1, run_seconds=2), 0, None),
    ],
)
def test_time_to_drain_a_backlog(load: Load, slots: int, seconds: float | None) -> None:
    assert seconds_to_drain([load], slots=slots) == seconds
