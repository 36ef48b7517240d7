"""Representations of events outside the service: event resource, SSE frame, webhook body.

`view_of` has one row for each kind of event. A new kind is added to `EventKind`, and the type checker then lists what
is missing: its row here and its status in `events.status_after`. Stored JSON is embedded as it is, never parsed.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from typing import Final, NamedTuple, assert_never, cast
from uuid import UUID

import orjson
from orjson import Fragment

from duly.domain.events import Event, EventKind, Status, status_after
from duly.domain.ids import event_id_text
from duly.domain.json_numbers import plain_number
from duly.domain.json_reader import read_kept
from duly.domain.json_writer import dump_text
from duly.domain.timestamps import rfc3339
from duly.domain.webhook_events import CALLBACK_BITS


class EventData(Enum):
    """Content of an event's stored data."""

    NONE = auto()
    PARAMETERS = auto()
    PROGRESS = auto()  # {"progress": percent or null, "message": text or null}
    RESULT = auto()
    ERROR = auto()
    NOTE = auto()  # object whose members are shown beside the attempt


class EventView(NamedTuple):
    """Names of one kind of event, and its data. `webhook` is None for kinds without a webhook."""

    resource: str
    frame: str
    webhook: str | None
    data: EventData


def _view_of(kind: EventKind) -> EventView:  # noqa: C901, PLR0911, PLR0912  # a table that the type checker completes
    match kind:
        case EventKind.SUBMITTED:
            return EventView("JobSubmitted", "job_submitted", None, EventData.PARAMETERS)
        case EventKind.STARTED:
            return EventView("JobStarted", "job_started", "job.started", EventData.NONE)
        case EventKind.PROGRESSED:
            return EventView("JobProgressed", "job_progress", "job.progress", EventData.PROGRESS)
        case EventKind.RETRY_SCHEDULED:
            return EventView("JobRetryScheduled", "job_retrying", "job.retrying", EventData.ERROR)
        case EventKind.LEASE_EXPIRED:
            return EventView("JobLeaseExpired", "job_retrying", "job.retrying", EventData.ERROR)
        case EventKind.CANCEL_REQUESTED:
            return EventView("JobCancelRequested", "job_cancel_requested", None, EventData.NONE)
        case EventKind.REQUEUED:
            return EventView("JobRequeued", "job_retrying", None, EventData.NOTE)
        case EventKind.STEP_COMPLETED:
            return EventView("JobStepCompleted", "job_step_completed", None, EventData.NOTE)
        case EventKind.PARKED:
            return EventView("JobParked", "job_parked", None, EventData.NOTE)
        case EventKind.RESUMED:
            return EventView("JobResumed", "job_resumed", None, EventData.NOTE)
        case EventKind.SIGNALLED:
            return EventView("JobSignalled", "job_signalled", None, EventData.NOTE)
        case EventKind.COMPENSATING:
            return EventView("JobCompensating", "job_compensating", None, EventData.NOTE)
        case EventKind.STEP_COMPENSATED:
            return EventView("JobStepCompensated", "job_step_compensated", None, EventData.NOTE)
        case EventKind.HELD:
            return EventView("JobHeld", "job_held", None, EventData.ERROR)
        case EventKind.COMPLETED:
            return EventView("JobCompleted", "job_completed", "job.completed", EventData.RESULT)
        case EventKind.FAILED:
            return EventView("JobFailed", "job_failed", "job.failed", EventData.ERROR)
        case EventKind.CANCELLED:
            return EventView("JobCancelled", "job_cancelled", "job.cancelled", EventData.ERROR)
        case _:
            assert_never(kind)


