"""`/ws/jobs`: submitting, following and cancelling jobs over one connection."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duly.api.streams import subscriptions, websocket
from duly.domain.events import EventKind
from duly.domain.steps import SIGNAL_LIMIT
from duly.stream import tenant_feed
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually
from tests.support.tenant_stream import following_all, take
from tests.support.websocket_client import Socket, socket_to

StartService = Callable[..., Any]
TYPES_OF_A_RUN = ["job_submitted", "job_started", "job_completed"]


async def submitted(socket: Socket, type_: str, parameters: Any = None, **members: Any) -> dict[str, Any]:
    job = {"type": type_, "parameters": {} if parameters is None else parameters, **members}
    accepted = await socket.request("submit_job", ref="s", job=job)
    assert accepted["type"] == "job_accepted", accepted
    return accepted


async def test_a_job_is_submitted_and_followed_to_its_end(service: Service) -> None:
    async with socket_to(service) as socket:
        accepted = await socket.request("submit_job", ref="a1", job={"type": "echo", "parameters": {"n": 1}})
        frames = await socket.receive_many(3)
        await socket.is_open()
    job = await service.job(accepted["jobId"])
    path = f"/api/v1/jobs/{job['jobId']}"
    assert accepted == {
        "type": "job_accepted",
        "ref": "a1",
        "jobId": job["jobId"],
        "status": "pending",
        "createdAt": job["createdAt"],
        "links": {
            "self": path,
            "events": f"{path}/events",
            "stream": f"{path}/events/stream",
            "cancel": f"{path}/cancel",
        },
    }
    assert [frame["type"] for frame in frames] == TYPES_OF_A_RUN
    assert [frame["id"] for frame in frames] == [frame["sequence"] for frame in frames] == [0, 1, 2]
    assert frames[2]["result"] == job["result"]


async def test_what_a_socket_is_told_is_what_a_stream_is_told(service: Service) -> None:
    async with following_all(service) as frames, socket_to(service) as socket:
        acknowledged = await socket.request("subscribe", ref="all", filter={})
        assert (acknowledged["type"], acknowledged["ref"]) == ("subscribed", "all")
        await service.run("progress", {"steps": 3})
        told = await take(frames, 6)
        heard = await socket.receive_many(6)
    assert heard == [{"id": frame.id, **(frame.data or {})} for frame in told]


async def test_a_job_can_be_followed_from_any_place(service: Service) -> None:
    job = await service.run("progress", {"steps": 3})
    async with socket_to(service) as socket:
        await socket.send("subscribe", jobId=job["jobId"])
        whole = await socket.receive_many(job["sequence"] + 1)
        assert [frame["id"] for frame in whole] == list(range(job["sequence"] + 1))
        for after in range(-1, job["sequence"]):
            for written in (after, str(after)) if after >= 0 else (after,):
                await socket.send("subscribe", jobId=job["jobId"], after=written)
                assert await socket.receive_many(job["sequence"] - after) == whole[after + 1 :]
        await socket.send("subscribe", jobId=job["jobId"], after=job["sequence"])
        await socket.is_open()


async def test_a_filter_resumes_after_any_frame(service: Service) -> None:
    async with socket_to(service) as socket:
        acknowledged = await socket.request("subscribe", ref="r", filter={"type": "echo", "label": ["region:eu"]})
        await service.run("echo")
        for region in ("eu", "us", "eu"):
            await service.run("echo", labels={"region": region})
        whole = await socket.receive_many(6)
    for number, last in enumerate([acknowledged["after"], *(frame["id"] for frame in whole)]):
        async with socket_to(service) as socket:
            await socket.send("subscribe", filter={"type": ["echo"], "label": "region:eu"}, after=last)
            assert await socket.receive_many(6 - number) == whole[number:]
            await socket.is_open()


async def test_who_unsubscribes_hears_no_more(service: Service) -> None:
    async with socket_to(service) as socket:
        accepted = await submitted(socket, "tell-at-gates", {"name": "leave", "steps": 1})
        assert [frame["type"] for frame in await socket.receive_many(2)] == TYPES_OF_A_RUN[:2]
        await socket.request("subscribe", ref="r", filter={"type": "echo", "queue": ["default"]})
        told = await socket.request("unsubscribe", ref="u", jobId=accepted["jobId"])
        assert told == {"type": "unsubscribed", "ref": "u", "jobId": accepted["jobId"]}
        ended = await socket.request("unsubscribe", ref="v", filter={"queue": "default", "type": ["echo"]})
        assert ended == {"type": "unsubscribed", "ref": "v"}
        gate("leave-1").set()
        await service.ended(accepted["jobId"])
        await service.run("echo")
        await socket.is_open()
        await nobody_follows(service)


async def nobody_follows(service: Service) -> None:
    async def look() -> bool:
        return not service.node.tails.of(1)._watches and not service.node.hub._watches

    await eventually(look)


async def test_a_job_is_cancelled(service: Service) -> None:
    async with socket_to(service) as socket:
        waiting = await submitted(socket, "echo", delaySeconds=3600)
        assert (await socket.receive())["type"] == "job_submitted"
        await socket.send("cancel_job", jobId=waiting["jobId"])
        frame = await socket.receive()
        assert (frame["type"], frame["error"]["code"]) == ("job_cancelled", "CANCELLED")
        running = await submitted(socket, "wait-for-gate", {"name": "cancelled"})
        await has_entered("cancelled").wait()
        await socket.receive_many(2)
        await socket.send("cancel_job", ref="c", jobId=running["jobId"])
        heard = {told["type"]: told for told in await socket.receive_many(3)}
        assert heard["cancel_accepted"]["status"] == "running"
        assert set(heard) == {"cancel_accepted", "job_cancel_requested", "job_cancelled"}
        ended = await socket.refused(json.dumps({"type": "cancel_job", "jobId": waiting["jobId"]}), "JOB_ALREADY_ENDED")
        assert ended["ref"] is None


async def test_a_job_gets_a_signal(service: Service) -> None:
    async with socket_to(service) as socket:
        job = await submitted(socket, "echo", delaySeconds=3600)
        assert (await socket.receive())["type"] == "job_submitted"
        signal = {"jobId": job["jobId"], "name": "approval"}
        await socket.send("send_signal", ref="s", body={"total": 1}, **signal)
        heard = {told["type"]: told for told in await socket.receive_many(2)}
        assert heard["signal_accepted"] == {"type": "signal_accepted", "ref": "s", "sequence": 1, **signal}
        assert (heard["job_signalled"]["signal"], heard["job_signalled"]["sequence"]) == ("approval", 1)
        other = json.dumps({"type": "send_signal", "body": {"total": 2}, **signal})
        await socket.refused(other, "SIGNAL_ALREADY_SENT")
        await socket.refused(json.dumps({"type": "send_signal", **signal, "name": "A b"}), "VALIDATION_FAILED")
        large = json.dumps({"type": "send_signal", **signal, "name": "large", "body": "x" * SIGNAL_LIMIT})
        await socket.refused(large, "BODY_TOO_LARGE")
    [[data]] = await service.sql("select data::text from events where kind = $1", EventKind.SIGNALLED)
    assert json.loads(data) == {"signal": "approval", "body": {"total": 1}}


async def test_no_bad_message_closes_the_socket(start_service: StartService) -> None:
    service = await start_service(body_limit=2048)
    unknown = str(uuid4())
    bad: list[tuple[str | bytes, str]] = [
        ("no json", "INVALID_JSON"),
        ("[1]", "VALIDATION_FAILED"),
        ("7", "VALIDATION_FAILED"),
        (b"{}", "VALIDATION_FAILED"),
        ('{"type":"sing"}', "VALIDATION_FAILED"),
        ("{}", "VALIDATION_FAILED"),
        ('{"type":{"a":1}}', "VALIDATION_FAILED"),
        ('{"type":"ping","extra":1}', "VALIDATION_FAILED"),
        ('{"type":"ping","ref":"\\u0000"}', "VALIDATION_FAILED"),
        ('{"type":"ping","ref":"\\ud800"}', "VALIDATION_FAILED"),
        ("[" * 100 + "]" * 100, "VALIDATION_FAILED"),
        ('{"type":"submit_job"}', "VALIDATION_FAILED"),
        ('{"type":"submit_job","job":{"type":"ecko"}}', "UNKNOWN_JOB_TYPE"),
        ('{"type":"submit_job","job":{"type":"echo","priority":1000}}', "VALIDATION_FAILED"),
        ('{"type":"submit_job","job":{"type":"echo"},"idempotencyKey":"a b"}', "VALIDATION_FAILED"),
        ('{"type":"subscribe"}', "VALIDATION_FAILED"),
        (json.dumps({"type": "subscribe", "jobId": unknown, "filter": {}}), "VALIDATION_FAILED"),
        (json.dumps({"type": "subscribe", "jobId": unknown}), "NOT_FOUND"),
        (json.dumps({"type": "subscribe", "jobId": "x"}), "NOT_FOUND"),
        ('{"type":"subscribe","filter":{"status":"failed"}}', "VALIDATION_FAILED"),
        ('{"type":"subscribe","filter":{"label":"x"}}', "VALIDATION_FAILED"),
        ('{"type":"subscribe","filter":{},"after":"x"}', "VALIDATION_FAILED"),
        ('{"type":"subscribe","filter":{},"after":5}', "VALIDATION_FAILED"),
        (json.dumps({"type": "cancel_job", "jobId": unknown}), "NOT_FOUND"),
        (json.dumps({"type": "send_signal", "jobId": unknown, "name": "approval"}), "NOT_FOUND"),
        (json.dumps({"type": "send_signal", "jobId": unknown}), "VALIDATION_FAILED"),
        (json.dumps({"type": "unsubscribe", "jobId": "x"}), "NOT_FOUND"),
        (json.dumps({"type": "ping", "ref": "x" * 3000}), "BODY_TOO_LARGE"),
    ]
    async with socket_to(service) as socket:
        for text, code in bad:
            heard = await socket.refused(text, code)
            assert heard["ref"] is None or code == "VALIDATION_FAILED", text
        await socket.is_open()
        job = await submitted(socket, "echo")
        assert [frame["type"] for frame in await socket.receive_many(3)] == TYPES_OF_A_RUN
        for after in (5, "5", "-1", "x", "²"):
            text = json.dumps({"type": "subscribe", "jobId": job["jobId"], "after": after, "ref": "r9"})
            assert (await socket.refused(text, "VALIDATION_FAILED"))["ref"] == "r9"
        await socket.is_open()
    assert await service.total("select count(*) from jobs") == 1


async def test_an_error_says_where_and_repeats_the_ref(service: Service) -> None:
    async with socket_to(service) as socket:
        job = {"type": "wait-for-gate", "parameters": {"name": 7}}
        heard = await socket.refused(json.dumps({"type": "submit_job", "ref": "a7", "job": job}), "VALIDATION_FAILED")
        assert heard["ref"] == "a7"
        assert heard["error"]["details"]["errors"][0]["path"].startswith("job.parameters.")
        wrong = json.dumps({"type": "submit_job", "ref": "a8", "job": {"type": "echo", "queue": 7}})
        heard = await socket.refused(wrong, "VALIDATION_FAILED")
        assert heard["error"]["details"]["errors"][0]["path"] == "job.queue"


async def test_an_idempotency_key_makes_one_job_of_two_messages(service: Service) -> None:
    async with socket_to(service) as first, socket_to(service) as second:
        message = {"job": {"type": "echo", "delaySeconds": 3600}, "idempotencyKey": "k-1"}
        accepted = await first.request("submit_job", ref="1", **message)
        again = await second.request("submit_job", ref="2", **message)
        assert again == accepted | {"ref": "2"}
        other = {"type": "submit_job", "job": {"type": "echo"}, "idempotencyKey": "k-1"}
        assert (await first.receive())["type"] == "job_submitted"
        await first.refused(json.dumps(other), "IDEMPOTENCY_KEY_REUSED")


async def test_a_repeated_message_says_again_that_another_job_stands_for_it(service: Service) -> None:
    unique = {"type": "echo", "uniqueKey": "one", "delaySeconds": 3600}
    standing = (await service.client.post("/api/v1/jobs", json=unique)).json()["jobId"]
    async with socket_to(service) as first, socket_to(service) as second:
        message = {"job": unique, "idempotencyKey": "k-2"}
        accepted = await first.request("submit_job", ref="1", **message)
        assert (accepted["jobId"], accepted["deduplicated"]) == (standing, True)
        assert await second.request("submit_job", ref="2", **message) == accepted | {"ref": "2"}


async def test_many_submissions_of_one_socket_are_each_answered_under_their_ref(service: Service) -> None:
    async with socket_to(service) as socket:
        for number in range(300):
            await socket.send("submit_job", ref=f"r{number}", job={"type": "echo", "parameters": {"n": number}})
        heard = await socket.receive_many(4 * 300)
    accepted = {told["ref"]: told["jobId"] for told in heard if told["type"] == "job_accepted"}
    assert set(accepted) == {f"r{number}" for number in range(300)}
    assert len(set(accepted.values())) == 300
    for number in (0, 150, 299):
        job_id = accepted[f"r{number}"]
        of_job = [told for told in heard if told["jobId"] == job_id]
        assert [told["type"] for told in of_job] == ["job_accepted", *TYPES_OF_A_RUN]
        assert of_job[-1]["result"] == {"n": number}


async def test_a_socket_follows_so_much_and_no_more(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MOST", 2)
    async with socket_to(service) as socket:
        first = await submitted(socket, "echo", delaySeconds=3600)
        await socket.receive()
        await socket.request("subscribe", ref="f", filter={"type": "nothing"})
        refused = await socket.refused('{"type":"submit_job","job":{"type":"echo"}}', "OVERLOADED")
        assert refused["error"]["details"]["retryable"] is True
        await socket.refused('{"type":"subscribe","filter":{"type":"other"}}', "OVERLOADED")
        await socket.request("unsubscribe", ref="u", jobId=first["jobId"])
        await submitted(socket, "echo")
    assert await service.total("select count(*) from jobs") == 2


LONG_HISTORY = """
with gone as (delete from scheduled where job_id = $1)
insert into events (job_id, tenant_id, sequence, kind, attempt, source, data)
select $1::uuid, 1, n, case n when 1 then 1 when 4000 then 10 else 2 end, 1, 'test',
       json_build_object('progress', 1, 'message', repeat('m', 8000))
