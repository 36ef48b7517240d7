"""The client under faults: broken connections, refusals, a service that is busy or is another program."""

import json
import re
import socket
from itertools import islice
from typing import Any

import pytest

from duly.client import (
    ApiError,
    Client,
    Conflict,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooManyRequests,
    Unavailable,
    Unreachable,
)
from tests.client.conftest import ScriptedServer

ACCEPTED = {"jobId": "j1", "status": "pending", "createdAt": "2026-01-27T10:00:00.000Z", "links": {}}
ENDED: Any = {"jobId": "j1", "status": "completed"}
EVENT_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
POSITION = b'event: position\ndata: {"type":"position"}\nid: 5\n\n'
OVERFLOW = b'event: overflow\ndata: {"type":"overflow"}\n\n'


def answer(status: int, content: object = None, **headers: str) -> bytes:
    body = b"" if content is None else json.dumps(content).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def refusal(status: int, code: str, **details: object) -> dict[str, object]:
    return {"error": {"code": code, "message": f"refused with {status}.", "details": details}}


def stream(*frames: tuple[int, str]) -> bytes:
    """A stream that breaks off after these frames."""
    return EVENT_STREAM + b"".join(
        f'id: {sequence}\nevent: {kind}\ndata: {{"type":"{kind}","sequence":{sequence}}}\n\n'.encode()
        for sequence, kind in frames
    )


def test_a_submission_repeated_over_a_broken_connection_keeps_its_idempotency_key(scripted: ScriptedServer) -> None:
    scripted.answers += [b"", answer(202, ACCEPTED)]
    with Client(scripted.url) as client:
        assert client.submit("echo", {"a": 1}, max_attempts=2, callback_url="http://x/")["jobId"] == "j1"
    keys = {key for text in scripted.requests for key in re.findall(r"(?i)idempotency-key: (\S+)", text)}
    assert len(scripted.requests) == 2 and len(keys) == 1
    sent = json.loads(scripted.requests[1].split("\n\n")[1])
    assert sent == {"type": "echo", "parameters": {"a": 1}, "maxAttempts": 2, "callbackUrl": "http://x/"}


def test_a_cancellation_is_not_repeated_over_a_broken_connection(scripted: ScriptedServer) -> None:
    scripted.answers += [b"", answer(200, ENDED)]
    with Client(scripted.url) as client, pytest.raises(Unreachable):
        client.cancel("j1")
    assert len(scripted.requests) == 1


def test_a_busy_service_is_asked_again_after_the_pause_it_names(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(503, refusal(503, "DRAINING"), Retry_After="0"), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.get("j1") == ENDED


def test_a_pause_too_long_to_sit_out_is_the_callers_to_decide(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(429, refusal(429, "RATE_LIMITED", retryable=True), Retry_After="3600")]
    with Client(scripted.url) as client, pytest.raises(ApiError) as caught:
        client.submit("echo")
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (429, "RATE_LIMITED", True)


def test_an_answer_that_is_not_the_services_says_so(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(200, "<html>"), answer(200, "<html>")]
    with Client(scripted.url) as client:
        with pytest.raises(ApiError, match="without a Duly error"):
            client.get("j1")
        with pytest.raises(ApiError, match="without a Duly error"):
            list(client.stream("j1"))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(400, InvalidRequest), (401, NotAuthenticated), (403, NotAllowed), (404, NotFound), (409, Conflict)],
        *[(413, InvalidRequest), (422, InvalidRequest), (429, TooManyRequests), (503, Unavailable), (500, ApiError)],
    ],
)
def test_an_error_has_the_class_of_its_status(scripted: ScriptedServer, status: int, kind: type[ApiError]) -> None:
    details = {"remedy": "Do this.", "reason": "Because.", "retryable": False}
    scripted.answers += [answer(status, refusal(status, "CODE", **details), Retry_After="60", X_Request_Id="r-1")]
    with Client(scripted.url) as client, pytest.raises(ApiError) as caught:
        client.cancel("j1")
    error = caught.value
    assert (type(error), error.code, str(error)) == (kind, "CODE", f"refused with {status}.")
    assert (error.remedy, error.retry_after_seconds, error.request_id) == ("Do this.", 60.0, "r-1")


def test_a_problem_of_rfc_9457_is_read_as_well(scripted: ScriptedServer) -> None:
    problem = {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "Not from here.",
        "retryable": False,
    }
    scripted.answers += [answer(403, problem, Content_Type="application/problem+json")]
    with Client(scripted.url) as client, pytest.raises(NotAllowed, match=r"Not from here\.") as caught:
        client.get("j1")
    assert (caught.value.code, caught.value.details["title"]) == ("HTTP_403", "Forbidden")


def test_each_post_has_an_idempotency_key_of_its_own(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(200, {}) for _ in range(4)]
    with Client(scripted.url) as client:
        client.queues.pause("default")
        client.queues.pause("default")
        client.webhooks.create("https://client.example.com/")
        client.submit_lines([{"type": "echo"}])
    keys = [re.findall(r"(?i)idempotency-key: (\S+)", text) for text in scripted.requests]
    assert len({key for found in keys for key in found}) == len(keys) == 4


def test_nothing_listening_is_told_as_unreachable() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}"
        with Client(url) as client, pytest.raises(Unreachable, match=re.escape(url)):
            client.get("j1")


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://[::1", "http://h:x"])
def test_an_address_that_is_no_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(url))):
        Client(url)


def test_an_id_cannot_lead_to_another_path(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(404, refusal(404, "JOB_NOT_FOUND"))]
    with Client(scripted.url) as client, pytest.raises(ApiError):
        client.get("../webhooks?x=/")
    assert scripted.requests[0].startswith("GET /api/v1/jobs/%2E%2E%2Fwebhooks%3Fx%3D%2F HTTP/1.1")


