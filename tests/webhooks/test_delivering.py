"""Webhooks as sent to a receiver: events, body, headers and signatures."""

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any
from uuid import UUID

from standardwebhooks.webhooks import Webhook

from duly import __version__
from duly.domain.webhook_events import CALLBACK_BITS
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Received, Receiver

MEMBERS = {"type", "timestamp", "jobId", "status", "sequence", "jobType", "attempt", "labels", "correlationId"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FALLBACK_SECRET = "whsec_dGVzdA=="


async def all_sent(service: Service) -> None:
    """Returns once the outbox is empty."""

    async def look() -> bool:
        return not await service.sql("select from deliveries limit 1")

    await eventually(look)


async def told_of(service: Service, receiver: Receiver) -> list[dict[str, Any]]:
    """All bodies that were sent, in the order of their events."""
    await all_sent(service)
    bodies = [json.loads(receiver.received.get_nowait().body) for _ in range(receiver.received.qsize())]
    return sorted(bodies, key=lambda body: int(body["sequence"]))


async def test_starts_and_retries_are_told_to_who_asked_for_them(service: Service, receiver: Receiver) -> None:
    submitted = await service.submit(
        "raise",
        {"succeed_on": 2, "text": "once"},
        callbackUrl=receiver.url,
        callbackEvents=list(CALLBACK_BITS),
        labels={"customer": "Zoë"},
    )
    job = await service.ended(submitted["jobId"])
    first, retrying, second, completed = await told_of(service, receiver)
    assert [body["type"] for body in (first, retrying, second, completed)] == [
        "job.started",
        "job.retrying",
        "job.started",
        "job.completed",
    ]
    assert set(first) == set(second) == MEMBERS
    assert (first["status"], first["attempt"], second["attempt"]) == ("running", 1, 2)
    assert set(retrying) == MEMBERS | {"error"}
    assert (retrying["status"], retrying["attempt"], retrying["error"]["code"]) == ("pending", 1, "TASK_FAILED")
    assert retrying["error"]["message"] == "ValueError: once"
    assert set(completed) == MEMBERS | {"result", "completedAt"}
    assert completed["completedAt"] == completed["timestamp"] == job["completedAt"]
    assert completed["result"] == 2
    for body in (first, retrying, second, completed):
        assert (body["jobId"], body["jobType"]) == (job["jobId"], "raise")
        assert (body["labels"], body["correlationId"]) == ({"customer": "Zoë"}, job["correlationId"])


async def test_a_failure_is_told_with_the_error_that_a_reader_sees(service: Service, receiver: Receiver) -> None:
    job = await service.run("fail", callbackUrl=receiver.url)
    (body,) = await told_of(service, receiver)
    assert set(body) == MEMBERS | {"error", "completedAt"}
    assert (body["type"], body["status"], body["sequence"]) == ("job.failed", "failed", job["sequence"])
    assert body["error"] == job["error"]
    assert body["error"]["code"] == "CUSTOMER_UNKNOWN"
    assert body["labels"] == {}


async def test_a_cancelled_job_is_told_of_whether_it_waited_or_ran(service: Service, receiver: Receiver) -> None:
    waiting = await service.submit("echo", {}, delaySeconds=3600, callbackUrl=receiver.url)
    running = await service.submit("wait-for-gate", {"name": "cancelled"}, callbackUrl=receiver.url)
    await has_entered("cancelled").wait()
    for job_id in (waiting["jobId"], running["jobId"]):
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
        await service.ended(job_id)
    bodies = await told_of(service, receiver)
    assert {body["jobId"]: (body["type"], body["status"], body["error"]["code"]) for body in bodies} == {
        waiting["jobId"]: ("job.cancelled", "cancelled", "CANCELLED"),
        running["jobId"]: ("job.cancelled", "cancelled", "CANCELLED"),
    }
    assert all(set(body) == MEMBERS | {"error", "completedAt"} for body in bodies)


async def test_progress_is_told_with_its_figure_and_at_most_once_a_second(service: Service, receiver: Receiver) -> None:
    submitted = await service.submit(
        "tell-at-gates", {"name": "told", "steps": 4}, callbackUrl=receiver.url, callbackEvents=["job.progress"]
    )
    for step in (1, 2, 3):
        gate(f"told-{step}").set()
    await has_entered("told-4").wait()
    # Rather than wait for a second, the moment of the last webhook is put back by one.
    await service.sql("update running set progress_told_at = progress_told_at - interval '1001 ms'")
    gate("told-4").set()
    await service.ended(submitted["jobId"])
    bodies = await told_of(service, receiver)
    rows = await service.sql("select sequence, occurred_at from events where kind = 2 order by sequence")
    (sequence, last), *others, (final, _) = rows
    expected = [sequence]
    for sequence, at in others:
        if at - last >= timedelta(seconds=1):  # the machine stood still
            expected, last = [*expected, sequence], at
    assert [body["sequence"] for body in bodies] == [*expected, final]
    first, *_, fourth = bodies
    assert set(first) == set(fourth) == MEMBERS | {"progress", "message"}
    assert (first["type"], first["status"]) == ("job.progress", "running")
    assert (first["progress"], first["message"], first["sequence"]) == (1, "step 1", 2)
    assert (fourth["progress"], fourth["message"], fourth["sequence"]) == (4, "step 4", 5)


async def test_without_callback_events_only_ends_are_told(service: Service, receiver: Receiver) -> None:
    await service.run("raise", {"succeed_on": 2}, callbackUrl=receiver.url)
    await service.run("progress", callbackUrl=receiver.url)
    assert [body["type"] for body in await told_of(service, receiver)] == ["job.completed", "job.completed"]


async def test_an_end_that_was_not_asked_for_is_not_told(service: Service, receiver: Receiver) -> None:
    await service.run("echo", callbackUrl=receiver.url, callbackEvents=["job.failed", "job.cancelled"])
    await service.run("fail", callbackUrl=receiver.url, callbackEvents=["job.failed"])
    assert [body["type"] for body in await told_of(service, receiver)] == ["job.failed"]


def _library_of(secret: str) -> Webhook:
    """The published library takes base64 only: a secret in plain text is handed to it in that form."""
    return Webhook(secret if secret.startswith("whsec_") else b64encode(secret.encode()).decode())


SECRETS = ("It's a Secret to Everybody", "geheim-ü🎉", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", None)


async def test_the_published_library_verifies_what_is_sent(service: Service, receiver: Receiver) -> None:
    for secret in SECRETS:
        named = {} if secret is None else {"callbackSecret": secret}
        await service.submit("echo", {"text": "grün 🎉 \u2028"}, callbackUrl=receiver.url, **named)
        sent = await receiver.next()
        used = secret or FALLBACK_SECRET
        assert _library_of(used).verify(sent.body.decode(), dict(sent.headers))["type"] == "job.completed"
        sent.verify(used)
        assert secret is None or secret.encode() not in sent.body


async def test_the_headers_name_the_event_the_service_and_the_trace(service: Service, receiver: Receiver) -> None:
    answer = await service.client.post(
        "/api/v1/jobs",
        json={"type": "echo", "callbackUrl": receiver.url},
        headers={"traceparent": TRACEPARENT, "X-Correlation-Id": "order-7/a"},
    )
    sent = await receiver.next()
    events = await service.events(answer.json()["jobId"])
    assert sent.headers["webhook-id"] == events[-1]["eventId"]
    assert sent.headers["user-agent"] == f"Duly/{__version__}"
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["traceparent"] == TRACEPARENT
    assert sent.headers["x-correlation-id"] == json.loads(sent.body)["correlationId"] == "order-7/a"


async def test_a_job_without_a_trace_sends_none(service: Service, receiver: Receiver) -> None:
    job = await service.run("echo", callbackUrl=receiver.url)
    sent = await receiver.next()
    assert "traceparent" not in sent.headers
    assert sent.headers["x-correlation-id"] == job["correlationId"]


def _result_text(sent: Received) -> str:
    text = sent.body.decode()
    return text[text.index('"result":') + len('"result":') : -1]


RESULTS = (
    '{"n":123456789012345678901234567890123}',
    '{"n":9007199254740993}',
    '{"n":[0.1,1e-7,1.5e300,-0.0,100.0]}',
    '{"grün 🎉":"\\u2028 \\" \\\\ \\n ü"}',
    '{"empty":[{},[],"",null,true]}',
)


async def test_a_result_is_sent_as_it_is_stored(service: Service, receiver: Receiver) -> None:
    for result in RESULTS:
        body = f'{{"type":"echo","parameters":{result},"callbackUrl":"{receiver.url}"}}'.encode()
        answer = await service.client.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 202, answer.text
        sent = await receiver.next()
        (row,) = await service.sql(
            "select data::text as stored from events where kind = 10 and job_id = $1", UUID(answer.json()["jobId"])
        )
        assert _result_text(sent) == row["stored"]
        assert repr(json.loads(_result_text(sent))) == repr(json.loads(result))


async def test_a_result_of_nothing_is_sent_as_null(service: Service, receiver: Receiver) -> None:
    await service.run("return-nothing", callbackUrl=receiver.url)
    assert json.loads((await receiver.next()).body)["result"] is None
