"""Frames: an event as the SSE message that clients know."""

import json

from duly.domain.events import Event, EventKind
from duly.domain.json_value import rfc3339
from duly.store.views import read_progress

FRAME_TYPES = {
    EventKind.SUBMITTED: "job_submitted",
    EventKind.STARTED: "job_started",
    EventKind.PROGRESSED: "job_progress",
    EventKind.RETRY_SCHEDULED: "job_retrying",
    EventKind.LEASE_EXPIRED: "job_retrying",
    EventKind.REQUEUED: "job_retrying",
    EventKind.CANCEL_REQUESTED: "job_cancel_requested",
    EventKind.COMPLETED: "job_completed",
    EventKind.FAILED: "job_failed",
    EventKind.CANCELLED: "job_cancelled",
}
KEEP_ALIVE = b": still here\n\n"
# A browser waits this long before it connects again; a stream that the service cut short is picked up sooner.
RETRY_HINT = b"retry: 1000\n\n"
# Told to a reader that was too slow, and to one that finds no place: both may come back.
OVERFLOW = b'event: overflow\ndata: {"type":"overflow"}\n\n'
COME_LATER = b"retry: 5000\n\n"


def frame(event: Event) -> bytes:
    """The event as one SSE message; `id` is its sequence, so a reconnect resumes right after it."""
    return message(event, str(event.sequence))


def message(event: Event, identity: str) -> bytes:
    """The event as one SSE message with this id."""
    return f"id: {identity}\nevent: {FRAME_TYPES[event.kind]}\ndata: {frame_text(event)}\n\n".encode()


def position_message(identity: str) -> bytes:
    """Moves the place from where a client resumes, and is no event to it."""
    return f"id: {identity}\n\n".encode()


def frame_text(event: Event) -> str:
    """The JSON object that tells of this event, on one line."""
    name = FRAME_TYPES[event.kind]
    members: dict[str, object] = {"type": name, "jobId": str(event.job_id), "sequence": event.sequence}
    if event.kind is EventKind.PROGRESSED:
        members["progress"], members["message"] = read_progress(event.data or "{}")
    elif event.kind is not EventKind.SUBMITTED:
        members["attempt"] = event.attempt
    members["at"] = rfc3339(event.occurred_at)
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if event.kind is EventKind.COMPLETED:
        text = f'{text[:-1]},"result":{event.data or "null"}}}'
    elif event.kind in _WITH_ERROR and event.data is not None:
        text = f'{text[:-1]},"error":{event.data}}}'
    return _one_line(text)


_WITH_ERROR = frozenset({EventKind.FAILED, EventKind.CANCELLED, EventKind.RETRY_SCHEDULED, EventKind.LEASE_EXPIRED})


def _one_line(text: str) -> str:
    """JSON needs no line breaks outside of strings, and inside they are escaped: stored text may hold pretty ones."""
    return text.replace("\r", " ").replace("\n", " ")
