"""Streams, sockets, waits and large bodies through each proxy, configured as the documentation prints it."""

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.support import handlers as signals
from tests.support.proxied_service import CLIENT, Site
from tests.support.service import BOUND_SECONDS


async def frames_of(lines: Any) -> Any:
    """The objects of a stream, each as it comes."""
    async for line in lines:
        if line.startswith("data:"):
            yield json.loads(line[5:])


async def waiting_job(site: Site, name: str) -> str:
    """A job that runs until its gate is opened."""
    job_id: str = (await site.submit("wait-for-gate", {"name": name}))["jobId"]
    async with asyncio.timeout(BOUND_SECONDS):
        await signals.has_entered(name).wait()
    return job_id


async def test_a_stream_arrives_event_by_event(site: Site) -> None:
    name = f"{site.proxy.kind.name} stream"
    job_id = await waiting_job(site, name)
    async with (
        asyncio.timeout(BOUND_SECONDS),
        site.client.stream("GET", f"/api/v1/jobs/{job_id}/events/stream") as answer,
    ):
        frames = frames_of(answer.aiter_lines())
        assert (await anext(frames))["type"] == "job_submitted"
        assert (await anext(frames))["type"] == "job_started"
        signals.gate(name).set()  # only now: nothing was held back for what follows
        assert (await anext(frames))["type"] == "job_completed"
        assert [frame async for frame in frames] == []
    again = await site.client.get(f"/api/v1/jobs/{job_id}/events/stream", headers={"Last-Event-ID": "2"})
    assert (again.status_code, again.content) == (204, b"")


async def test_the_stream_of_all_jobs_arrives_before_anything_happens(site: Site) -> None:
    async with (
        asyncio.timeout(BOUND_SECONDS),
        site.client.stream("GET", "/api/v1/events/stream?type=echo") as answer,
    ):
        lines = answer.aiter_lines()
        assert (await anext(lines)).startswith("retry:")
        job_id = (await site.submit("echo"))["jobId"]
        told = await anext(frame async for frame in frames_of(lines) if frame.get("jobId") == job_id)
    assert told["type"] == "job_submitted"


async def test_a_page_of_the_site_opens_a_socket_and_a_page_of_another_does_not(site: Site) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        async with site.socket() as socket:
            await socket.send(json.dumps({"type": "submit_job", "ref": "a", "job": {"type": "echo"}}))
            told = [json.loads(await socket.recv())["type"] for _ in range(4)]
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"},
            {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "127.0.0.1"},
            {"Origin": "https://evil.example", "Forwarded": "for=127.0.0.1;host=evil.example"},
        ):
            with pytest.raises(InvalidStatus) as refused:
                async with site.socket(**headers):
                    pass
            assert refused.value.response.status_code == 403, headers
    assert told == ["job_accepted", "job_submitted", "job_started", "job_completed"]


async def test_a_long_poll_is_answered_when_the_job_changes(site: Site) -> None:
    name = f"{site.proxy.kind.name} poll"
    job_id = await waiting_job(site, name)
    known = (await site.client.get(f"/api/v1/jobs/{job_id}")).headers["etag"]
    poll = asyncio.create_task(
        site.client.get(f"/api/v1/jobs/{job_id}?wait=60", headers={"If-None-Match": known}),
    )
    await asyncio.gather(*(site.client.get("/healthz") for _ in range(2)))
    signals.gate(name).set()
    async with asyncio.timeout(BOUND_SECONDS):
        answer = await poll
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


async def test_a_submission_waits_for_the_result(site: Site) -> None:
    answer = await site.client.post(
        "/api/v1/jobs", json={"type": "echo", "parameters": [1]}, headers={"Prefer": "wait=60"}
    )
    assert (answer.status_code, answer.json()["result"]) == (200, [1])
    assert answer.headers["preference-applied"] == "wait=60"


async def test_large_bodies_pass_and_what_is_too_large_is_refused_by_the_service(site: Site) -> None:
    one = {"type": "echo", "parameters": "x" * 200_000}
    batch = await site.client.post("/api/v1/jobs/batch", json={"jobs": [one] * 15})
    assert batch.status_code == 202, batch.text
    refused = await site.client.post("/api/v1/jobs", json={**one, "parameters": "x" * 2_000_000})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "BODY_TOO_LARGE")
    lines = "".join(json.dumps(one) + "\n" for _ in range(15))
    ndjson = await site.client.post(
        "/api/v1/jobs/batch", content=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert ndjson.status_code == 202, ndjson.text


async def test_the_access_log_has_the_address_of_the_client_and_not_one_that_it_names(site: Site) -> None:
    logged: list[bytes] = []
    for node in site.nodes:
        node.node.access.flush()
        node.node.access.write = logged.append
    said = {
        "X-Request-Id": f"logged-{site.proxy.kind.name}",
        "X-Forwarded-For": "203.0.113.7",
        "Forwarded": "for=203.0.113.7",
    }
    assert (await site.client.post("/api/v1/jobs", json={"type": "echo"}, headers=said)).status_code == 202
    for node in site.nodes:
        node.node.access.flush()
    lines = [json.loads(line) for piece in logged for line in piece.splitlines()]
    assert [line["client"] for line in lines if line["requestId"] == said["X-Request-Id"]] == [CLIENT]


async def test_a_client_cannot_name_a_prefix(site: Site) -> None:
    spoofed = {"X-Forwarded-Prefix": "/evil", "X-Forwarded-For": "127.0.0.1"}
    answer = await site.client.post("/api/v1/jobs", json={"type": "echo"}, headers=spoofed)
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['jobId']}"


async def test_a_stream_arrives_event_by_event_over_http_2(site: Site) -> None:
    name = f"{site.proxy.kind.name} HTTP/2"
    job_id = await waiting_job(site, name)
    async with asyncio.timeout(BOUND_SECONDS):
        curl = await site.curl("--http2", "-N", f"/api/v1/jobs/{job_id}/events/stream", "-w", "%{http_version}")
        assert curl.stdout is not None
        while b"job_started" not in await curl.stdout.readline():
            pass
        signals.gate(name).set()
        rest = (await curl.communicate())[0].decode()
    assert "job_completed" in rest
    assert rest.endswith("\n2"), rest
