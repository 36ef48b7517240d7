"""Text that JSON may carry and that something else would obey: it comes out as it went in, and nothing obeys it.

One job takes each text through every place: parameters, labels, keys, progress, log lines, result or error, the job's
stream and that of all jobs, the socket, webhooks with headers, and the log of the service.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support import handlers as test_handlers
from tests.support.attacks import clean_log
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.service import Service, running_service
from tests.support.webhook_receiver import Receiver
from tests.support.websocket_client import socket_to

FORGED_FRAME = 'id: 99\nevent: job_completed\ndata: {"type":"job_completed"}\n\n'
# Each attack, and the text of it.
ATTACKS = [
    ("a frame of the stream after a line feed", f"x\n\n{FORGED_FRAME}"),
    ("a frame of the stream after a carriage return", "x\r\r" + FORGED_FRAME.replace("\n", "\r")),
    ("a frame of the stream after both", "x\r\n\r\n" + FORGED_FRAME.replace("\n", "\r\n")),
    ("the id of the stream", "x\nid: 99\n"),
    ("a comment of the stream", "\n: comment\n"),
    ("a header", "x\r\nX-Injected: 1\r\n\r\n"),
    ("a line of the log", 'x\n{"message":"forged","action":"access","status":200}\n'),
    ("a line separator", "x\u2028y\u2029z\x85"),
    ("every control character", "".join(map(chr, range(1, 32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0)))),
    ("an escape sequence", "\x1b[2J\x1b]0;title\x07\x9b31m"),
    ("text from right to left", "\u202egpj.exe\u202c \u2067abc\u2069 \u200e\u200f\u061c"),
    ("combining characters", "a" + "\u0301" * 200),
    ("invisible characters", "\u200b\u200c\u200d\u2060\ufeff\u00ad"),
    ("characters that no one has assigned", "\ufffe\uffff\U0010ffff\ue000"),
    ("characters beyond the first plane", "\U0001f4a9\U00020000\U000e0041"),
    ("two forms of one character", "\u00e9e\u0301\u212b\u00c5"),
    ("a page's script", "</script><script>alert(1)</script><img src=x onerror=alert(1)>"),
    ("SQL", "'; drop table jobs; --\\' $$ $1 %s"),
    ("format strings", "%s %n %(name)s {0} {x.__class__} ${jndi:ldap://a.example/}"),
    ("escapes as text", r"\u0000 \ud800 \\u0000 \x00 \N{NULL}"),
    ("JSON in text", '"}],"forged":true,"x":["'),
    ("the name of every object's ancestor", "__proto__"),
    ("a number as text", "1e999"),
    ("blanks only", " \t\u00a0\u3000"),
]
ENDS = ["return", "raise", "fail", "retry"]
Frame = dict[str, str]


@pytest.fixture(scope="module")
async def attacked(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    test_handlers.forget()
    modules = ("tests.support.handlers", "tests.support.hostile_handlers")
    async with databases_of(server).lent() as url, running_service(url, handlers=modules) as running:
        yield running


def frames_of(stream: str) -> list[Frame]:
    """Reads a stream by the letter of the standard: lines end with CR LF, LF or CR, and a block with an empty line."""
    frames: list[Frame] = [{}]
    for line in stream.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        if not line:
            frames.append({})
        elif name:
            assert name in {"id", "event", "data", "retry"}, line
            assert name not in frames[-1], line
            frames[-1][name] = value.removeprefix(" ")
    return [frame for frame in frames if "data" in frame]


async def stream_of(service: Service, job_id: str) -> list[Frame]:
    answer = await service.client.get(f"/api/v1/jobs/{job_id}/events/stream")
    frames = frames_of(answer.content.decode())
    assert [frame["id"] for frame in frames] == [str(number) for number in range(len(frames))]
    return frames


async def heard_by_a_socket(service: Service, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Submits over a socket, and returns all messages up to the job's end."""
    heard: list[dict[str, Any]] = []
    async with asyncio.timeout(60), socket_to(service) as socket:
        await socket.send("submit_job", ref="r", job=body)
        while not heard or heard[-1]["type"] not in {"job_completed", "job_failed"}:
            heard.append(await socket.receive())
        await socket.is_open()
    return heard