# Members of notes that hold no payload: names, times and numbers.
_PLAIN: Final = frozenset(
    {
        *("reason", "signal", "signals", "until", "step", "steps", "attempts", "startedAt", "end", "fromStep"),
        *("forgotten", "children"),
    }
)
# Of these, the members of frames: with the values of steps and signals, a frame could be large.
_OF_FRAMES: Final = ("reason", "signal", "signals", "until", "step", "steps", "attempts", "end", "children")
VIEWS: Final = {kind: _view_of(kind) for kind in EventKind}
# Status in a webhook's body. A job is running when it reports progress.
_STATUS: Final = {kind: status_after(kind, Status.RUNNING) for kind in EventKind}
WEBHOOK_EVENT_OF: Final = {kind: view.webhook for kind, view in VIEWS.items() if view.webhook is not None}
WEBHOOK_BIT_OF: Final = {kind: CALLBACK_BITS[event] for kind, event in WEBHOOK_EVENT_OF.items()}
WITH_ERROR: Final = frozenset(kind for kind, view in VIEWS.items() if view.data is EventData.ERROR)


class SubmissionRecord(NamedTuple):
    """Members of a submission that are recorded beside its parameters; the webhook secret is not among them.

    `labels` is JSON text.
    """

    type: str
    queue: str
    priority: int
    timeout_seconds: float
    max_attempts: int
    run_at: datetime | None
    expires_at: datetime | None
    unique_key: str | None
    concurrency_key: str | None
    depends_on: Sequence[UUID] | None
    despite_failure: bool | None
    holds: bool | None
    labels: str | None
    callback_url: str | None
    callback_events: int
    batch_id: UUID | None
    parent_id: UUID | None


class SubmissionEvent(NamedTuple):
    """Event 0 of a job, the members of its submission, and the metadata that all events of the job share."""

    event: Event
    correlation_id: str
    traceparent: str | None
    submission: SubmissionRecord


def read_progress(text: str | None) -> tuple[float | None, str | None]:
    """Returns the percentage and the message in the data of a progress event."""
    data = json.loads(text or "{}")
    return data.get("progress"), data.get("message")


def without_payload(event: Event) -> Event:
    """Returns the event for readers who may not see payloads: without parameters, result and progress text; of an
    error, only its code is left.
    """
    match VIEWS[event.kind].data:
        case EventData.PROGRESS:
            return replace(event, data=json.dumps({"progress": read_progress(event.data)[0], "message": None}))
        case EventData.ERROR:
            return replace(event, data=error_without_payload(event.data))
        case EventData.NOTE:
            note = json.loads(event.data or "{}")
            shown = {name: value if name in _PLAIN else None for name, value in note.items()}
            if note.get("error") is not None:
                shown["error"] = json.loads(error_without_payload(json.dumps(note["error"])) or "null")
            return replace(event, data=json.dumps(shown))
        case _:
            return replace(event, data=None)


def error_without_payload(error: str | None) -> str | None:
    """Returns an error, as JSON, without its texts: they may quote parameters."""
    if error is None:
        return None
    return json.dumps({"code": json.loads(error)["code"], "message": None, "details": None})


def event_resource(event: Event, submitted: SubmissionEvent) -> dict[str, object]:
    """Returns the event as an item of a job's history in the API."""
    before = event_id_text(event.job_id, event.sequence - 1) if event.sequence else None
    return {
        "eventId": event_id_text(event.job_id, event.sequence),
        "eventType": VIEWS[event.kind].resource,
        "eventVersion": "1.0",
        "occurredAt": rfc3339(event.occurred_at),
        "aggregateId": str(event.job_id),
        "aggregateType": "Job",
        "sequence": event.sequence,
        "data": _resource_data(event, submitted.submission),
        "metadata": {
            "correlationId": submitted.correlation_id,
            "causationId": before,
            "source": event.source,
            "traceparent": submitted.traceparent,
        },
    }