from generate_series(1, 4000) n
"""


async def test_a_client_that_takes_nothing_is_cut_off_and_resumes(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(stream_buffer=10)
    monkeypatch.setattr(tenant_feed, "PATIENCE_SECONDS", 0.001)
    job_id = (await service.submit("echo", delaySeconds=3600))["jobId"]
    async with socket_to(service, max_queue=1, compression=None) as socket:
        await socket.request("subscribe", ref="all", filter={})
        await eventually(lambda: _tail_is_read(service))
        with service.node.tails.of(1).watch():  # another one, who keeps the tail going
            await service.sql(LONG_HISTORY, UUID(job_id))
            assert (await service.run("echo"))["status"] == "completed"
            await eventually(lambda: _tail_has_passed(service, job_id))
        heard, code = await socket.receive_to_end()
    assert code == 1013
    assert heard.pop() == {"type": "overflow"}
    assert 0 < len(heard) < 4000
    monkeypatch.setattr(tenant_feed, "PATIENCE_SECONDS", 60)
    async with socket_to(service) as socket:
        await socket.send("subscribe", filter={}, after=heard[-1]["id"])
        heard += await socket.receive_many(4000 - len(heard))
    assert [frame["sequence"] for frame in heard] == list(range(1, 4001))


async def _tail_is_read(service: Service) -> bool:
    return service.node.tails.of(1)._start is not None


async def _tail_has_passed(service: Service, job_id: str) -> bool:
    kept = service.node.tails.of(1)._entries
    return bool(kept) and kept[-1].event.job_id != UUID(job_id)


async def test_a_service_that_goes_down_says_to_come_back(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "LAST_FRAMES_SECONDS", 60.0)
    service = await start_service()
    async with socket_to(service) as socket:
        accepted = await submitted(socket, "wait-for-gate", {"name": "down"})
        await has_entered("down").wait()
        gate("down").set()
        going = asyncio.gather(*(node.drain() for node in service.nodes))
        heard, code = await socket.receive_to_end()
        assert code == 1012
        assert [frame["type"] for frame in heard] == TYPES_OF_A_RUN
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(service):
                pass
        assert refused.value.response.status_code == 503
        await going
    assert await service.total("select count(*) from events where job_id = $1", UUID(accepted["jobId"])) == 2


async def test_a_client_that_leaves_leaves_nothing_behind(service: Service) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(5):
            socket = await stack.enter_async_context(socket_to(service))
            await submitted(socket, "echo", delaySeconds=3600)
            await socket.request("subscribe", ref="f", filter={})
        assert service.node.stream_capacity.taken == 5
    await nobody_follows(service)
    await eventually(lambda: _there_is_room_again(service))


async def _there_is_room_again(service: Service) -> bool:
    return service.node.stream_capacity.taken == 0


async def test_there_is_room_for_so_many_sockets_and_no_more(start_service: StartService) -> None:
    service = await start_service(stream_limit=1)
    async with socket_to(service) as first:
        async with socket_to(service) as second:
            with pytest.raises(ConnectionClosed) as closed:
                await second.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        await first.is_open()


def _error_of(refused: InvalidStatus) -> dict[str, Any]:
    response = refused.response
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"]
    error: dict[str, Any] = json.loads(response.body or b"")["error"]
    assert set(error) == {"code", "message", "details"}
    return error


async def test_a_socket_at_another_address_is_not_found(service: Service) -> None:
    for path in ("/ws", "/api/v1/jobs", "/ws/jobs/", "/healthz"):
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(service, path):
                pass
        assert refused.value.response.status_code == 404
        assert _error_of(refused.value)["code"] == "NOT_FOUND"


async def test_pages_of_other_sites_open_no_socket_unless_they_are_allowed(start_service: StartService) -> None:
    service = await start_service(allowed_origins=("https://app.example.com",))
    own = service.url
    for origin in (None, own, "https://app.example.com", "https://APP.example.com"):
        async with socket_to(service, origin=origin) as socket:
            await socket.is_open()
    others = ("https://example.com", "http://app.example.com", "null", "http://127.0.0.1:1", own + "9", "http://[", "x")
    for origin in others:
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(service, origin=origin):
                pass
        assert refused.value.response.status_code == 403, origin
        assert _error_of(refused.value)["code"] == "FORBIDDEN"


async def test_with_a_key_configured_a_socket_needs_it(start_service: StartService) -> None:
    service = await start_service(api_key="sk-a-long-and-secret-key")
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        with pytest.raises(InvalidStatus) as refused:
            async with socket_to(service, additional_headers=headers):
                pass
        assert refused.value.response.status_code == 401
        assert _error_of(refused.value)["code"] == "UNAUTHORIZED"
        assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer")
    async with socket_to(service, additional_headers={"Authorization": "Bearer sk-a-long-and-secret-key"}) as socket:
        await socket.is_open()


async def test_a_message_that_is_far_too_large_closes_the_socket(start_service: StartService) -> None:
    service = await start_service(body_limit=2048)
    async with socket_to(service) as socket:
        await socket.connection.send("x" * 10_000)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