def running(sequence: int) -> bytes:
    job = {"jobId": "j1", "status": "running", "sequence": sequence}
    return answer(200, job, ETag=f'"{sequence}"')


def test_waiting_follows_the_stream_after_the_state_that_it_read(scripted: ScriptedServer) -> None:
    scripted.answers += [running(2), stream((3, "job_progress"), (4, "job_completed")), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED
    assert [text.split(" ")[1] for text in scripted.requests] == [
        *("/api/v1/jobs/j1", "/api/v1/jobs/j1/events/stream", "/api/v1/jobs/j1"),
    ]
    assert "last-event-id: 2" in scripted.requests[1].lower()


def test_waiting_long_polls_with_the_etag_where_there_are_no_streams(scripted: ScriptedServer) -> None:
    scripted.answers += [running(2), answer(200, "<html>"), running(2), running(3), answer(200, ENDED)]
    with Client(scripted.url) as client:
        assert client.wait("j1") == ENDED
    assert "/events/stream" in scripted.requests[1]
    assert 'if-none-match: "2"' in scripted.requests[3].lower() and "?wait=" in scripted.requests[3]
    assert 'if-none-match: "3"' in scripted.requests[4].lower()


def test_waiting_gives_up_in_time(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(200, {"jobId": "j1", "status": "running"}, Retry_After="30")] * 3
    with Client(scripted.url) as client, pytest.raises(TimeoutError, match=r"j1 has not ended within 0\.3 s"):
        client.wait("j1", timeout=0.3)


def test_events_are_read_page_by_page(scripted: ScriptedServer) -> None:
    scripted.answers += [
        answer(200, {"items": [{"sequence": 0}], "nextCursor": "c1"}),
        answer(200, {"items": [{"sequence": 1}], "nextCursor": None}),
    ]
    with Client(scripted.url) as client:
        assert [event["sequence"] for event in client.events("j1")] == [0, 1]
    assert "cursor=c1" in scripted.requests[1]


def test_a_broken_stream_is_resumed_after_the_last_frame_seen(scripted: ScriptedServer) -> None:
    scripted.answers += [
        stream((0, "job_submitted"), (1, "job_started")),
        b"",
        stream((2, "job_progress"), (3, "job_completed")),
    ]
    with Client(scripted.url) as client:
        assert [frame["sequence"] for frame in client.stream("j1")] == [0, 1, 2, 3]
    assert "last-event-id: 1" in scripted.requests[2].lower()
    assert len(scripted.requests) == 3


def test_a_stream_of_a_job_retried_by_hand_goes_on_past_its_first_end(scripted: ScriptedServer) -> None:
    scripted.answers += [stream((2, "job_failed"), (3, "job_started")), stream((4, "job_completed"))]
    with Client(scripted.url) as client:
        assert [frame["sequence"] for frame in client.stream("j1")] == [2, 3, 4]


@pytest.mark.parametrize(
    "position",
    [
        b"retry: 1\n" + POSITION,
        b"retry: 1\n" + POSITION + OVERFLOW,
        b"retry: 1\nid: 5\n\n",
    ],
    ids=["a position", "a position and an overflow", "a position of earlier releases"],
)
def test_the_stream_of_all_jobs_goes_on_past_every_end_and_every_break(
    scripted: ScriptedServer, position: bytes
) -> None:
    scripted.answers += [
        stream((1, "job_completed"), (2, "job_failed")),
        EVENT_STREAM + position,
        stream((6, "job_completed")),
    ]
    with Client(scripted.url) as client:
        frames = client.stream_all(types=["echo", "fail"], labels={"customer": "c-42"})
        assert [(frame["id"], frame["type"]) for frame in islice(frames, 3)] == [
            *(("1", "job_completed"), ("2", "job_failed"), ("6", "job_completed")),
        ]
    assert "type=echo&type=fail&label=customer%3Ac-42" in scripted.requests[0]
    assert [re.findall(r"(?i)last-event-id: (\S+)", text) for text in scripted.requests] == [[], ["2"], ["5"]]


def test_a_stream_is_known_in_each_spelling_of_its_media_type(scripted: ScriptedServer) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream ;charset=UTF-8\r\nConnection: close\r\n\r\n"
    scripted.answers += [head + stream((1, "job_completed")).partition(b"\r\n\r\n")[2]]
    with Client(scripted.url) as client:
        assert [frame["sequence"] for frame in client.stream("j1")] == [1]


def test_a_service_without_room_is_asked_again_after_the_pause_it_names(scripted: ScriptedServer) -> None:
    no_room = EVENT_STREAM + b"retry: 1\n" + OVERFLOW
    scripted.answers += [stream((1, "job_started")), no_room, no_room, stream((2, "job_completed"))]
    with Client(scripted.url) as client:
        assert [frame["sequence"] for frame in client.stream("j1")] == [1, 2]
    assert [re.findall(r"(?i)last-event-id: (\S+)", text) for text in scripted.requests] == [[], ["1"], ["1"], ["1"]]


def test_an_answer_of_no_content_ends_the_stream(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(204)]
    with Client(scripted.url) as client:
        assert list(client.stream("j1", last_event_id="7")) == []


def test_a_stream_of_an_unknown_job_is_refused_at_once(scripted: ScriptedServer) -> None:
    scripted.answers += [answer(404, refusal(404, "JOB_NOT_FOUND"))]
    with Client(scripted.url) as client, pytest.raises(ApiError) as caught:
        list(client.stream("j1"))
    assert caught.value.status == 404 and len(scripted.requests) == 1