def _resource_data(event: Event, submission: SubmissionRecord) -> dict[str, object]:
    stored = Fragment(event.data) if event.data is not None else None
    match shape := VIEWS[event.kind].data:
        case EventData.PARAMETERS:
            return {"parameters": stored, **_submission_members(submission)}
        case EventData.PROGRESS:
            progress, message = read_progress(event.data)
            return {"attempt": event.attempt, "progress": plain_number(progress), "message": message}
        case EventData.RESULT:
            return {"attempt": event.attempt, "result": stored}
        case EventData.ERROR:
            return {"attempt": event.attempt, "error": stored}
        case EventData.NOTE:
            note = cast("dict[str, object]", read_kept(event.data or "{}"))
            return {"attempt": event.attempt, **{name: Fragment(dump_text(member)) for name, member in note.items()}}
        case EventData.NONE:
            return {"attempt": event.attempt}
        case _:
            assert_never(shape)


def _submission_members(submission: SubmissionRecord) -> dict[str, object]:
    """Returns the members of a submission by their names in the API, without those that have no value."""
    url, events = submission.callback_url, submission.callback_events
    members: dict[str, object] = {
        "type": submission.type,
        "queue": submission.queue,
        "priority": submission.priority,
        "timeoutSeconds": plain_number(submission.timeout_seconds),
        "maxAttempts": submission.max_attempts,
        "runAt": _time(submission.run_at),
        "expiresAt": _time(submission.expires_at),
        "uniqueKey": submission.unique_key,
        "concurrencyKey": submission.concurrency_key,
        "dependsOn": [str(job_id) for job_id in submission.depends_on] if submission.depends_on else None,
        "onDependencyFailure": "run" if submission.despite_failure else None,
        "onExhausted": "hold" if submission.holds else None,
        "labels": Fragment(submission.labels) if submission.labels is not None else None,
        "callbackUrl": url,
        "callbackEvents": [name for name, bit in CALLBACK_BITS.items() if events & bit] if url else None,
        "batchId": str(submission.batch_id) if submission.batch_id is not None else None,
        "parentId": str(submission.parent_id) if submission.parent_id is not None else None,
    }
    return {name: value for name, value in members.items() if value is not None}


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None


def frame_text(event: Event) -> str:
    """Returns the data of the event's SSE frame: a JSON object on one line."""
    view = VIEWS[event.kind]
    members: dict[str, object] = {"type": view.frame, "jobId": str(event.job_id), "sequence": event.sequence}
    if view.data is EventData.PROGRESS:
        members["progress"], members["message"] = read_progress(event.data)
    elif view.data is not EventData.PARAMETERS:
        members["attempt"] = event.attempt
    if view.data is EventData.NOTE and event.kind is not EventKind.REQUEUED:
        note = json.loads(event.data or "{}")
        members |= {name: note[name] for name in _OF_FRAMES if name in note}
    members["at"] = rfc3339(event.occurred_at)
    text = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    if view.data is EventData.RESULT:
        text = f'{text[:-1]},"result":{event.data or "null"}}}'
    elif view.data is EventData.ERROR and event.data is not None:
        text = f'{text[:-1]},"error":{event.data}}}'
    # Line breaks in JSON are outside of strings, where a space means the same.
    return text.replace("\r", " ").replace("\n", " ")


def webhook_body(event: Event, *, job_type: str | None, labels: str | None, correlation_id: str | None) -> bytes:
    """Returns the body of the event's webhook, identical on every attempt. `labels` is JSON text."""
    view, moment = VIEWS[event.kind], rfc3339(event.occurred_at)
    members: dict[str, object] = {
        "type": view.webhook,
        "timestamp": moment,
        "jobId": str(event.job_id),
        "status": _STATUS[event.kind],
    }
    if view.data is EventData.PROGRESS:
        members["progress"], members["message"] = read_progress(event.data)
    if event.kind.terminal:
        members["completedAt"] = moment
    members |= {
        "sequence": event.sequence,
        "jobType": job_type,
        "attempt": event.attempt,
        "labels": Fragment(labels or "{}"),
        "correlationId": correlation_id,
    }
    if event.data is not None and view.data in _DATA_MEMBER:
        members[_DATA_MEMBER[view.data]] = Fragment(event.data)
    return orjson.dumps(members)


_DATA_MEMBER: Final = {EventData.RESULT: "result", EventData.ERROR: "error"}
