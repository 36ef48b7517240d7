"""Job type `http.request`: what it sends, how it reads responses, and which addresses it refuses."""

import asyncio
import base64
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from duly.outbound import connection_pool
from tests.support.raw_receiver import (
    EMPTY,
    Receiver,
    answers,
    answers_and_closes,
    is_silent,
    receiver,
    repeats,
)
from tests.support.response_checks import invalid_paths
from tests.support.service import Service, eventually, running_service
from tests.support.timeouts import time_out

TYPE = "http.request"
WAITING = "select reason, extract(epoch from run_at - now())::float8 as seconds from scheduled"
StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def unhurried(start_service: StartService) -> Service:
    """A service in which a retry that is due waits until the test releases it."""
    return await start_service(roles=("api", "worker"))


def url_of(here: Receiver, path: str = "/") -> str:
    return f"http://127.0.0.1:{here.port}{path}"


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def sent_headers(here: Receiver, place: int = 0) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in here.heads[place].split("\r\n")[1:-2])


async def test_the_answer_is_the_result_of_the_job(service: Service) -> None:
    async with receiver(answers(answer(201, b'{"id": 7}', X_One="a", Content_Type="application/json"))) as here:
        view = await service.run(TYPE, {"url": url_of(here, "/orders?x=1"), "body": {"total": 12.5}})
    assert view["status"] == "completed"
    duration = view["result"].pop("durationMs")
    assert 0 <= duration < 20_000
    assert view["result"] == {
        "status": 201,
        "headers": {"content-length": "9", "x-one": "a", "content-type": "application/json"},
        "body": '{"id": 7}',
        "bodyEncoding": None,
        "truncated": False,
    }
    assert here.heads[0].startswith("POST /orders?x=1 HTTP/1.1\r\n")
    assert here.bodies == [b'{"total":12.5}']


async def test_a_request_says_whose_it_is(service: Service) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with receiver(answers(EMPTY)) as here:
        submitted = await service.client.post(
            "/api/v1/jobs",
            json={"type": TYPE, "parameters": {"url": url_of(here), "headers": {"X-Api-Key": "k3y"}}},
            headers={"X-Correlation-Id": "order-7", "traceparent": trace},
        )
        job_id = submitted.json()["jobId"]
        assert (await service.ended(job_id))["status"] == "completed"
    sent = sent_headers(here)
    assert sent.pop("user-agent").startswith("Duly/")
    assert sent == {
        "host": f"127.0.0.1:{here.port}",
        "accept-encoding": "identity",
        "content-length": "0",
        "x-correlation-id": "order-7",
        "traceparent": trace,
        "idempotency-key": f"duly-{job_id}",
        "x-api-key": "k3y",
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_what_may_change_something_carries_an_idempotency_key(service: Service, method: str) -> None:
    async with receiver(answers(EMPTY)) as here:
        submitted = await service.submit(TYPE, {"url": url_of(here), "method": method})
        assert (await service.ended(submitted["jobId"]))["status"] == "completed"
    assert here.heads[0].startswith(f"{method} / HTTP/1.1\r\n")
    key = None if method in {"GET", "HEAD"} else f"duly-{submitted['jobId']}"
    assert sent_headers(here).get("idempotency-key") == key
    assert ("content-length" in sent_headers(here)) == (method in {"POST", "PUT", "PATCH"})


async def test_the_submitters_own_headers_go_before_ours(service: Service) -> None:
    own = {"Idempotency-Key": "mine", "USER-AGENT": "me", "X-Correlation-Id": "c", "Content-Type": "text/csv"}
    async with receiver(answers(EMPTY)) as here:
        await service.run(TYPE, {"url": url_of(here), "headers": own, "body": "a,b\n"})
    lines = here.heads[0].split("\r\n")
    for name, value in own.items():
        assert [line for line in lines if line.lower().startswith(f"{name.lower()}:")] == [f"{name.lower()}: {value}"]
    assert here.bodies == [b"a,b\n"]


@pytest.mark.parametrize(
    ("body", "sent", "content_type"),
    [
        ({"a": ["ü", None, 2**70]}, '{"a":["ü",null,1180591620717411303424]}'.encode(), "application/json"),
        ([], b"[]", "application/json"),
        (0, b"0", "application/json"),
        (False, b"false", "application/json"),
        ("ü {", "ü {".encode(), "text/plain; charset=utf-8"),
        ("", b"", "text/plain; charset=utf-8"),
        (None, b"", None),
    ],
)
async def test_a_body_is_sent_as_json_or_as_the_text_it_is(
    service: Service, body: Any, sent: bytes, content_type: str | None
) -> None:
    async with receiver(answers(EMPTY)) as here:
        assert (await service.run(TYPE, {"url": url_of(here), "body": body}))["status"] == "completed"
    assert here.bodies == [sent]
    assert sent_headers(here).get("content-type") == content_type


async def test_a_second_attempt_carries_the_same_idempotency_key(unhurried: Service) -> None:
    turns = iter([answers(answer(503)), answers(answer(200))])

    async def fails_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await next(turns)(reader, writer)

    async with receiver(fails_once) as here:
        submitted = await unhurried.submit(TYPE, {"url": url_of(here)})
        await unhurried.until(submitted["jobId"], lambda view: view["waitingFor"] == "retry")
        await unhurried.sql("update scheduled set run_at = now()")
        await unhurried.node.sweeper.release()
        view = await unhurried.ended(submitted["jobId"])
    assert (view["status"], view["attempt"]) == ("completed", 2)
    keys = [sent_headers(here, place)["idempotency-key"] for place in (0, 1)]
    assert keys == [f"duly-{submitted['jobId']}"] * 2


@pytest.mark.parametrize("expected", [404, [200, 404]])
async def test_an_expected_status_is_success_whatever_it_is(service: Service, expected: Any) -> None:
    async with receiver(answers(answer(404, b"none"))) as here:
        view = await service.run(TYPE, {"url": url_of(here), "method": "GET", "expectStatus": expected})
    assert (view["status"], view["result"]["status"], view["result"]["body"]) == ("completed", 404, "none")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 404, 409, 410, 422])
