"""Scopes: every route and message declares one; without `jobs:payload` no payload is shown."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest

from duly.api.app import routes_of
from duly.api.server.route_scopes import MESSAGE_SCOPES, ROUTE_SCOPES
from duly.api.streams.socket_messages import Message
from duly.domain.key_scope import KeyScope
from tests.support.keys import ALL, OWN, bearer, make_key
from tests.support.response_checks import refused
from tests.support.service import Service
from tests.support.websocket_client import socket_to

StartService = Callable[..., Awaitable[Service]]
SECRET = "quite-secret"
OUTSIDE_OF_THE_DOCUMENT = {
    *(("GET", "/signals/{token}"), ("POST", "/signals/{token}")),
    *(("GET", path) for path in ("/", "/docs", "/openapi.json", "/ui", "/ui/{path}", "/ui/assets/{digest}/{name}")),
    *((method, "/ui/session") for method in ("GET", "POST", "DELETE")),
    ("GET", "/ws/jobs"),
}
VALUES = {"{queue}": "default", "{type}": "echo", "{name}": "nightly", "{tenant}": "default", "{keyId}": "0" * 16}
ID = "0199c1f0-0000-7000-8000-000000000000"


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    """Returns a service that requires keys."""
    return await start_service(api_key=OWN)


def documented() -> set[tuple[str, str]]:
    paths = routes_of(serving=True).openapi()["paths"]
    return {(method.upper(), path) for path, item in paths.items() for method in item}


def test_every_route_of_the_document_declares_its_scope() -> None:
    assert set(ROUTE_SCOPES) == documented() | OUTSIDE_OF_THE_DOCUMENT


def test_every_message_of_the_socket_declares_its_scope() -> None:
    types = {get_args(model.model_fields["type"].annotation)[0] for model in get_args(Message)}
    assert set(MESSAGE_SCOPES) == types


def _path(pattern: str) -> str:
    for name, value in VALUES.items():
        pattern = pattern.replace(name, value)
    return "/".join(ID if segment.startswith("{") else segment for segment in pattern.split("/"))


async def test_without_its_scope_no_route_does_anything(keyed: Service) -> None:
    lacking = {
        scope: bearer((await make_key(keyed, *(other for other in ALL if other != scope)))["key"])
        for scope in {str(scope) for scope in ROUTE_SCOPES.values() if scope is not None}
    }
    before = await keyed.sql("select (select count(*) from audit), (select count(*) from jobs)")
    for (method, pattern), scope in ROUTE_SCOPES.items():
        if scope is None or pattern == "/ws/jobs":
            continue
        for sent in {method, "HEAD"} if method == "GET" and not pattern.endswith("/stream") else {method}:
            answer = await keyed.client.request(sent, _path(pattern), json={}, headers=lacking[scope])
            assert answer.status_code == 403, (sent, pattern, answer.text)
            if sent != "HEAD":
                assert refused(answer, 403, "SCOPE_MISSING")["details"]["scope"] == scope
    assert await keyed.sql("select (select count(*) from audit), (select count(*) from jobs)") == before


async def test_with_its_scope_alone_every_route_is_open(keyed: Service) -> None:
    keys = {scope: bearer((await make_key(keyed, scope))["key"]) for scope in KeyScope}
    for (method, pattern), scope in ROUTE_SCOPES.items():
        if scope is None or pattern in {"/ws/jobs", "/api/v1/events/stream"}:
            continue
        answer = await keyed.client.request(method, _path(pattern), json={}, headers=keys[scope])
        assert answer.status_code not in {401, 403}, (method, pattern, answer.text)


async def test_messages_of_a_socket_need_their_scopes(keyed: Service) -> None:
    reader, writer = (await make_key(keyed, "jobs:read"))["key"], (await make_key(keyed, "jobs:write"))["key"]
    job = (await keyed.client.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(OWN))).json()
    async with socket_to(keyed, "/ws/jobs", additional_headers=bearer(reader)) as socket:
        messages: dict[str, dict[str, Any]] = {
            "submit_job": {"job": {"type": "echo"}},
            "cancel_job": {"jobId": job["jobId"]},
            "send_signal": {"jobId": job["jobId"], "name": "approval"},
        }
        for type_, members in messages.items():
            received = await socket.request(type_, ref="r", **members)
            assert received["error"]["code"] == "SCOPE_MISSING", received
            assert received["error"]["details"]["scope"] == "jobs:write"
    answer = await keyed.client.get(
        "/ws/jobs", headers=bearer(writer) | {"Connection": "Upgrade", "Upgrade": "websocket"}
    )
    assert answer.status_code in {400, 403, 426}


async def test_without_jobs_payload_no_representation_shows_any(keyed: Service) -> None:
    reader = bearer((await make_key(keyed, "jobs:read", "jobs:write", "schedules"))["key"])
    client = keyed.client
    submitted = {"type": "echo", "parameters": {"text": SECRET}, "labels": {"shown": "yes"}}
    own = await client.post("/api/v1/jobs", json=submitted, headers=bearer(OWN) | {"Prefer": "wait=60"})
    job_id = own.json()["jobId"]
    assert SECRET in own.text
    schedule = {"name": "nightly", "cron": "0 3 * * *", "submission": submitted}
    await client.post("/api/v1/schedules", json=schedule, headers=bearer(OWN))
    waited = await client.post("/api/v1/jobs", json=submitted, headers=reader | {"Prefer": "wait=60"})
    assert waited.status_code == 200

    paths = (
        *(f"/api/v1/jobs/{job_id}{rest}" for rest in ("", "/events", "/events/stream", "/logs", "/why")),
        *("/api/v1/jobs", "/api/v1/schedules", "/api/v1/schedules/nightly"),
    )
    texts = [waited.text, *[(await client.get(path, headers=reader)).text for path in paths]]
    assert SECRET not in "".join(texts)
    body = waited.json()
    assert (body["parameters"], body["result"], body["progressMessage"]) == (None, None, None)
    assert body["labels"] == {"shown": "yes"}
    assert '"result":null' in texts[3]


async def test_errors_and_logs_are_redacted(keyed: Service) -> None:
    reader = bearer((await make_key(keyed, "jobs:read"))["key"])
    failing = {"type": "echo", "parameters": {"text": SECRET}, "maxAttempts": 1, "expiresInSeconds": 0.001}
    failing |= {"delaySeconds": 3600, "expiresInSeconds": 0.05}
    job = (await keyed.client.post("/api/v1/jobs", json=failing, headers=bearer(OWN))).json()
    keyed.client.headers.update(bearer(OWN))
    ended = await keyed.ended(job["jobId"])
    assert ended["error"]["message"]
    seen = (await keyed.client.get(f"/api/v1/jobs/{job['jobId']}", headers=reader)).json()
    assert seen["error"] == {"code": "EXPIRED", "message": None, "details": None}
    events = (await keyed.client.get(f"/api/v1/jobs/{job['jobId']}/events", headers=reader)).json()["items"]
    assert events[-1]["data"]["error"] == {"code": "EXPIRED", "message": None, "details": None}
    assert events[0]["data"]["parameters"] is None
    await keyed.sql(
        "insert into job_logs (job_id, tenant_id, token, attempt, line, level, message, fields, logged_at)"
        ' values ($1, 1, 1, 1, 1, 20, $2, \'{"a": "b"}\', now())',
        job["jobId"],
        SECRET,
    )
    path = f"/api/v1/jobs/{job['jobId']}/logs"
    [line] = (await keyed.client.get(path, headers=reader)).json()["items"]
    assert (line["message"], line["fields"]) == (None, None)
    assert SECRET in (await keyed.client.get(path)).text


async def test_frames_of_a_socket_are_redacted(keyed: Service) -> None:
    reader = (await make_key(keyed, "jobs:read"))["key"]
    submitted = {"type": "echo", "parameters": {"text": SECRET}}
    async with socket_to(keyed, "/ws/jobs", additional_headers=bearer(reader)) as socket:
        await socket.request("subscribe", ref="s", filter={})
        job = await keyed.client.post("/api/v1/jobs", json=submitted, headers=bearer(OWN) | {"Prefer": "wait=60"})
        frames = await socket.receive_many(3)
        await socket.send("subscribe", jobId=job.json()["jobId"])
        frames += await socket.receive_many(3)
    assert SECRET not in json.dumps(frames)
    assert [frame["result"] for frame in frames if frame["type"] == "job_completed"] == [None, None]


async def test_a_ticket_shows_no_more_than_the_key_that_made_it(keyed: Service) -> None:
    reader = bearer((await make_key(keyed, "jobs:read"))["key"])
    submitted = {"type": "echo", "parameters": {"text": SECRET}}
    job = await keyed.client.post("/api/v1/jobs", json=submitted, headers=bearer(OWN) | {"Prefer": "wait=60"})
    body: dict[str, Any] = {"jobId": job.json()["jobId"]}
    tickets = "/api/v1/stream-tickets"
    refused(await keyed.client.post(tickets, json=body | {"submit": True}, headers=reader), 403, "SCOPE_MISSING")
    for headers, shown in ((reader, False), (bearer(OWN), True)):
        ticket = (await keyed.client.post(tickets, json=body, headers=headers)).json()["ticket"]
        stream = await keyed.client.get(f"/api/v1/jobs/{body['jobId']}/events/stream", params={"ticket": ticket})
        assert stream.status_code == 200
        assert (SECRET in stream.text) is shown


async def test_a_ticket_dies_with_its_key(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read")
    answer = await keyed.client.post("/api/v1/stream-tickets", json={"all": True}, headers=bearer(made["key"]))
    await keyed.client.delete(f"/api/v1/keys/{made['keyId']}", headers=bearer(OWN))
    params = {"ticket": answer.json()["ticket"]}
    refused(await keyed.client.get("/api/v1/events/stream", params=params), 401, "UNAUTHORIZED")
