"""Kinds of events, and the fold that derives a job's state from its events."""

import json
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

    SUBMITTED = 0
    STARTED = 1
    PROGRESSED = 2
    RETRY_SCHEDULED = 3
    LEASE_EXPIRED = 4
    CANCEL_REQUESTED = 5
    REQUEUED = 6
    COMPLETED = 10
    FAILED = 11
    CANCELLED = 12

    @property
    def terminal(self) -> bool:
        """Returns True if no further event follows, except a requeue."""
        return self >= EventKind.COMPLETED


# Terminal events of a job that did not complete.
UNSUCCESSFUL = frozenset({EventKind.FAILED, EventKind.CANCELLED})
# Events whose `data` is an error.
WITH_ERROR = UNSUCCESSFUL | {EventKind.RETRY_SCHEDULED, EventKind.LEASE_EXPIRED}

EVENT_TYPES: dict[EventKind, str] = {
    EventKind.SUBMITTED: "JobSubmitted",
    EventKind.STARTED: "JobStarted",
    EventKind.PROGRESSED: "JobProgressed",
    EventKind.RETRY_SCHEDULED: "JobRetryScheduled",
    EventKind.LEASE_EXPIRED: "JobLeaseExpired",
    EventKind.CANCEL_REQUESTED: "JobCancelRequested",
    EventKind.REQUEUED: "JobRequeued",
    EventKind.COMPLETED: "JobCompleted",
    EventKind.FAILED: "JobFailed",
    EventKind.CANCELLED: "JobCancelled",
}

# What a webhook may tell of. The bit stands in `callback_events` of a job and its hot rows; each statement that
# records an event writes a delivery where the job, or an endpoint, asked for it.
CALLBACK_BITS: dict[str, int] = {
    "job.started": 1,
    "job.progress": 2,
    "job.retrying": 4,
    "job.completed": 8,
    "job.failed": 16,
    "job.cancelled": 32,
}
CALLBACK_EVENT_OF: dict[EventKind, str] = {
    EventKind.STARTED: "job.started",
    EventKind.PROGRESSED: "job.progress",
    EventKind.RETRY_SCHEDULED: "job.retrying",
    EventKind.LEASE_EXPIRED: "job.retrying",
    EventKind.COMPLETED: "job.completed",
    EventKind.FAILED: "job.failed",
    EventKind.CANCELLED: "job.cancelled",
}
# What else endpoints may hear of; tests and the end of another endpoint go to them unasked.
BATCH_BIT = 64
ENDPOINT_BITS: dict[str, int] = CALLBACK_BITS | {"batch.completed": BATCH_BIT}


class MessageKind(IntEnum):
    """What a webhook may tell of that is no event of a job. Stored numbers, beside those of EventKind."""

    TEST = 20
    BATCH_COMPLETED = 21
    ENDPOINT_DISABLED = 22


MESSAGE_EVENTS: dict[MessageKind, str] = {
    MessageKind.TEST: "webhook.test",
    MessageKind.BATCH_COMPLETED: "batch.completed",
    MessageKind.ENDPOINT_DISABLED: "endpoint.disabled",
}
DEFAULT_CALLBACK_EVENTS = ("job.completed", "job.failed", "job.cancelled")


def callback_mask(events: Iterable[str]) -> int:
    """The bits of these event names; KeyError for one that does not exist."""
    mask = 0
    for event in events:
        mask |= CALLBACK_BITS[event]
    return mask


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `data` is the event's own JSON text: progress, result or error, by kind."""

    tenant_id: int
    job_id: UUID
    sequence: int
    kind: EventKind
    attempt: int
    occurred_at: datetime
    source: str
    data: str | None


def read_progress(text: str) -> tuple[float | None, str | None]:
    """Returns the percentage and the message from the `data` of a PROGRESSED event."""
    members = json.loads(text)
    return members.get("progress"), members.get("message")


@dataclass(frozen=True, slots=True)
class Folded:
    """A job's state as its events alone tell it."""

    status: Status
    sequence: int
    attempt: int
    cancel_requested: bool = False


def fold(events: Iterable[Event]) -> Folded:
    """The state after these events, oldest first.

    Raises:
        ValueError: the sequence has a gap, does not begin at 0, or goes on after the end without a requeue.
    """
    state: Folded | None = None
    for event in events:
        expected = 0 if state is None else state.sequence + 1
        if event.sequence != expected:
            raise ValueError(f"job {event.job_id}: event {event.sequence} follows where {expected} belongs")
        state = _after(state, event)
    if state is None:
        raise ValueError("no events at all")
    return state


def _after(state: Folded | None, event: Event) -> Folded:
    if state is None:
        return Folded(Status.PENDING, 0, 0)
    if state.status.ended and event.kind is not EventKind.REQUEUED:
        raise ValueError(f"job {event.job_id}: event {event.sequence} comes after its end")
    return replace(
        state,
        status=_status_after(event.kind, state.status),
        sequence=event.sequence,
        attempt=event.attempt,
        cancel_requested=event.kind is EventKind.CANCEL_REQUESTED
        or (state.cancel_requested and event.kind is EventKind.PROGRESSED),
    )


def _status_after(kind: EventKind, before: Status) -> Status:
    match kind:
        case EventKind.STARTED:
            return Status.RUNNING
        case EventKind.PROGRESSED | EventKind.CANCEL_REQUESTED:
            return before
        case EventKind.SUBMITTED | EventKind.RETRY_SCHEDULED | EventKind.LEASE_EXPIRED | EventKind.REQUEUED:
            return Status.PENDING
        case EventKind.COMPLETED:
            return Status.COMPLETED
        case EventKind.FAILED:
            return Status.FAILED
        case EventKind.CANCELLED:
            return Status.CANCELLED
        case _:
            assert_never(kind)