async def test_a_status_that_will_not_change_fails_the_job_at_once(service: Service, status: int) -> None:
    async with receiver(answers(EMPTY)) as sink:
        away = answer(status, b"s3cret-answer", Location=url_of(sink), X_Secret="s3cret-header", Retry_After="1")
        async with receiver(answers(away)) as here:
            view = await service.run(TYPE, {"url": url_of(here, "/s3cret-path?s3cret-query=1"), "method": "GET"})
            assert len(here.heads) == 1
        assert sink.connections == 0
    assert view["status"] == "failed"
    error = view["error"]
    assert error["code"] == "TASK_FAILED"
    assert error["message"] == f"GET 127.0.0.1:{here.port} returned {status}, expected any 2xx."
    assert (error["details"]["retryable"], error["details"]["attempt"]) == (False, 1)


async def test_a_2xx_that_was_not_expected_fails_the_job(service: Service) -> None:
    async with receiver(answers(answer(202))) as here:
        view = await service.run(TYPE, {"url": url_of(here), "expectStatus": [200, 201]})
    assert view["error"]["message"] == f"POST 127.0.0.1:{here.port} returned 202, expected 200 or 201."


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_a_status_that_may_pass_is_tried_again(unhurried: Service, status: int) -> None:
    async with receiver(answers(answer(status))) as here:
        submitted = await unhurried.submit(TYPE, {"url": url_of(here)})
        view = await unhurried.until(submitted["jobId"], lambda view: view["waitingFor"] == "retry")
        assert (view["status"], view["attempt"]) == ("pending", 1)
        events = await unhurried.events(submitted["jobId"])
        assert f"returned {status}, expected any 2xx." in json.dumps(events[-1])
        await unhurried.client.post(f"/api/v1/jobs/{submitted['jobId']}/cancel")


async def test_a_job_whose_attempts_are_used_up_tells_of_the_last_answer(service: Service) -> None:
    async with receiver(answers(answer(503))) as here:
        view = await service.run(TYPE, {"url": url_of(here)}, maxAttempts=1)
    assert (view["status"], view["error"]["code"]) == ("failed", "TASK_FAILED")
    assert view["error"]["message"] == f"POST 127.0.0.1:{here.port} returned 503, expected any 2xx."


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        ("1000", 980, 1000),
        ("a date in two hours", 7180, 7200),
        ("99999999", 86_380, 86_400),
        ("0", 0, 3),
        ("soon", 0, 3),
    ],
)
async def test_a_retry_waits_as_long_as_the_answer_asks_for(
    unhurried: Service, asked: str, least: float, most: float
) -> None:
    said = asked.replace("a date in two hours", format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True))
    async with receiver(answers(answer(429, Retry_After=said))) as here:
        submitted = await unhurried.submit(TYPE, {"url": url_of(here)})
        await unhurried.until(submitted["jobId"], lambda view: view["waitingFor"] == "retry")
        [row] = await unhurried.sql(WAITING)
        assert row["reason"] == 1
        assert least - 10 <= row["seconds"] <= most
        await unhurried.client.post(f"/api/v1/jobs/{submitted['jobId']}/cancel")


