"""Responses that attack what reads or shows them: answers to webhooks, and results of `http.request`."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.support.attacks import clean_log
from tests.support.raw_receiver import answers_and_closes, receiver
from tests.support.service import Service, eventually

LONGEST_PAUSE = timedelta(hours=24 * 1.2)


class Attack(NamedTuple):
    """A response.

    Attributes:
        name: what it attacks.
        head: its status and headers; its length is added.
        body: its body.
        status: the status code that is recorded; None without a response.
        shown: the text that is shown of its body.
    """

    name: str
    head: bytes
    body: bytes = b""
    status: int | None = 200
    shown: str | None = ""


OK = b"HTTP/1.1 200 OK\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\n"
ATTACKS = [
    Attack("NUL in the body", OK, b"a\0b", shown="a\ufffdb"),
    Attack("invalid UTF-8", OK, b"a\xff\xfeb", shown="a\ufffd\ufffdb"),
    Attack("a surrogate in UTF-8", OK, b"\xed\xa0\x80", shown="\ufffd\ufffd\ufffd"),
    Attack("an escape sequence", OK, b"\x1b[2J\x1b]0;title\x07", shown="\x1b[2J\x1b]0;title\x07"),
    Attack("a frame of a stream", OK, b"\n\nid: 99\ndata: {}\n\n", shown="\n\nid: 99\ndata: {}\n\n"),
    Attack("a line of the log", OK, b'\n{"action":"forged"}\n', shown='\n{"action":"forged"}\n'),
    Attack("text from right to left", OK, "\u202egpj.exe".encode(), shown="\u202egpj.exe"),
    Attack("a page's script", OK, b"<script>alert(1)</script>", shown="<script>alert(1)</script>"),
    Attack("NUL in a header", OK + b"X-A: a\0b\r\n", status=None, shown=None),
    Attack("a lone CR in a header", OK + b"X-A: a\rX-B: b\r\n", status=None, shown=None),
    Attack("a folded header", OK + b"X-A: a\r\n b\r\n", status=None, shown=None),
    Attack("a header without a name", OK + b": a\r\n", status=None, shown=None),
    Attack("a header beyond ASCII", OK + b"X-A: \xff\xe9\r\n"),
    Attack("an escape sequence in the reason", b"HTTP/1.1 200 \x1b[2J\r\n"),
    Attack("two lengths", OK + b"Content-Length: 5\r\n", b"a", status=None, shown=None),
    Attack("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n", status=None, shown=None),
    Attack("a redirect inside", b"HTTP/1.1 307 No\r\nLocation: http://169.254.169.254/latest\r\n", status=307),
    Attack("a redirect to a file", b"HTTP/1.1 302 No\r\nLocation: file:///etc/passwd\r\n", status=302),
    Attack("a pause that is no number", BUSY + b"Retry-After: NaN\r\n", status=503),
    Attack("a negative pause", BUSY + b"Retry-After: -1\r\n", status=503),
    Attack("a pause of 1e999", BUSY + b"Retry-After: 1e999\r\n", status=503),
    Attack("a pause of 400 digits", BUSY + b"Retry-After: " + b"9" * 400 + b"\r\n", status=503),
    Attack("a pause to the year 9999", BUSY + b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", status=503),
    Attack(
        "a pause by a clock of its own", BUSY + b"Retry-After: 5\r\nDate: nonsense\x0b\r\n", status=None, shown=None
    ),
    Attack("an unknown order", BUSY + b"webhook-delivery: drop-table\r\n", status=503),
]
NAMED = pytest.mark.parametrize("one", ATTACKS, ids=[one.name for one in ATTACKS])


def response_of(one: Attack) -> bytes:
    return one.head + b"Content-Length: %d\r\n\r\n" % len(one.body) + one.body


@NAMED
async def test_an_answer_to_a_webhook_is_shown_clean_and_followed_nowhere(attacked: Service, one: Attack) -> None:
    async with clean_log(attacked), receiver(answers_and_closes(response_of(one))) as here:
        url = f"http://127.0.0.1:{here.port}/"
        job = await attacked.run("echo", callbackUrl=url, callbackEvents=["job.completed"])
        delivery = await eventually(lambda: attempted(attacked, job["jobId"]))
        assert here.connections == 1
    [attempt] = delivery["attempts"]
    assert attempt["statusCode"] == one.status
    assert (attempt["answer"] or "") == (one.shown or "")
    assert (attempt["error"] or "").isprintable()
    if delivery["nextAttemptAt"] is not None:
        pause = datetime.fromisoformat(delivery["nextAttemptAt"]) - datetime.now(UTC)
        assert timedelta() < pause <= LONGEST_PAUSE


async def attempted(service: Service, job_id: str) -> dict[str, Any] | None:
    """Returns the delivery of a job once an attempt of it is recorded."""
    listed = (await service.client.get(f"/api/v1/jobs/{job_id}/deliveries")).json()["items"]
    if not listed:
        return None
    delivery: dict[str, Any] = (await service.client.get(f"/api/v1/deliveries/{listed[0]['deliveryId']}")).json()
    return delivery if delivery["attempts"] else None


@NAMED
async def test_a_response_as_a_result_is_json_that_can_be_stored(attacked: Service, one: Attack) -> None:
    async with clean_log(attacked), receiver(answers_and_closes(response_of(one))) as here:
        parameters = {"url": f"http://127.0.0.1:{here.port}/", "expectStatus": [one.status or 200]}
        view = await attacked.run("http.request", parameters, maxAttempts=1)
        assert here.connections == 1
    frames = (await attacked.client.get(f"/api/v1/jobs/{view['jobId']}/events/stream")).text
    assert len(re.findall(r"^data: ", frames, re.MULTILINE)) == view["sequence"] + 1
    if one.status is None:
        assert view["status"] == "failed"
        assert view["error"]["message"].isprintable()
        return
    assert view["result"]["status"] == one.status
    assert "\0" not in json.dumps(view["result"], ensure_ascii=False)
    if view["result"]["bodyEncoding"] is None:
        assert view["result"]["body"] == one.shown
