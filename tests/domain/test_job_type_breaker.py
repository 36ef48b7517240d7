"""Opening and closing of the breaker of a job type."""

from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.job_type_breaker import CircuitBreaker, CircuitState, JobTypeBreaker, Streak, breaker_after

THREE = CircuitBreaker(failures=3, seconds=60)
DUE = JobTypeBreaker(CircuitState.OPEN, 3, "A", due=True)

# A success is None, a failure its code, what says nothing an empty one.
ENDS = st.lists(st.sampled_from([None, "A", "B", ""]), max_size=12)


def streak_of(ends: list[str | None]) -> Streak:
    return reduce(_one_more, ends, Streak())


def _one_more(streak: Streak, end: str | None) -> Streak:
    if end is None:
        return streak.success()
    return streak.failure(end) if end else streak.silence()


def follow(ends: list[str | None], state: JobTypeBreaker | None = None) -> JobTypeBreaker:
    return breaker_after(state or JobTypeBreaker(), streak_of(ends), THREE)


def test_it_opens_after_so_many_failures_of_one_kind_in_a_row() -> None:
    assert follow(["A", "A"]) == JobTypeBreaker(CircuitState.CLOSED, 2, "A")
    assert follow(["A", "A", "A"]) == JobTypeBreaker(CircuitState.OPEN, 3, "A")
    assert follow(["A"], follow(["A", "A"])).circuit is CircuitState.OPEN


@pytest.mark.parametrize("between", [None, "B"])
def test_a_success_or_a_failure_of_another_kind_begins_the_count_anew(between: str | None) -> None:
    assert follow(["A", "A", between, "A", "A"]) == JobTypeBreaker(CircuitState.CLOSED, 2, "A")
    assert follow([between, "A"], follow(["A", "A"])) == JobTypeBreaker(CircuitState.CLOSED, 1, "A")


def test_a_success_leaves_nothing_counted() -> None:
    assert follow([None], follow(["A", "A"])).failures == 0


def test_no_end_changes_nothing() -> None:
    for state in (JobTypeBreaker(), JobTypeBreaker(CircuitState.CLOSED, 2, "A"), DUE):
        assert follow([], state) == state


def test_while_it_is_open_no_end_changes_it() -> None:
    still_open = JobTypeBreaker(CircuitState.OPEN, 3, "A", due=False)
    cases: list[list[str | None]] = [[None], ["A"], ["B", "B"], [None, "A", "A", "A"]]
    for ends in cases:
        assert follow(ends, still_open) == still_open


@pytest.mark.parametrize("circuit", [CircuitState.OPEN, CircuitState.HALF_OPEN])
def test_the_one_that_was_let_through_decides(circuit: CircuitState) -> None:
    due = DUE._replace(circuit=circuit)
    assert follow([None], due).circuit is CircuitState.CLOSED
    assert follow([None], due).failures == 0
    assert follow(["A"], due) == JobTypeBreaker(CircuitState.OPEN, 4, "A")
    assert follow(["B"], due) == JobTypeBreaker(CircuitState.OPEN, 4, "B")


def test_of_several_ends_at_once_a_success_closes_it_and_later_failures_count_from_there() -> None:
    assert follow([None, "A"], DUE) == JobTypeBreaker(CircuitState.CLOSED, 1, "A")
    assert follow(["A", None], DUE).circuit is CircuitState.CLOSED
    assert follow([None, "A", "A", "A"], DUE) == JobTypeBreaker(CircuitState.OPEN, 3, "A")


def test_one_on_trial_that_says_nothing_makes_way_for_the_next() -> None:
    on_trial = DUE._replace(circuit=CircuitState.HALF_OPEN)
    assert breaker_after(on_trial, Streak().silence(), THREE) == DUE
    assert breaker_after(on_trial, Streak().silence().success(), THREE).circuit is CircuitState.CLOSED
    for state in (JobTypeBreaker(), JobTypeBreaker(CircuitState.CLOSED, 2, "A"), DUE._replace(due=False)):
        assert breaker_after(state, Streak().silence(), THREE) == state


@given(ENDS, ENDS)
def test_two_streaks_make_the_one_of_all_their_ends(earlier: list[str | None], later: list[str | None]) -> None:
    assert streak_of(earlier).followed_by(streak_of(later)) == streak_of(earlier + later)


@given(ENDS, ENDS)
def test_as_long_as_it_stays_closed_the_count_does_not_depend_on_how_ends_gather(
    earlier: list[str | None], later: list[str | None]
) -> None:
    patient = CircuitBreaker(failures=1000, seconds=1)
    in_two = breaker_after(breaker_after(JobTypeBreaker(), streak_of(earlier), patient), streak_of(later), patient)
    at_once = breaker_after(JobTypeBreaker(), streak_of(earlier + later), patient)
    assert (in_two.circuit, in_two.failures) == (at_once.circuit, at_once.failures)


def test_every_failure_counts_but_the_loss_of_a_process() -> None:
    counted = ["TASK_FAILED", "TIMED_OUT", "CUSTOMER_UNKNOWN", "WORKER_LOST", "CRASH_LOOP"]
    assert [code for code in counted if THREE.counts(code)] == counted[:3]


def test_with_codes_only_these_count() -> None:
    breaker = CircuitBreaker(codes=("TIMED_OUT", "WORKER_LOST"))
    assert breaker.counts("TIMED_OUT")
    assert breaker.counts("WORKER_LOST")
    assert not breaker.counts("TASK_FAILED")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"failures": 0}, "failures"),
        ({"failures": 1.5}, "failures"),
        ({"seconds": 0}, "week"),
        ({"seconds": 8 * 86400}, "week"),
        ({"codes": "TIMED_OUT"}, "codes"),
        ({"codes": ()}, "codes"),
        ({"codes": (504,)}, "codes"),
    ],
)
def test_figures_that_make_no_sense_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        CircuitBreaker(**options)
