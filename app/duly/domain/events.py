"""Events of a job, and its state as a fold over them. `event_views` holds how each kind is shown outside."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import assert_never
from uuid import UUID


class Status(StrEnum):
    """Status of a job, as the API shows it."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Returns True unless the job is pending or running."""
        return self not in {Status.PENDING, Status.RUNNING}


class EventKind(IntEnum):
    """Kinds of events as stored numbers, which never change. From 10 on an event is terminal."""

    HELD = -4  # attempts exhausted; it waits for a retry by hand
    STEP_COMPENSATED = -3
    COMPENSATING = -2  # it failed or was cancelled, and its completed steps are compensated before it ends
    SIGNALLED = -1
    SUBMITTED = 0
    STARTED = 1
    PROGRESSED = 2
    RETRY_SCHEDULED = 3
    LEASE_EXPIRED = 4
    CANCEL_REQUESTED = 5
    REQUEUED = 6
    STEP_COMPLETED = 7
    PARKED = 8  # it waits for a time, a signal or child jobs, without a slot
    RESUMED = 9
    COMPLETED = 10
    FAILED = 11
    CANCELLED = 12

    @property
    def terminal(self) -> bool:
        """Returns whether the event ends the job."""
        return self >= EventKind.COMPLETED


# Range of the terminal kinds, for SQL.
FIRST_TERMINAL, LAST_TERMINAL = EventKind.COMPLETED, EventKind.CANCELLED
# Terminal events of a job that did not complete.
UNSUCCESSFUL = frozenset({EventKind.FAILED, EventKind.CANCELLED})
# Events during an attempt, which change nothing about where the job is.
WITHIN_ATTEMPT = frozenset(
    {EventKind.PROGRESSED, EventKind.STEP_COMPLETED, EventKind.STEP_COMPENSATED, EventKind.SIGNALLED}
)
# Events after which a job is where it was before.
PLACING_NOTHING = WITHIN_ATTEMPT | {EventKind.CANCEL_REQUESTED}


@dataclass(frozen=True, slots=True)
class Event:
    """Immutable fact about a job. `data` is JSON text: parameters, progress, result, error or note, by kind."""

    tenant_id: int
    job_id: UUID
    sequence: int
    kind: EventKind
    attempt: int
    occurred_at: datetime
    source: str
    data: str | None


@dataclass(frozen=True, slots=True)
class FoldedState:
    """State of a job derived from its events alone."""

    status: Status
    sequence: int
    attempt: int
    cancel_requested: bool = False
    compensating: bool = False


def fold(events: Iterable[Event]) -> FoldedState:
    """Returns the state after these events, which are ordered by sequence.

    Raises:
        ValueError: the sequence has a gap, does not begin at 0, or continues after the end without a requeue.
    """
    state: FoldedState | None = None
    for event in events:
        expected = 0 if state is None else state.sequence + 1
        if event.sequence != expected:
            raise ValueError(f"job {event.job_id}: event {event.sequence} follows where {expected} belongs")
        state = _after(state, event)
    if state is None:
        raise ValueError("no events at all")
    return state


def _after(state: FoldedState | None, event: Event) -> FoldedState:
    if state is None:
        return FoldedState(Status.PENDING, 0, 0)
    if state.status.ended and event.kind is not EventKind.REQUEUED:
        raise ValueError(f"job {event.job_id}: event {event.sequence} comes after its end")
    compensating = _compensates_after(event.kind, state)
    status = status_after(event.kind, state.status)
    return replace(
        state,
        status=Status.RUNNING if compensating else status,
        sequence=event.sequence,
        attempt=event.attempt,
        cancel_requested=event.kind is EventKind.CANCEL_REQUESTED
        or (state.cancel_requested and event.kind in WITHIN_ATTEMPT),
        compensating=compensating,
    )


def _compensates_after(kind: EventKind, state: FoldedState) -> bool:
    """Returns True while the completed steps of a job are compensated. The end of the job ends that; so does nothing
    that happens to an attempt meanwhile.
    """
    if kind is EventKind.COMPENSATING:
        return True
    return state.compensating and not kind.terminal


def status_after(kind: EventKind, before: Status) -> Status:  # noqa: PLR0911  # a table that the type checker completes
    """Returns the status of a job after an event of this kind."""
    match kind:
        case EventKind.STARTED:
            return Status.RUNNING
        case EventKind.STEP_COMPLETED | EventKind.STEP_COMPENSATED | EventKind.SIGNALLED:
            return before
        case EventKind.PROGRESSED | EventKind.CANCEL_REQUESTED:
            return before
        case EventKind.SUBMITTED | EventKind.RETRY_SCHEDULED | EventKind.LEASE_EXPIRED | EventKind.REQUEUED:
            return Status.PENDING
        case EventKind.PARKED | EventKind.RESUMED | EventKind.HELD:
            return Status.PENDING
        case EventKind.COMPENSATING:
            return Status.RUNNING
        case EventKind.COMPLETED:
            return Status.COMPLETED
        case EventKind.FAILED:
            return Status.FAILED
        case EventKind.CANCELLED:
            return Status.CANCELLED
        case _:
            assert_never(kind)
