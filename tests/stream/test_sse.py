"""Server-sent events: the text for each kind of event."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.events import Event, EventKind
from duly.stream.sse import KEEP_ALIVE, NO_ROOM, OPENING, OVERFLOW, _block, frame, position_message

JOB = UUID("0199c1f0-0000-7000-8000-000000000001")
AT = datetime(2026, 1, 27, 10, 5, 0, 123456, tzinfo=UTC)
ERROR = '{"code":"TASK_FAILED","message":"no"}'


def event(kind: EventKind, *, data: str | None = None, sequence: int = 3) -> Event:
    return Event(1, JOB, sequence, kind, 2, AT, "test", data)


def read(sent: bytes) -> tuple[str, str, dict[str, Any]]:
    """The three fields of one message, each on one line, as EventSource reads them."""
    text = sent.decode()
    assert text.endswith("\n\n")
    lines = text.removesuffix("\n\n").split("\n")
    assert [line.partition(": ")[0] for line in lines] == ["event", "data", "id"]
    assert "\r" not in text
    fields = [line.partition(": ")[2] for line in lines]
    return fields[2], fields[0], json.loads(fields[1])


@pytest.mark.parametrize(
    ("kind", "data", "type_", "more"),
    [
        (EventKind.SUBMITTED, '{"a":1}', "job_submitted", {}),
        (EventKind.STARTED, None, "job_started", {"attempt": 2}),
        (
            EventKind.PROGRESSED,
            '{"progress": 25.5, "message": "rows 1 to 250, ½"}',
            "job_progress",
            {"progress": 25.5, "message": "rows 1 to 250, ½"},
        ),
        (EventKind.RETRY_SCHEDULED, ERROR, "job_retrying", {"attempt": 2, "error": json.loads(ERROR)}),
        (EventKind.LEASE_EXPIRED, ERROR, "job_retrying", {"attempt": 2, "error": json.loads(ERROR)}),
        (EventKind.REQUEUED, '{"reason":"shut down"}', "job_retrying", {"attempt": 2}),
        (EventKind.CANCEL_REQUESTED, None, "job_cancel_requested", {"attempt": 2}),
        (EventKind.COMPLETED, '{"n":1}', "job_completed", {"attempt": 2, "result": {"n": 1}}),
        (EventKind.COMPLETED, None, "job_completed", {"attempt": 2, "result": None}),
        (EventKind.FAILED, ERROR, "job_failed", {"attempt": 2, "error": json.loads(ERROR)}),
        (EventKind.CANCELLED, ERROR, "job_cancelled", {"attempt": 2, "error": json.loads(ERROR)}),
    ],
)
def test_each_kind_has_its_frame(kind: EventKind, data: str | None, type_: str, more: dict[str, Any]) -> None:
    identity, name, members = read(frame(event(kind, data=data)))
    assert (identity, name) == ("3", type_)
    assert members == {"type": type_, "jobId": str(JOB), "sequence": 3, "at": "2026-01-27T10:05:00.123Z"} | more


def test_line_breaks_in_stored_text_do_not_break_the_frame() -> None:
    stored = '{\n  "text": "a\\nb\\r\\nc",\r\n  "id: 9": "event: x"\r}'
    _, _, members = read(frame(event(EventKind.COMPLETED, data=stored)))
    assert members["result"] == {"text": "a\nb\r\nc", "id: 9": "event: x"}


def test_text_beyond_ascii_is_sent_as_it_is() -> None:
    sent = bytes(frame(event(EventKind.COMPLETED, data='"grün 🎉 \u2028"')))
    assert "grün 🎉 \u2028".encode() in sent
    assert read(sent)[2]["result"] == "grün 🎉 \u2028"
    assert "½ grün".encode() in bytes(
        frame(event(EventKind.PROGRESSED, data='{"progress":1,"message":"\\u00bd grün"}'))
    )


def test_figures_of_a_result_are_sent_as_they_are_stored() -> None:
    stored = '{"n":123456789012345678901234567890,"x":1e-7,"y":1.0}'
    assert f'"result":{stored}}}'.encode() in bytes(frame(event(EventKind.COMPLETED, data=stored)))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values: st.SearchStrategy[object] = st.deferred(
    lambda: scalars | st.lists(json_values, max_size=3) | st.dictionaries(st.text(), json_values, max_size=3)
)


@given(json_values, st.sampled_from([None, 2]))
def test_any_result_arrives_as_it_was(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    assert read(frame(event(EventKind.COMPLETED, data=text)))[2]["result"] == value


@given(st.text())
def test_any_message_of_progress_fits_on_its_line(message: str) -> None:
    data = json.dumps({"progress": 1, "message": message})
    assert read(frame(event(EventKind.PROGRESSED, data=data)))[2]["message"] == message


@pytest.mark.parametrize(
    ("sent", "lines"),
    [
        (position_message("p1"), ["event: position", 'data: {"type":"position"}', "id: p1"]),
        (OVERFLOW, ["event: overflow", 'data: {"type":"overflow"}']),
        (NO_ROOM, ["retry: 5000", "event: overflow", 'data: {"type":"overflow"}']),
    ],
)
def test_what_tells_of_no_job_has_data_too(sent: bytes, lines: list[str]) -> None:
    assert sent.decode() == "\n".join([*lines, "", ""])


@pytest.mark.parametrize("sent", [KEEP_ALIVE, OPENING])
def test_what_has_no_data_is_a_line_and_no_block(sent: bytes) -> None:
    assert sent.endswith(b"\n") and sent.count(b"\n") == 1


@pytest.mark.parametrize("data", ["", "a\nb", "a\rb", "\n"])
def test_no_block_can_be_made_without_data_on_one_line(data: str) -> None:
    with pytest.raises(ValueError, match="'job_started' needs data on one line"):
        _block("job_started", data)
