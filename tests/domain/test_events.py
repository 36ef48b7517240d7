"""A job's state follows from its events alone, and a history that cannot be is refused."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from duly.domain.events import Event, EventKind, FoldedState, Status, fold
from duly.domain.webhook_events import CALLBACK_BITS

JOB_ID = UUID("0199c1f0-0000-7000-8000-000000000001")
K = EventKind


def history(*told: tuple[EventKind, int]) -> list[Event]:
    """Events of these kinds and attempts, numbered without a gap."""
    return [
        Event(1, JOB_ID, sequence, kind, attempt, datetime(2026, 1, 1, tzinfo=UTC), "test", None)
        for sequence, (kind, attempt) in enumerate(told)
    ]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ([(K.SUBMITTED, 0)], FoldedState(Status.PENDING, 0, 0)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1)], FoldedState(Status.RUNNING, 1, 1)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.PROGRESSED, 1)], FoldedState(Status.RUNNING, 2, 1)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.RETRY_SCHEDULED, 1)], FoldedState(Status.PENDING, 2, 1)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.LEASE_EXPIRED, 1)], FoldedState(Status.PENDING, 2, 1)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.REQUEUED, 0)], FoldedState(Status.PENDING, 2, 0)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.RETRY_SCHEDULED, 1), (K.STARTED, 2)], FoldedState(Status.RUNNING, 3, 2)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.COMPLETED, 1)], FoldedState(Status.COMPLETED, 2, 1)),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.FAILED, 1)], FoldedState(Status.FAILED, 2, 1)),
        ([(K.SUBMITTED, 0), (K.CANCELLED, 0)], FoldedState(Status.CANCELLED, 1, 0)),
        (
            [(K.SUBMITTED, 0), (K.STARTED, 1), (K.CANCEL_REQUESTED, 1), (K.PROGRESSED, 1)],
            FoldedState(Status.RUNNING, 3, 1, cancel_requested=True),
        ),
        (
            [(K.SUBMITTED, 0), (K.STARTED, 1), (K.CANCEL_REQUESTED, 1), (K.CANCELLED, 1)],
            FoldedState(Status.CANCELLED, 3, 1),
        ),
        ([(K.SUBMITTED, 0), (K.STARTED, 1), (K.FAILED, 1), (K.REQUEUED, 0)], FoldedState(Status.PENDING, 3, 0)),
    ],
)
def test_the_state_follows_from_the_events(told: list[tuple[EventKind, int]], state: FoldedState) -> None:
    assert fold(history(*told)) == state


def test_a_gap_is_refused() -> None:
    events = history((K.SUBMITTED, 0), (K.STARTED, 1), (K.PROGRESSED, 1))
    with pytest.raises(ValueError, match=f"job {JOB_ID}: event 2 follows where 1 belongs"):
        fold([events[0], events[2]])


def test_a_repetition_is_refused() -> None:
    events = history((K.SUBMITTED, 0), (K.STARTED, 1))
    with pytest.raises(ValueError, match="event 1 follows where 2 belongs"):
        fold([*events, events[1]])


def test_a_history_begins_at_0() -> None:
    with pytest.raises(ValueError, match="event 1 follows where 0 belongs"):
        fold(history((K.SUBMITTED, 0), (K.STARTED, 1))[1:])
    with pytest.raises(ValueError, match="no events at all"):
        fold([])


@pytest.mark.parametrize("end", [K.COMPLETED, K.FAILED, K.CANCELLED])
@pytest.mark.parametrize("after", [kind for kind in K if kind is not K.REQUEUED])
def test_nothing_but_a_requeue_comes_after_the_end(end: EventKind, after: EventKind) -> None:
    with pytest.raises(ValueError, match="event 3 comes after its end"):
        fold(history((K.SUBMITTED, 0), (K.STARTED, 1), (end, 1), (after, 1)))


def test_a_job_that_compensates_is_running_whatever_happens_to_its_attempts() -> None:
    events = [(K.SUBMITTED, 0), (K.STARTED, 1), (K.STEP_COMPLETED, 1), (K.COMPENSATING, 1), (K.STARTED, 1)]
    lost = fold(history(*events, (K.LEASE_EXPIRED, 1)))
    assert (lost.status, lost.compensating) == (Status.RUNNING, True)
    ended = fold(history(*events, (K.STEP_COMPENSATED, 1), (K.FAILED, 1)))
    assert (ended.status, ended.compensating) == (Status.FAILED, False)


@pytest.mark.parametrize("waits", [K.PARKED, K.HELD])
def test_a_parked_or_held_job_is_pending(waits: EventKind) -> None:
    assert fold(history((K.SUBMITTED, 0), (K.STARTED, 1), (waits, 1))).status is Status.PENDING


def test_the_stored_numbers_never_change() -> None:
    assert {kind.name: kind.value for kind in K} == {
        "HELD": -4,
        "STEP_COMPENSATED": -3,
        "COMPENSATING": -2,
        "SIGNALLED": -1,
        "SUBMITTED": 0,
        "STARTED": 1,
        "PROGRESSED": 2,
        "RETRY_SCHEDULED": 3,
        "LEASE_EXPIRED": 4,
        "CANCEL_REQUESTED": 5,
        "REQUEUED": 6,
        "STEP_COMPLETED": 7,
        "PARKED": 8,
        "RESUMED": 9,
        "COMPLETED": 10,
        "FAILED": 11,
        "CANCELLED": 12,
    }
    assert list(CALLBACK_BITS.values()) == [1, 2, 4, 8, 16, 32]
    assert [kind for kind in K if kind.terminal] == [K.COMPLETED, K.FAILED, K.CANCELLED]