BROKEN = {
    "closed": (answers_and_closes(b""), "the connection was closed without a response."),
    "no HTTP": (answers_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n"), "not a valid HTTP response within the limits"),
    "flood": (repeats(b"x" * 4096, after=b"HTTP/1.1 200 OK\r\nX: "), "the response's headers are too long."),
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_request_without_an_answer_is_tried_again(unhurried: Service, kind: str) -> None:
    behaviour, words = BROKEN[kind]
    async with receiver(behaviour) as here:
        submitted = await unhurried.submit(TYPE, {"url": url_of(here, "/s3cret-path?q=s3cret")})
        await unhurried.until(submitted["jobId"], lambda view: view["waitingFor"] == "retry")
    told = (await unhurried.events(submitted["jobId"]))[-1]["data"]["error"]["message"]
    assert told.startswith(f"POST 127.0.0.1:{here.port} failed: {words.rstrip('.')}")
    await unhurried.client.post(f"/api/v1/jobs/{submitted['jobId']}/cancel")


async def test_a_request_that_cannot_connect_is_tried_again(unhurried: Service) -> None:
    async with receiver(answers(EMPTY)) as gone:
        pass
    job_id = (await unhurried.submit(TYPE, {"url": url_of(gone)}, maxAttempts=2))["jobId"]
    await unhurried.until(job_id, lambda view: view["waitingFor"] == "retry")
    error = (await unhurried.events(job_id))[-1]["data"]["error"]
    assert error["message"] == (f"POST 127.0.0.1:{gone.port} failed: connection failed (Connection refused).")
    assert error["details"]["retryable"] is True


async def test_a_timeout_of_the_job_ends_the_request(service: Service) -> None:
    async with receiver(is_silent) as here:
        job_id = (await service.submit(TYPE, {"url": url_of(here)}, maxAttempts=1))["jobId"]
        await eventually(lambda: asyncio.sleep(0, bool(here.heads)))
        await time_out(service, job_id)
        view = await service.ended(job_id)
        assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")
        await asyncio.wait_for(here.closed.wait(), 60)


async def test_a_request_may_take_longer_than_a_webhook_where_its_job_allows_it(start_service: StartService) -> None:
    service = await start_service(webhook_timeout_seconds=0.1)
    go = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(EMPTY)

    async with receiver(slow) as here:
        submitted = await service.submit(TYPE, {"url": url_of(here)}, maxAttempts=1)
        await service.until(submitted["jobId"], lambda view: view["status"] == "running")
        asyncio.get_running_loop().call_later(0.5, go.set)  # five times what a webhook gets
        assert (await service.ended(submitted["jobId"]))["status"] == "completed"


async def test_a_cancellation_ends_the_request(service: Service) -> None:
    async with receiver(is_silent) as here:
        submitted = await service.submit(TYPE, {"url": url_of(here)})
        await eventually(lambda: asyncio.sleep(0, bool(here.heads)))
        await service.client.post(f"/api/v1/jobs/{submitted['jobId']}/cancel")
        assert (await service.ended(submitted["jobId"]))["status"] == "cancelled"
        await asyncio.wait_for(here.closed.wait(), 60)


async def test_a_body_that_is_no_text_is_given_in_base64(service: Service) -> None:
    async with receiver(answers(answer(200, b"\xff\x00\xfe"))) as here:
        result = (await service.run(TYPE, {"url": url_of(here)}))["result"]
    assert (result["bodyEncoding"], base64.b64decode(result["body"])) == ("base64", b"\xff\x00\xfe")


async def test_text_that_postgres_cannot_hold_is_cleaned(service: Service) -> None:
    async with receiver(answers(answer(200, b"a\x00b", X_Latin="\u00e9"))) as here:
        result = (await service.run(TYPE, {"url": url_of(here)}))["result"]
    assert (result["body"], result["bodyEncoding"]) == ("a\ufffdb", None)


@pytest.mark.parametrize("piece", [b"x", "é".encode(), "€".encode(), "🚀".encode(), b"\x01"])
async def test_a_long_body_is_cut_between_two_characters(service: Service, piece: bytes) -> None:
    async with receiver(repeats(piece * 4096, after=b"HTTP/1.1 200 OK\r\n\r\n1")) as here:
        result = (await service.run(TYPE, {"url": url_of(here)}))["result"]
    assert (result["truncated"], result["bodyEncoding"]) == (True, None)
    assert result["body"] == "1" + piece.decode() * ((64 * 1024 - 1) // len(piece))


async def test_headers_of_the_answer_beyond_a_bound_are_left_out(service: Service) -> None:
    flood = {f"X_{number}": "v" * 1000 for number in range(25)}
    async with receiver(answers(answer(200, b"ok", **flood))) as here:
        result = (await service.run(TYPE, {"url": url_of(here)}))["result"]
    assert result["body"] == "ok"
    assert 10 < len(result["headers"]) < 20


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no url": ({"method": "GET"}, "url"),
    "a number": ({"url": 7}, "url"),
    "no http": ({"url": "ftp://example.com/"}, "url"),
    "a password": ({"url": "http://user:s3cret@example.com/"}, "url"),
    "a private address": ({"url": "http://10.0.0.1/s3cret"}, "url"),
    "metadata": ({"url": "http://169.254.169.254/latest/s3cret"}, "url"),
    "the agent of a cloud": ({"url": "http://168.63.129.16/machine/s3cret"}, "url"),
    "a private address inside": ({"url": "http://[2a00:1450::5efe:10.0.0.1]/s3cret"}, "url"),
    "an odd spelling": ({"url": "http://0x7f000001/"}, "url"),
    "localhost": ({"url": "http://localhost./"}, "url"),
    "a database": ({"url": "http://example.com:5432/"}, "url"),
    "mail": ({"url": "http://example.com:25/"}, "url"),
    "an unknown method": ({"method": "BREW"}, "method"),
    "a method in lower case": ({"method": "post"}, "method"),
    "CONNECT": ({"method": "CONNECT"}, "method"),
    "an unknown member": ({"timeout": 5}, "timeout"),
    "a header that is no token": ({"headers": {"X Y": "s3cret"}}, "headers.X Y"),
    "a header without a name": ({"headers": {"": "s3cret"}}, "headers."),
    "a line break in a name": ({"headers": {"X\r\nY": "s3cret"}}, r"headers.X\u000d\u000aY"),
    "a line break in a value": ({"headers": {"X": "s3cret\r\nY: z"}}, "headers.X"),
    "a control character": ({"headers": {"X": "s3cret\u0001"}}, "headers.X"),
    "a header that is not ASCII": ({"headers": {"X": "s3crét"}}, "headers.X"),
    "a header that is a number": ({"headers": {"X": 7}}, "headers.X"),
    "the same header twice": ({"headers": {"X": "s3cret", "x": "b"}}, "headers"),
    "too many headers": ({"headers": {f"X-{number}": "s3cret" for number in range(65)}}, "headers"),
    "a status that is none": ({"expectStatus": 99}, "expectStatus[0]"),
    "an interim status": ({"expectStatus": [200, 101]}, "expectStatus[1]"),
    "a status that is text": ({"expectStatus": ["200"]}, "expectStatus[0]"),
    "no status at all": ({"expectStatus": []}, "expectStatus"),
    **{
        f"the reserved header {name}": ({"headers": {name: "s3cret"}}, f"headers.{name}")
        for name in ("Host", "content-length", "Connection", "Transfer-Encoding", "Accept-Encoding", "Upgrade", "TE")
    },
}


async def test_what_can_be_known_bad_is_refused_at_submission_and_nothing_is_recorded(
    start_service: StartService,
) -> None:
    service = await start_service(webhook_allow_networks=())
    for kind, (members, path) in REFUSED.items():
        parameters = members if kind == "no url" else {"url": "https://example.com/", **members}
        answered = await service.client.post("/api/v1/jobs", json={"type": TYPE, "parameters": parameters})
        assert invalid_paths(answered) == [f"parameters.{path}"], kind
        assert "s3cret" not in answered.text, kind
    assert (await service.sql("select count(*) from jobs"))[0][0] == 0


async def test_a_network_that_is_allowed_may_be_called_on_any_port(start_service: StartService) -> None:
    service = await start_service(webhook_allow_networks=("10.0.0.0/8",))
    await service.submit(TYPE, {"url": "http://10.0.0.1:5432/"}, runAt="2100-01-01T00:00:00Z")
    refused = {"type": TYPE, "parameters": {"url": "http://127.0.0.1/"}}
    answered = await service.client.post("/api/v1/jobs", json=refused)
    assert invalid_paths(answered) == ["parameters.url"]


async def test_the_ports_of_the_settings_hold_for_callbacks_and_requests(start_service: StartService) -> None:
    service = await start_service(webhook_allow_networks=(), webhook_ports=("443", "5432", "9000-9010"))
    later = {"runAt": "2100-01-01T00:00:00Z"}
    for port in (443, 5432, 9000, 9010):
        await service.submit(TYPE, {"url": f"https://example.com:{port}/"}, **later)
        await service.submit("echo", callbackUrl=f"https://example.com:{port}/", **later)
    for port in (80, 8080, 9092):
        url = f"http://example.com:{port}/"
        answered = await service.client.post("/api/v1/jobs", json={"type": TYPE, "parameters": {"url": url}})
        assert invalid_paths(answered) == ["parameters.url"]
        answered = await service.client.post("/api/v1/jobs", json={"type": "echo", "callbackUrl": url})
        assert invalid_paths(answered) == ["callbackUrl"]


async def test_a_name_that_leads_inside_fails_the_job_at_once(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def fake(host: Any, port: Any, *more: Any) -> Any:
        return real("127.0.0.1" if host == "hooks.example" else host, port, *more)

    monkeypatch.setattr(socket, "getaddrinfo", fake)
    service = await start_service(webhook_allow_networks=())
    async with receiver(answers(EMPTY)) as here:
        view = await service.run(TYPE, {"url": f"http://hooks.example:{here.port}/s3cret"})
        assert here.connections == 0
    assert (view["status"], view["attempt"], view["error"]["details"]["retryable"]) == ("failed", 1, False)
    assert view["error"]["message"].startswith(
        f"POST hooks.example:{here.port} failed: Blocked destination 127.0.0.1: it is in 127.0.0.0/8 (loopback). "
    )
    assert "s3cret" not in json.dumps(view["error"])


async def test_nothing_of_a_request_that_could_be_a_secret_is_logged_or_told(
    service: Service, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {
        "headers": {"Authorization": "Bearer s3cret"},
        "body": {"password": "s3cret"},
    }
    for behaviour in (answers(answer(200, b"s3cret")), answers(answer(400, b"s3cret")), answers_and_closes(b"s3cret")):
        async with receiver(behaviour) as here:
            url = url_of(here, "/s3cret?token=s3cret")
            view = await service.run(TYPE, {"url": url, **secret}, maxAttempts=1)
            assert "s3cret" not in json.dumps(view["error"])
            events = [event for event in await service.events(view["jobId"]) if event["eventType"] != "JobCompleted"]
            assert "s3cret" not in json.dumps([event for event in events if event["eventType"] != "JobSubmitted"])
    assert "s3cret" not in caplog.text
    assert "s3cret" not in "".join(capsys.readouterr())


async def test_requests_and_webhooks_share_no_connection_and_both_are_closed_with_the_node(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_pool, "_KEEP_ALIVE_SECONDS", 3600)
    async with receiver(answers(EMPTY)) as here:
        async with running_service(database_url) as service:
            for _ in range(3):
                await service.run(TYPE, {"url": url_of(here)}, callbackUrl=url_of(here, "/hook"))
                await eventually(lambda: all_delivered(service))  # two webhooks at once need two connections
        requested = [head for head in here.heads if "idempotency-key" in head]
        assert (len(here.heads), len(requested), here.connections) == (6, 3, 2)
        async with asyncio.timeout(60):  # long before idle connections are closed
            while here.open:
                here.closed.clear()
                await here.closed.wait()


async def all_delivered(service: Service) -> bool:
    return await service.sql("select from deliveries") == []


async def test_it_cannot_follow_a_batch_for_it_would_not_take_what_it_is_told(service: Service) -> None:
    then = {"type": TYPE, "parameters": {"url": "https://example.com/"}}
    body = {"jobs": [{"type": "echo"}], "then": then}
    answered = await service.client.post("/api/v1/jobs/batch", json=body)
    assert invalid_paths(answered) == ["then.parameters.batch"]
