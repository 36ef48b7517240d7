"""Redaction of events and explanations for readers without the scope `jobs:payload`."""

import json
from datetime import UTC, datetime

import pytest

from duly.domain.event_views import error_without_payload, frame_text, without_payload
from duly.domain.events import Event, EventKind
from duly.domain.explanation import without_payload as explanation_without_payload
from duly.domain.explanation_facts import Cause, Explanation
from duly.domain.ids import new_job_id

SECRET = "quite-secret"
ERROR = json.dumps({"code": "TASK_FAILED", "message": SECRET, "details": {"reason": SECRET, "retryable": True}})
DATA = {
    EventKind.PROGRESSED: json.dumps({"progress": 25, "message": SECRET}),
    EventKind.COMPLETED: json.dumps({"text": SECRET}),
    EventKind.REQUEUED: json.dumps({"reason": "merged", "parameters": {"text": SECRET}}),
    EventKind.SUBMITTED: json.dumps({"text": SECRET}),
}


@pytest.mark.parametrize("kind", EventKind)
def test_no_event_shows_a_payload(kind: EventKind) -> None:
    event = Event(1, new_job_id(), 3, kind, 1, datetime.now(UTC), "worker:node", DATA.get(kind, ERROR))
    redacted = without_payload(event)
    assert SECRET not in (redacted.data or "") + frame_text(redacted)
    assert (redacted.sequence, redacted.kind, redacted.attempt) == (3, kind, 1)


def test_of_an_error_its_code_is_left() -> None:
    assert json.loads(error_without_payload(ERROR) or "") == {"code": "TASK_FAILED", "message": None, "details": None}
    assert error_without_payload(None) is None


def test_of_progress_the_percentage_is_left() -> None:
    event = Event(1, new_job_id(), 3, EventKind.PROGRESSED, 1, datetime.now(UTC), "", DATA[EventKind.PROGRESSED])
    assert json.loads(frame_text(without_payload(event)))["progress"] == 25


def test_an_explanation_does_not_repeat_the_words_of_the_database() -> None:
    found = Explanation(Cause.SET_ASIDE, f"The database rejects it: {SECRET}.", {"reason": SECRET, "tries": 2})
    shown = explanation_without_payload(found)
    assert SECRET not in str(shown)
    assert shown.data["tries"] == 2
    other = Explanation(Cause.QUEUE_PAUSED, "The queue is paused.", {})
    assert explanation_without_payload(other) is other
