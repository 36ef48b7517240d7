"""Representations of events outside the service."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from duly.domain.event_views import (
    VIEWS,
    WEBHOOK_BIT_OF,
    WEBHOOK_EVENT_OF,
    SubmissionEvent,
    SubmissionRecord,
    event_resource,
    frame_text,
    read_progress,
    webhook_body,
    without_payload,
)
from duly.domain.events import Event, EventKind
from duly.domain.ids import event_id
from duly.domain.webhook_events import CALLBACK_BITS

K = EventKind
JOB = UUID("0199c1f0-0000-7000-8000-000000000000")
AT = datetime(2026, 1, 27, 10, 5, 0, 123_456, tzinfo=UTC)
ERROR = '{"code":"X","message":"y"}'
SUBMISSION = SubmissionRecord(
    "echo", "default", 0, 30.0, 3, None, None, None, None, None, None, None, None, None, 0, None, None
)


def event(kind: EventKind, data: str | None = None, *, sequence: int = 3) -> Event:
    return Event(1, JOB, sequence, kind, 2, AT, "worker", data)


def resource(kind: EventKind, data: str | None = None, submission: SubmissionRecord = SUBMISSION) -> dict[str, Any]:
    shown = event_resource(event(kind, data), SubmissionEvent(event(K.SUBMITTED), "c", None, submission))
    read: dict[str, Any] = orjson.loads(orjson.dumps(shown))
    return read


def test_every_kind_is_shown_and_every_webhook_has_its_bit() -> None:
    assert set(VIEWS) == set(K)
    assert set(WEBHOOK_EVENT_OF.values()) == set(CALLBACK_BITS)
    assert WEBHOOK_BIT_OF == {K.STARTED: 1, K.PROGRESSED: 2, 3: 4, 4: 4, K.COMPLETED: 8, K.FAILED: 16, K.CANCELLED: 32}


@pytest.mark.parametrize(
    ("kind", "data", "name", "shown"),
    [
        (K.STARTED, None, "JobStarted", {"attempt": 2}),
        (K.CANCEL_REQUESTED, None, "JobCancelRequested", {"attempt": 2}),
        (K.PROGRESSED, '{"progress":25.0}', "JobProgressed", {"attempt": 2, "progress": 25, "message": None}),
        (K.RETRY_SCHEDULED, ERROR, "JobRetryScheduled", {"attempt": 2, "error": json.loads(ERROR)}),
        (K.LEASE_EXPIRED, ERROR, "JobLeaseExpired", {"attempt": 2, "error": json.loads(ERROR)}),
        (K.REQUEUED, '{"reason":"retried"}', "JobRequeued", {"attempt": 2, "reason": "retried"}),
        (K.REQUEUED, None, "JobRequeued", {"attempt": 2}),
        (K.COMPLETED, "[1]", "JobCompleted", {"attempt": 2, "result": [1]}),
        (K.COMPLETED, None, "JobCompleted", {"attempt": 2, "result": None}),
        (K.FAILED, ERROR, "JobFailed", {"attempt": 2, "error": json.loads(ERROR)}),
        (K.CANCELLED, ERROR, "JobCancelled", {"attempt": 2, "error": json.loads(ERROR)}),
    ],
)
def test_the_resource_of_an_event_holds_its_data(
    kind: EventKind, data: str | None, name: str, shown: dict[str, Any]
) -> None:
    found = resource(kind, data)
    assert (found["eventType"], found["data"]) == (name, shown)
    assert (found["eventId"], found["sequence"]) == (str(event_id(JOB, 3)), 3)
    assert found["metadata"]["causationId"] == str(event_id(JOB, 2))


def test_the_resource_of_a_submission_leaves_out_members_without_a_value() -> None:
    common = {"parameters": {"a": 1}, "type": "echo", "queue": "default", "priority": 0, "timeoutSeconds": 30}
    assert resource(K.SUBMITTED, '{"a":1}')["data"] == {**common, "maxAttempts": 3}
    more = SUBMISSION._replace(
        run_at=AT,
        depends_on=(JOB,),
        despite_failure=True,
        holds=True,
        labels='{"user":"7"}',
        callback_url="https://a.test",
        callback_events=8 | 16,
    )
    assert resource(K.SUBMITTED, '{"a":1}', more)["data"] == {
        **common,
        "maxAttempts": 3,
        "runAt": "2026-01-27T10:05:00.123Z",
        "dependsOn": [str(JOB)],
        "onDependencyFailure": "run",
        "onExhausted": "hold",
        "labels": {"user": "7"},
        "callbackUrl": "https://a.test",
        "callbackEvents": ["job.completed", "job.failed"],
    }


def test_a_number_in_a_note_keeps_its_digits() -> None:
    shown = event_resource(event(K.REQUEUED, '{"n":1.10}'), SubmissionEvent(event(K.SUBMITTED), "c", None, SUBMISSION))
    assert b'"n":1.10' in orjson.dumps(shown)


NOTES: list[tuple[EventKind, dict[str, Any], dict[str, Any]]] = [
    (K.SIGNALLED, {"signal": "approval", "body": "secret"}, {"signal": "approval"}),
    (K.PARKED, {"until": None, "signals": ["approval"]}, {"until": None, "signals": ["approval"]}),
    (K.RESUMED, {"reason": "signal", "signal": "approval"}, {"reason": "signal", "signal": "approval"}),
    (
        K.STEP_COMPLETED,
        {"step": "charge", "result": "secret", "attempts": 2, "compensation": {"parameters": "secret"}},
        {"step": "charge", "attempts": 2},
    ),
    (K.STEP_COMPENSATED, {"step": "charge", "attempts": 1}, {"step": "charge", "attempts": 1}),
    (K.COMPENSATING, {"end": "failed", "error": {"code": "X", "message": "secret"}, "steps": ["a"]}, {"end": "failed"}),
]


@pytest.mark.parametrize(("kind", "note", "named"), NOTES)
def test_steps_and_signals_are_named_in_frames_without_their_values(
    kind: EventKind, note: dict[str, Any], named: dict[str, Any]
) -> None:
    frame = json.loads(frame_text(event(kind, json.dumps(note))))
    assert (frame["type"], frame["attempt"]) == (VIEWS[kind].frame, 2)
    assert named.items() <= frame.items()
    assert "secret" not in str(frame)


@pytest.mark.parametrize(("kind", "note", "named"), NOTES)
def test_without_payload_steps_and_signals_have_no_values(
    kind: EventKind, note: dict[str, Any], named: dict[str, Any]
) -> None:
    data = json.loads(without_payload(event(kind, json.dumps(note))).data or "")
    assert set(data) == set(note)
    assert named.items() <= data.items()
    assert "secret" not in str(data)
    if "error" in note:
        assert data["error"] == {"code": "X", "message": None, "details": None}


@pytest.mark.parametrize(
    ("kind", "data", "members"),
    [
        (K.STARTED, None, {"type": "job.started", "status": "running"}),
        (K.PROGRESSED, '{"progress":1.5,"message":"m"}', {"type": "job.progress", "status": "running"}),
        (K.RETRY_SCHEDULED, ERROR, {"type": "job.retrying", "status": "pending"}),
        (K.LEASE_EXPIRED, ERROR, {"type": "job.retrying", "status": "pending"}),
        (K.COMPLETED, "[1]", {"type": "job.completed", "status": "completed", "result": [1]}),
        (K.COMPLETED, None, {"type": "job.completed", "status": "completed"}),
        (K.FAILED, ERROR, {"type": "job.failed", "status": "failed", "error": json.loads(ERROR)}),
        (K.CANCELLED, ERROR, {"type": "job.cancelled", "status": "cancelled", "error": json.loads(ERROR)}),
    ],
)
def test_the_body_of_a_webhook_tells_the_job_and_its_status(
    kind: EventKind, data: str | None, members: dict[str, Any]
) -> None:
    body = webhook_body(event(kind, data), job_type="echo", labels=None, correlation_id="c")
    read = json.loads(body)
    assert members.items() <= read.items()
    assert (read["jobId"], read["sequence"], read["attempt"], read["labels"]) == (str(JOB), 3, 2, {})
    assert ("completedAt" in read) is kind.terminal
    assert ("progress" in read) is (kind is K.PROGRESSED)
    assert ("result" in read or "error" in read) is (data is not None and kind is not K.PROGRESSED)


def test_a_frame_begins_with_its_type() -> None:
    for kind, view in VIEWS.items():
        assert frame_text(event(kind)).startswith(f'{{"type":"{view.frame}","jobId":"{JOB}","sequence":3')


def test_progress_without_data_has_neither_percentage_nor_message() -> None:
    assert read_progress(None) == (None, None)
    assert read_progress('{"progress":1,"message":"m"}') == (1, "m")
