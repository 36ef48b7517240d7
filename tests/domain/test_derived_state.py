"""The events of a job determine everything in its row of a hot table."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from duly.domain.derived_state import SHORT, DerivedState, derive_state
from duly.domain.events import EventKind, Status
from duly.domain.invariant_facts import History

JOB = UUID("0199c1f0-0000-7000-8000-000000000001")
STARTED, PROGRESSED, RETRY, LOST, WISH, REQUEUED, COMPLETED, FAILED, CANCELLED = (
    EventKind(number) for number in (1, 2, 3, 4, 5, 6, 10, 11, 12)
)


def told(*kinds: EventKind, attempts: Sequence[int] | None = None) -> DerivedState:
    history = History(range(1, len(kinds) + 1), kinds, attempts or [1] * len(kinds), merged=False, foreign=False)
    return derive_state(JOB, history)


def test_a_job_without_events_waits_for_its_first_start() -> None:
    assert told() == DerivedState(Status.PENDING, 0, 0, False, starts=0, crashes=0, started=False, first_round=True)


def test_each_start_is_counted_over_all_rounds() -> None:
    state = told(STARTED, RETRY, STARTED, FAILED, REQUEUED, STARTED)
    assert (state.status, state.sequence, state.starts) == (Status.RUNNING, 6, 3)


def test_a_redrive_begins_a_round_without_starts_and_lost_workers() -> None:
    before = told(STARTED, LOST, STARTED, LOST)
    after = told(STARTED, LOST, STARTED, LOST, STARTED, FAILED, REQUEUED)
    assert (before.crashes, before.started, before.first_round) == (2, True, True)
    assert (after.crashes, after.started, after.first_round) == (0, False, False)


def test_an_end_belongs_to_the_round_that_it_ends() -> None:
    state = told(STARTED, LOST, STARTED, COMPLETED)
    assert (state.ended, state.crashes, state.started, state.first_round) == (True, 1, True, True)


def test_an_attempt_that_is_given_back_was_a_start_all_the_same() -> None:
    state = told(STARTED, REQUEUED, attempts=[1, 0])
    assert (state.status, state.attempt, state.starts, state.started) == (Status.PENDING, 0, 1, True)


def test_a_cancel_wish_stands_until_the_attempt_ends() -> None:
    assert told(STARTED, WISH, PROGRESSED).cancel_requested
    assert not told(STARTED, WISH, CANCELLED).cancel_requested


@pytest.mark.parametrize("length", [1, SHORT, SHORT + 1, 500])
def test_long_histories_are_told_like_short_ones(length: int) -> None:
    state = told(STARTED, *[PROGRESSED] * (length - 1))
    assert (state.status, state.sequence, state.starts) == (Status.RUNNING, length, 1)


@pytest.mark.parametrize("length", [2, SHORT + 5])
def test_what_cannot_have_happened_is_refused_in_the_name_of_the_job(length: int) -> None:
    kinds = [STARTED] * (length - 2) + [COMPLETED, PROGRESSED]
    with pytest.raises(ValueError, match=f"^job {JOB}: event {length} comes after its end"):
        told(*kinds)


def test_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^job {JOB}: event 3 follows where 2 belongs"):
        derive_state(JOB, History([1, 3], [1, 2], [1, 1], merged=False, foreign=False))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=f"^job {JOB}: it has an event of the unknown kind 99"):
        derive_state(JOB, History([1], [99], [1], merged=False, foreign=False))