def submission(text: str, end: str, receiver: Receiver) -> dict[str, Any]:
    return {
        "type": "say",
        "parameters": {"text": text, "value": {text: [text]}, "end": end},
        "labels": {"label": text},
        "uniqueKey": f"{end} {text}"[:255],
        "concurrencyKey": text[:255],
        "callbackUrl": receiver.url,
        "callbackSecret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    }


@pytest.mark.parametrize("text", [text for _, text in ATTACKS], ids=[name for name, _ in ATTACKS])
async def test_text_comes_out_as_it_went_in_wherever_it_is_shown(
    attacked: Service, receiver: Receiver, text: str
) -> None:
    for end in ENDS:
        body = submission(text, end, receiver)
        async with clean_log(attacked) as lines:
            heard = await heard_by_a_socket(attacked, body)
        assert len(lines) <= 1
        job_id = heard[0]["jobId"]
        view = await attacked.job(job_id)
        assert view["parameters"] == body["parameters"]
        assert view["labels"] == body["labels"]
        assert view["progressMessage"] == text
        if end == "return":
            assert view["result"] == {"text": text, text: {text: [text]}}
        else:
            assert view["error"]["message"] == (f"ValueError: {text}" if end == "raise" else text)
        await check_streams(attacked, job_id, heard, view)
        await check_logs(attacked, job_id, text)
        await check_webhook(receiver, view)


async def check_streams(service: Service, job_id: str, heard: list[dict[str, Any]], view: dict[str, Any]) -> None:
    frames = await stream_of(service, job_id)
    told = [json.loads(frame["data"]) for frame in frames]
    assert [frame["event"] for frame in frames] == [one["type"] for one in told]
    assert len(frames) == view["sequence"] + 1
    assert told[-1].get("result", view["result"]) == view["result"]
    assert told[-1].get("error", view["error"]) == view["error"]
    assert [one["message"] for one in told if one["type"] == "job_progress"] == [view["progressMessage"]]
    own = [{name: value for name, value in one.items() if name != "id"} for one in heard if "sequence" in one]
    assert own[-1] == told[-1]


async def check_logs(service: Service, job_id: str, text: str) -> None:
    items = (await service.client.get(f"/api/v1/jobs/{job_id}/logs")).json()["items"]
    [said] = [item for item in items if item["level"] == "info"]
    assert said["message"] == text
    assert said["fields"] == {"field": text, f"name {text}": text}


async def check_webhook(receiver: Receiver, view: dict[str, Any]) -> None:
    received = await receiver.next()
    received.verify("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=")
    body = json.loads(received.body)
    assert (body["result"] if view["status"] == "completed" else body["error"]) == (view["result"] or view["error"])
    assert body["labels"] == view["labels"]
    assert "x-injected" not in received.headers
    assert body["jobId"] == view["jobId"]


async def test_the_stream_of_all_jobs_has_one_frame_for_each_event(attacked: Service) -> None:
    job_ids = []
    async with attacked.client.stream("GET", "/api/v1/events/stream?type=say") as answer:
        pieces = answer.aiter_bytes()
        read = await anext(pieces)
        for _, text in ATTACKS:
            job_ids.append((await attacked.run("say", {"text": text, "value": text}))["jobId"])
        async with asyncio.timeout(60):
            while read.count(b'"type":"job_completed"') < len(ATTACKS) or not read.endswith(b"\n\n"):
                read += await anext(pieces)
    frames = [json.loads(frame["data"]) for frame in frames_of(read.decode()) if frame["event"] != "position"]
    for job_id in job_ids:
        sequences = [frame["sequence"] for frame in frames if frame["jobId"] == job_id]
        assert sequences == list(range(len(sequences)))
    assert {frame["jobId"] for frame in frames} == set(job_ids)


@pytest.mark.parametrize("character", [0, 0xD800, 0xDFFF])
@pytest.mark.parametrize("end", ENDS)
async def test_a_handler_s_text_that_cannot_be_stored_is_cleaned(attacked: Service, character: int, end: str) -> None:
    view = await attacked.run("say", {"text": "x", "end": end, "character": character})
    assert view["progressMessage"] == "x\ufffd"
    if end == "return":
        assert view["result"] == {"text": "x\ufffd", "x": None}
    else:
        assert view["error"]["message"].endswith("x\ufffd")
    await stream_of(attacked, view["jobId"])
    await check_logs(attacked, view["jobId"], "x\ufffd")


# Each message of a socket that must be refused: it closes nothing and records nothing.
MESSAGES = [
    ("NUL", "\0", "INVALID_JSON"),
    ("no JSON", "{", "INVALID_JSON"),
    ("two values", "{}{}", "INVALID_JSON"),
    ("100,000 levels", "[" * 100_000, "VALIDATION_FAILED"),
    ("NaN", '{"type":"submit_job","job":{"type":"echo","priority":NaN}}', "VALIDATION_FAILED"),
    ("1e999", '{"type":"submit_job","job":{"type":"echo","parameters":1e999}}', "VALIDATION_FAILED"),
    (
        "5,000 digits",
        '{"type":"submit_job","job":{"type":"echo","parameters":%s}}' % ("1" * 5_000),
        "VALIDATION_FAILED",
    ),
    ("a NUL in a job", r'{"type":"submit_job","job":{"type":"echo","parameters":"\u0000"}}', "VALIDATION_FAILED"),
    ("a lone surrogate", r'{"type":"submit_job","job":{"type":"echo","parameters":"\ud800"}}', "VALIDATION_FAILED"),
    ("a member twice", '{"type":"ping","type":"submit_job","job":{"type":"echo"}}', "VALIDATION_FAILED"),
    ("an unknown type", r'{"type":"\u001b[2J"}', "VALIDATION_FAILED"),
    ("a type that is a list", '{"type":["submit_job"]}', "VALIDATION_FAILED"),
    (
        "a key with a line break",
        r'{"type":"submit_job","job":{"type":"echo"},"idempotencyKey":"a\nb"}',
        "VALIDATION_FAILED",
    ),
    ("a position that none gave out", '{"type":"subscribe","filter":{},"after":"AAAA"}', "VALIDATION_FAILED"),
    ("a filter with NUL", r'{"type":"subscribe","filter":{"type":["\u0000"]}}', "VALIDATION_FAILED"),
    ("an id that is a path", '{"type":"cancel_job","jobId":"../jobs"}', "NOT_FOUND"),
    ("90,000 members", "{" + ",".join(f'"m{number}":1' for number in range(90_000)) + "}", "VALIDATION_FAILED"),
]


async def test_a_hostile_message_is_refused_and_closes_nothing(attacked: Service) -> None:
    before = await attacked.sql("select count(*) from jobs")
    async with socket_to(attacked, max_size=None) as socket:
        for name, message, code in MESSAGES:
            refusal = await socket.refused(message, code)
            assert len(json.dumps(refusal)) < 20_000, name
        await socket.is_open()
    assert await attacked.sql("select count(*) from jobs") == before
