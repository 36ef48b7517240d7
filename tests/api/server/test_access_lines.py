"""Access log: one line for each request that failed or changed something, without secrets."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from duly.api.server.exchange import Exchange
from duly.api.server.load_shedding import LoadShedder
from duly.domain.ids import new_job_id
from tests.support.keys import OWN, bearer, make_key, make_tenant
from tests.support.service import BOUND_SECONDS, Service, eventually

StartService = Callable[..., Awaitable[Service]]
ENTRIES = {"message", "action", "level", "timestamp", "requestId", "keyId", "tenant", "method", "route", "status"}
ALL = ENTRIES | {"code", "durationMs", "client"}


class Lines:
    """Lines that a service has written to its access log."""

    def __init__(self, service: Service) -> None:
        self.access = service.node.access
        self.text = ""
        self.access.write = self._take

    def _take(self, lines: bytes) -> None:
        self.text += lines.decode()

    def taken(self) -> list[dict[str, Any]]:
        """Returns all lines since the last call."""
        self.access.flush()
        text, self.text = self.text, ""
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def lines(service: Service) -> Lines:
    return Lines(service)


def short(line: dict[str, Any]) -> tuple[str, str | None, int | None]:
    return line["method"], line["route"], line["status"]


async def test_a_submission_is_told_with_its_job_and_who_sent_it(service: Service, lines: Lines) -> None:
    response = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"X-Request-Id": "r-1"})
    [line] = lines.taken()
    assert line.keys() == ALL | {"jobId"}
    assert line | {"timestamp": "", "durationMs": 0} == {
        "message": "POST /api/v1/jobs: 202",
        "action": "access",
        "level": "info",
        "timestamp": "",
        "requestId": "r-1",
        "keyId": None,
        "tenant": "default",
        "method": "POST",
        "route": "/api/v1/jobs",
        "jobId": response.json()["jobId"],
        "status": 202,
        "code": None,
        "durationMs": 0,
        "client": "127.0.0.1",
    }
    assert 0 < line["durationMs"] < 20_000
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])).total_seconds()) < 60


async def test_reading_is_not_told_of_and_a_refused_reading_is(service: Service, lines: Lines) -> None:
    job_id = (await service.submit("echo"))["jobId"]
    lines.taken()
    for path in (f"/api/v1/jobs/{job_id}", "/api/v1/jobs", "/healthz", "/metrics", "/openapi.json", "/docs"):
        assert (await service.client.get(path)).status_code == 200
    etag = (await service.client.get(f"/api/v1/jobs/{job_id}")).headers["etag"]
    assert (await service.client.get(f"/api/v1/jobs/{job_id}", headers={"If-None-Match": etag})).status_code in {
        200,
        304,
    }
    assert lines.taken() == []

    unknown = str(new_job_id())
    await service.client.get(f"/api/v1/jobs/{unknown}")
    await service.client.get("/api/v1/jobs?limit=0")
    await service.client.get("/nothing/of/ours")
    told = lines.taken()
    assert [(*short(line), line["code"]) for line in told] == [
        ("GET", "/api/v1/jobs/{jobId}", 404, "NOT_FOUND"),
        ("GET", "/api/v1/jobs", 422, "VALIDATION_FAILED"),
        ("GET", None, 404, "NOT_FOUND"),
    ]
    assert told[0]["jobId"] == unknown


async def test_each_changing_request_is_told_with_its_route_and_what_it_names(service: Service, lines: Lines) -> None:
    client, one = service.client, {"type": "echo", "delaySeconds": 600}
    named = str(new_job_id())
    ndjson = {"Content-Type": "application/x-ndjson"}
    webhook = {"url": "https://203.0.114.1/", "events": ["*"]}
    schedule = {"name": "nightly", "cron": "0 0 1 1 *", "submission": one}
    batch_id = (await client.post("/api/v1/jobs/batch", json={"jobs": [one]})).json()["batchId"]
    lines_id = (await client.post("/api/v1/jobs/batch", content=b'{"type":"echo"}', headers=ndjson)).json()["batchId"]
    await client.put(f"/api/v1/jobs/{named}", json=one)
    await client.post(f"/api/v1/jobs/{named}/cancel")
    await client.post("/api/v1/queues/a%2Fb/pause")
    await client.post("/api/v1/schedules", json=schedule)
    await client.delete("/api/v1/schedules/nightly")
    webhook_id = (await client.post("/api/v1/webhooks", json=webhook)).json()["webhookId"]
    await client.patch(f"/api/v1/webhooks/{webhook_id}", json={"paused": True})
    await client.post("/api/v1/stream-tickets", json={"all": True})
    told = [(*short(line), {name: line[name] for name in line.keys() - ALL}) for line in lines.taken()]
    assert told == [
        ("POST", "/api/v1/jobs/batch", 202, {"batchId": batch_id}),
        ("POST", "/api/v1/jobs/batch", 202, {"batchId": lines_id}),
        ("PUT", "/api/v1/jobs/{jobId}", 202, {"jobId": named}),
        ("POST", "/api/v1/jobs/{jobId}/cancel", 200, {"jobId": named}),
        ("POST", "/api/v1/queues/{queue}/pause", 200, {"queue": "a/b"}),
        ("POST", "/api/v1/schedules", 201, {"name": "nightly"}),
        ("DELETE", "/api/v1/schedules/{name}", 204, {"name": "nightly"}),
        ("POST", "/api/v1/webhooks", 201, {"webhookId": webhook_id}),
        ("PATCH", "/api/v1/webhooks/{webhookId}", 200, {"webhookId": webhook_id}),
        ("POST", "/api/v1/stream-tickets", 201, {}),
    ]


@pytest.mark.parametrize(
    ("method", "path", "content", "expected"),
    [
        ("POST", "/api/v1/jobs", b"{", ("/api/v1/jobs", 400, "INVALID_JSON")),
        ("POST", "/api/v1/jobs", b'{"type":"none"}', ("/api/v1/jobs", 422, "UNKNOWN_JOB_TYPE")),
        ("POST", "/api/v1/jobs", b"x" * (2 << 20), ("/api/v1/jobs", 413, "BODY_TOO_LARGE")),
        ("PUT", "/api/v1/jobs/none", b'{"type":"echo"}', ("/api/v1/jobs/{jobId}", 404, "NOT_FOUND")),
        ("POST", "/api/v1/jobs/batch", b"[]", ("/api/v1/jobs/batch", 422, "VALIDATION_FAILED")),
        ("POST", "/api/v1/schedules", b"x" * (2 << 20), ("/api/v1/schedules", 413, "BODY_TOO_LARGE")),
        ("DELETE", "/api/v1/jobs", b"", ("/api/v1/jobs", 405, "METHOD_NOT_ALLOWED")),
        ("POST", "/api/v1/nothing/burn", b"{}", (None, 404, "NOT_FOUND")),
    ],
)
async def test_each_refusal_is_told_with_its_code(
    service: Service, lines: Lines, method: str, path: str, content: bytes, expected: tuple[str | None, int, str]
) -> None:
    headers = {"Content-Type": "application/json"}
    await service.client.request(method, path, content=content, headers=headers)
    [line] = lines.taken()
    assert (line["method"], line["route"], line["status"], line["code"]) == (method, *expected)


async def test_what_is_no_http_is_logged_and_counted_too(service: Service, lines: Lines) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"s3cret nonsense\r\n\r\n")
    head = (await asyncio.wait_for(reader.read(), BOUND_SECONDS)).decode()
    writer.close()
    lines.access.flush()
    text = lines.text
    [line] = lines.taken()
    assert (*short(line), line["code"], line["client"]) == ("-", None, 400, "BAD_REQUEST", "127.0.0.1")
    assert f"x-request-id: {line['requestId']}" in head
    assert "s3cret" not in text
    assert 'duly_requests_refused_total{code="BAD_REQUEST"} 1' in (await service.client.get("/metrics")).text


async def test_a_long_name_is_cut(service: Service, lines: Lines) -> None:
    await service.client.delete(f"/api/v1/schedules/{'x' * 5_000}")
    [line] = lines.taken()
    assert (*short(line), line["name"]) == ("DELETE", "/api/v1/schedules/{name}", 404, "x" * 200)


async def test_the_key_is_named_and_never_shown(start_service: StartService) -> None:
    service = await start_service(api_key="s3cret-key")
    lines = Lines(service)
    jobs, key = "/api/v1/jobs", {"Authorization": "Bearer s3cret-key"}
    await service.client.post(jobs, json={"type": "echo", "parameters": "s3cret-body"}, headers=key)
    await service.client.post(jobs, json={"type": "echo"}, headers={"Authorization": "Bearer s3cret-guess"})
    await service.client.get(f"{jobs}/s3cret-id?key=s3cret-query")
    ticket = (await service.client.post("/api/v1/stream-tickets", headers=key, json={"all": True})).json()["ticket"]
    used = f"/api/v1/jobs/{new_job_id()}/events/stream?ticket={ticket}"
    assert [(await service.client.get(used)).status_code for _ in range(2)] == [404, 401]
    lines.access.flush()
    text, told = lines.text, lines.taken()
    assert [(line["keyId"], line["status"]) for line in told] == [
        ("DULY_API_KEY", 202),
        (None, 401),
        (None, 401),
        ("DULY_API_KEY", 201),
        ("ticket", 404),
        (None, 401),
    ]
    assert told[2]["route"] == "/api/v1/jobs/{jobId}"
    assert "s3cret-key" not in text
    assert "s3cret-guess" not in text
    assert "s3cret-body" not in text
    assert "s3cret-query" not in text
    assert ticket not in text


@pytest.mark.parametrize(("trusted", "client"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.7")])
async def test_the_client_is_the_one_that_a_trusted_proxy_names(
    start_service: StartService, trusted: tuple[str, ...], client: str
) -> None:
    service = await start_service(trusted_proxies=trusted, root_path="/duly")
    lines = Lines(service)
    for path in ("/api/v1/jobs", "/duly/api/v1/jobs"):
        response = await service.client.post(path, json={"type": "echo"}, headers={"X-Forwarded-For": "203.0.113.7"})
        job_id = response.json()["jobId"]
        await service.client.post(f"{path}/{job_id}/retry", headers={"X-Forwarded-For": "203.0.113.7"})
    told = lines.taken()
    assert {line["client"] for line in told} == {client}
    assert [line["route"] for line in told] == ["/api/v1/jobs", "/api/v1/jobs/{jobId}/retry"] * 2
    assert all(UUID(line["jobId"]) for line in told)


async def test_what_is_asked_over_a_socket_is_told_too(service: Service, lines: Lines) -> None:
    address = f"{service.url.replace('http', 'ws')}/ws/jobs"
    async with connect(address) as socket:
        await socket.send('{"type":"submit_job","job":{"type":"echo","delaySeconds":600}}')
        job_id = json.loads(await socket.recv())["jobId"]
        assert [(*short(line), line["jobId"]) for line in lines.taken()] == [("submit_job", "/ws/jobs", 202, job_id)]
        await socket.send('{"type":"ping"}')
        await socket.send(json.dumps({"type": "cancel_job", "jobId": job_id, "ref": "c"}))
        await socket.send(json.dumps({"type": "cancel_job", "jobId": str(new_job_id()), "ref": "d"}))
        await socket.send('{"type":"submit_job","job":{"type":"s3cret"}}')
        await socket.send("nonsense")
        seen = 0
        async with asyncio.timeout(BOUND_SECONDS):
            while seen < 3:
                seen += json.loads(await socket.recv())["type"] == "error"
        lines.access.flush()
        text = lines.text
        told = sorted((*short(line), line["code"]) for line in lines.taken() if line["action"] == "access")
    assert told == [
        ("cancel_job", "/ws/jobs", 202, None),
        ("cancel_job", "/ws/jobs", 404, "NOT_FOUND"),
        ("message", "/ws/jobs", 400, "INVALID_JSON"),
        ("submit_job", "/ws/jobs", 422, "UNKNOWN_JOB_TYPE"),
    ]
    assert "s3cret" not in text
    with pytest.raises(InvalidStatus):
        async with connect(address, origin="https://elsewhere.example"):  # type: ignore[arg-type]  # a plain text
            pass
    [line] = lines.taken()
    assert (*short(line), line["code"]) == ("GET", "/ws/jobs", 403, "FORBIDDEN")


async def test_submissions_that_are_refused_early_are_counted_in_one_line(
    service: Service, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoadShedder, "refuses", lambda _self, **_: True)
    for _ in range(3):
        assert (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 503
    told = lines.taken()
    assert {line["action"] for line in told} == {"submissions_shed"}
    assert sum(line["count"] for line in told) == 3


@pytest.mark.parametrize("settings", [{"access_log": False}, {"log_level": "warning"}])
async def test_it_can_be_turned_off(start_service: StartService, settings: dict[str, Any]) -> None:
    service = await start_service(**settings)
    lines = Lines(service)
    await service.submit("echo")
    await service.client.get("/nothing")
    assert lines.taken() == []


async def test_lines_are_written_soon_without_being_asked_for(service: Service, lines: Lines) -> None:
    written = asyncio.Event()
    lines.access.write = lambda _text: written.set()
    await service.submit("echo")
    await asyncio.wait_for(written.wait(), BOUND_SECONDS)


async def test_a_submission_leaves_nothing_to_the_garbage_collector(service: Service) -> None:
    gc.collect()
    gc.disable()
    try:
        assert (await service.client.post("/api/v1/jobs", json={"type": "echo"})).status_code == 202

        async def nothing_is_left() -> bool:  # the client may have its response before the exchange is over
            return not any(issubclass(type(left), Exchange) for left in gc.get_objects())

        await eventually(nothing_is_left)
    finally:
        gc.enable()


async def test_a_refusal_is_told_with_its_route_where_the_prefix_is_that_of_an_address(
    start_service: StartService,
) -> None:
    service = await start_service(root_path="/api", api_key="a-long-and-secret-key")
    lines = Lines(service)
    for path in ("/api/v1/jobs/batch", "/api/api/v1/jobs/batch"):
        for method in ("HEAD", "POST", "OPTIONS"):
            await service.client.request(method, path)
    assert [short(line) for line in lines.taken()] == [
        *(("HEAD", "/api/v1/jobs/batch", 401), ("POST", "/api/v1/jobs/batch", 401)),
    ] * 2


async def test_a_line_names_the_key_and_its_tenant(start_service: StartService) -> None:
    service = await start_service(api_key=OWN, roles=("api",))
    await make_tenant(service, "acme")
    made = await make_key(service, "jobs:write", tenant="acme")
    lines = Lines(service)
    for path in ("/api/v1/jobs", "/api/v1/queues/q/pause"):
        await service.client.post(path, json={"type": "echo"}, headers=bearer(made["key"]))
    await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(OWN) | {"X-Duly-Tenant": "acme"})
    lines.access.flush()
    text, found = lines.text, lines.taken()[-3:]
    assert [(line["keyId"], line["tenant"], line["status"]) for line in found] == [
        (made["keyId"], "acme", 202),
        (made["keyId"], "acme", 403),
        ("DULY_API_KEY", "acme", 202),
    ]
    assert made["key"][22:] not in text
