"""Reading an event stream, however its bytes are cut, and going on after a break."""

import json
import re
from collections.abc import Iterable, Iterator

import pytest

from duly.client import Client
from duly.client.event_stream import EventParser
from tests.client.conftest import ScriptedServer

JOB = '{"type":"job_progress","message":"½ grün 🎉, one\u2028two\u0085three"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
COMPLETED = b'event: job_completed\ndata: {"type":"job_completed"}\nid: 9\n\n'
Read = tuple[str, str, str, int | None]


def read(*pieces: bytes) -> list[Read]:
    """The type, data, id and retry of each block."""
    return list(reading(pieces))


def reading(pieces: Iterable[bytes]) -> Iterator[Read]:
    parser = EventParser()
    events = (event for piece in pieces for event in parser.feed(piece))
    return ((event.type, event.data, event.id, event.retry_milliseconds) for event in events)


def test_a_block_has_its_event_its_data_and_its_id() -> None:
    assert read(b'event: job_progress\ndata: {"a":1}\nid: 3\n\n') == [("job_progress", '{"a":1}', "3", None)]


def test_separators_inside_json_do_not_end_the_line() -> None:
    assert read(f"data: {JOB}\n\n".encode()) == [("message", JOB, "", None)]


def test_comments_between_blocks_and_within_them_are_skipped() -> None:
    assert read(b": still here\n", b"retry: 1000\n: c\ndata: x\n: c\n\n") == [("message", "x", "", 1000)]


def test_a_stream_is_utf_8_with_or_without_a_byte_order_mark() -> None:
    for mark in ("", "\ufeff"):
        assert read(f"{mark}data: ½\n\n".encode()) == [("message", "½", "", None)]


@pytest.mark.parametrize("rest", ["data: ha", "data: half\n", "data: half\r", "data: half\nid: 9\n", "id: 9", "\ufeff"])
def test_a_block_cut_off_by_the_end_of_the_stream_is_dropped(rest: str) -> None:
    assert read(b"data: whole\n\n", rest.encode()) == [("message", "whole", "", None)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_block_is_there_as_soon_as_its_blank_line_is(end: str) -> None:
    came: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield f"data: x{end}{end}".encode()
        assert came == ["x"]

    came.extend(data for _, data, _, _ in reading(chunks()))
    assert came == ["x"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stream_may_be_cut_at_every_byte(end: str) -> None:
    lines = ["\ufeffretry: 1000", ": c", "event: job_progress", f"data: {JOB}", "id: 3", "", "data: a", "data: b", ""]
    whole = "".join(line + end for line in lines).encode()
    expected = [("job_progress", JOB, "3", 1000), ("message", "a\nb", "3", None)]
    for cut in range(len(whole) + 1):
        assert read(whole[:cut], whole[cut:]) == expected
    assert read(*(bytes([byte]) for byte in whole)) == expected
    assert json.loads(JOB)


@pytest.mark.parametrize(
    ("sent", "resumes_after"),
    [
        pytest.param(b'data: {"type":"other"}\nid: 7\n\n', ["7"], id="an id of an event that is no job's"),
        pytest.param(b"id: 7\n\n", ["7"], id="an id without data"),
        pytest.param(b"id: 7\n\n: still here\n\n", ["7"], id="a comment with a blank line after it"),
        pytest.param(b"id: 7\n\nid: 8\n", ["7"], id="an id whose block was cut off"),
        pytest.param(b"id: 7\n\nid: 8\0\ndata: x\n\n", ["7"], id="an id with U+0000"),
        pytest.param(b": still here\n\nretry: 1\n\n", ["3"], id="no id on this connection"),
        pytest.param(b"event: job_started\ndata\n\n", ["3"], id="an event with empty data"),
    ],
)
def test_a_connection_resumes_after_the_last_whole_id(
    scripted: ScriptedServer, sent: bytes, resumes_after: list[str]
) -> None:
    scripted.answers += [HEAD + sent, HEAD + COMPLETED]
    with Client(scripted.url) as client:
        assert [frame["type"] for frame in client.stream("j1", last_event_id="3")] == ["job_completed"]
    assert re.findall(r"(?i)last-event-id: (\S+)", scripted.requests[1]) == resumes_after


@pytest.mark.parametrize("retry", [b"soon", b"", b"-5", b"1.5"])
def test_a_retry_that_is_no_pause_is_passed_over(scripted: ScriptedServer, retry: bytes) -> None:
    scripted.answers += [HEAD + b"retry: " + retry + b"\n\n", HEAD + COMPLETED]
    with Client(scripted.url) as client:
        assert [frame["type"] for frame in client.stream("j1")] == ["job_completed"]


@pytest.mark.parametrize("digits", [6, 400, 5000])
def test_no_retry_makes_the_client_pause_for_more_than_a_minute(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch, digits: int
) -> None:
    scripted.answers += [HEAD + b"retry: " + b"9" * digits + b"\n\n", HEAD + COMPLETED]
    pauses: list[float] = []
    monkeypatch.setattr("duly.client.performing.time.sleep", pauses.append)
    with Client(scripted.url) as client:
        list(client.stream("j1"))
    assert pauses == [60.0]
