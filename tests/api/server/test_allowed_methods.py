"""Methods of each path, HEAD wherever GET is, and OPTIONS."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest

from duly.api.server.allowed_origins import SOCKET
from tests.support.raw_http import exchanged
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
LATER = "2150-01-01T00:00:00.000Z"
UNKNOWN = "0199c1f0-0000-7000-8000-000000000000"
EACH_TIME = {"date", "x-request-id"}
# Counters and times differ between two requests, and with them the length.
VOLATILE = {"/metrics", *(f"/api/v1/{name}" for name in ("figures", "nodes", "queues", "scaling"))}


async def methods_by_path(service: Service) -> dict[str, list[str]]:
    """Returns the paths of the OpenAPI document with the value that their `Allow` must have."""
    document = (await service.client.get("/openapi.json")).json()
    expected = {path: {"GET"} for path in ("/", "/docs", "/openapi.json", "/ui", "/ui/jobs")}
    expected["/ui/session"] = {"GET", "POST", "DELETE"}
    for path, item in document["paths"].items():
        named = path.replace("{queue}", "mail/eu").replace("{type}", "echo")
        expected["/".join(UNKNOWN if "{" in part else part for part in named.split("/"))] = set(map(str.upper, item))
    return {
        path: sorted(names | {"OPTIONS"} | ({"HEAD"} if "GET" in names and not path.endswith("/stream") else set()))
        for path, names in expected.items()
    }


async def test_each_address_names_exactly_what_it_takes(contract: Service) -> None:
    expected = await methods_by_path(contract)
    assert len(expected) > 40
    for path, methods in expected.items():
        response = await contract.client.options(path)
        assert (response.status_code, response.content) == (204, b""), path
        assert response.headers["Allow"].split(", ") == methods, path
        assert response.headers["X-Request-Id"]
        for other in {"GET", "HEAD", "PATCH", "QUERY"} - set(methods):
            response = await contract.client.request(other, path)
            assert response.status_code == 405, (other, path)
            assert response.headers["Allow"].split(", ") == methods, (other, path)


async def test_a_name_of_a_method_is_no_id_of_a_job(contract: Service) -> None:
    for path in ("/api/v1/jobs/batch", "/api/v1/jobs/retry", "/api/v1/jobs/cancel"):
        for method in ("GET", "PUT", "DELETE"):
            response = await contract.client.request(method, path, json={"type": "echo"} if method == "PUT" else None)
            refused(response, 405, "METHOD_NOT_ALLOWED")
            assert response.headers["Allow"] == "OPTIONS, POST"
    response = await contract.client.get("/api/v1/queues/mail/eu/pause")
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "OPTIONS, POST"


async def test_an_address_that_is_none_is_a_404_whatever_the_method(contract: Service) -> None:
    job = (await contract.run("echo"))["jobId"]
    for path in (
        *("/api/v1", "/api/v1/jobs/", "/healthz/", "/healthz%0A", "/docs/x"),
        *(f"/api/v1/jobs%2F{job}", f"/api/v1/jobs%2f{job}", f"/api/v1/jobs/{job}%2Fevents", f"/api%2Fv1/jobs/{job}"),
        *(f"/api/v1/jobs/{job}/events%2Fstream", "/api/v1/queues%2Fmail", "/%2Fhealthz", "/healthz%2F"),
        *(f"/api/v1/jobs%252F{job}", f"/api/v1/jobs%5C{job}", f"/api/v1//jobs/{job}", f"/api/v1/jobs;/{job}"),
    ):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"):
            response = await contract.client.request(method, path)
            assert response.status_code == 404, (method, path)


async def test_options_about_the_whole_service_is_answered(contract: Service) -> None:
    [head] = await exchanged(contract.url, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", bodies=[0])
    assert head.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nallow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT\r\n" in head


async def test_options_takes_a_body_and_a_query_and_looks_at_neither(contract: Service) -> None:
    response = await contract.client.request("OPTIONS", "/api/v1/jobs?nonsense=1", content=b"x" * 5000)
    assert (response.status_code, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


# -- HEAD


def compared(response: httpx.Response, *, without: set[str]) -> dict[str, Any]:
    return {name: value for name, value in response.headers.items() if name not in EACH_TIME | without}


async def test_head_is_answered_as_get_without_a_body(contract: Service) -> None:
    view = await contract.run("echo", "x" * 5000)
    later = await contract.submit("echo", runAt=LATER)
    expected = await methods_by_path(contract)
    paths = [path for path, methods in expected.items() if "HEAD" in methods]
    paths += [f"/api/v1/jobs/{view['jobId']}{end}" for end in ("", "/events", "/logs", "/why", "/deliveries")]
    paths += [f"/api/v1/jobs/{later['jobId']}", "/api/v1/jobs?limit=x", "/api/v1/jobs?status=completed&limit=1"]
    for path in paths:
        for accepted in ("identity", "gzip") if view["jobId"] in path else ("gzip",):
            headers = {"Accept-Encoding": accepted}
            full = await contract.client.get(path, headers=headers)
            head = await contract.client.head(path, headers=headers)
            volatile = {"content-length"} if path in VOLATILE or "/why" in path else set()
            assert (head.status_code, head.content) == (full.status_code, b""), path
            assert compared(head, without=volatile) == compared(full, without=volatile), path
            assert "content-length" in head.headers, path


async def test_head_sends_no_byte_of_a_body(contract: Service) -> None:
    lines = b"HTTP/1.1\r\nHost: localhost\r\n\r\n"
    requests = b"HEAD /healthz " + lines + b"HEAD /nothing " + lines + b"GET /healthz " + lines
    first, second, third = await exchanged(contract.url, requests, bodies=[0, 0, None])
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 404 ")
    assert third.startswith(b"HTTP/1.1 200 ")
    assert third.endswith(b'\r\n\r\n{"status":"up"}')
    assert b"content-length: 15\r\n" in first


async def test_head_of_a_job_that_the_client_has_is_a_304(contract: Service) -> None:
    view = await contract.run("echo")
    path = f"/api/v1/jobs/{view['jobId']}"
    response = await contract.client.head(path, headers={"If-None-Match": '"2"'})
    assert (response.status_code, response.headers["ETag"]) == (304, '"2"')


async def test_head_never_waits(contract: Service) -> None:
    job = await contract.submit("echo", runAt=LATER)
    path = f"/api/v1/jobs/{job['jobId']}"
    async with asyncio.timeout(60):
        unnamed = await contract.client.head(path, params={"wait": 60})
        named = await contract.client.head(path, params={"wait": 60}, headers={"If-None-Match": '"0"'})
    assert (unnamed.status_code, named.status_code) == (200, 304)
    assert invalid_paths(await contract.client.get(path, params={"wait": 61})) == ["wait"]
    assert (await contract.client.head(path, params={"wait": 61})).status_code == 422


async def test_a_stream_is_got_only(contract: Service) -> None:
    job = await contract.submit("echo", runAt=LATER)
    for path in ("/api/v1/events/stream", f"/api/v1/jobs/{job['jobId']}/events/stream"):
        response = await contract.client.head(path)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, OPTIONS")
    assert not any(node.hub._watches for node in contract.nodes)


# -- with a key

KEY: Mapping[str, str] = {"Authorization": "Bearer sk-a-long-and-secret-key"}


@pytest.fixture(scope="module")
def key() -> str:
    return KEY["Authorization"].removeprefix("Bearer ")


async def test_head_needs_the_key_that_get_needs_and_options_none(start_service: StartService, key: str) -> None:
    service = await start_service(api_key=key)
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
        assert (await service.client.head(path)).status_code == 200, path
    for path in ("/api/v1/jobs", f"/api/v1/jobs/{UNKNOWN}", "/api/v1/events/stream", "/nothing"):
        assert (await service.client.head(path)).status_code == 401, path
    assert (await service.client.head("/api/v1/jobs", headers=KEY)).status_code == 200
    body = {"url": "https://203.0.114.1/", "events": ["*"], "signatures": ["v1", "v1a"]}
    made = (await service.client.post("/api/v1/webhooks", json=body, headers=KEY)).json()
    jwks = await service.client.head(f"/api/v1/webhooks/{made['webhookId']}/jwks.json")
    assert (jwks.status_code, jwks.headers["Cache-Control"]) == (200, "public, max-age=300")
    for job_id in (
        (await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=KEY)).json()["jobId"],
        "x",
    ):
        response = await service.client.options(f"/api/v1/jobs/{job_id}")
        assert (response.status_code, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
    assert (await service.client.options("/nothing")).status_code == 404


async def test_head_of_a_stream_does_not_use_its_ticket_up(start_service: StartService, key: str) -> None:
    service = await start_service(api_key=key)
    job = (
        await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers={**KEY, "Prefer": "wait=10"})
    ).json()
    requested = {"jobId": job["jobId"]}
    ticket = (await service.client.post("/api/v1/stream-tickets", json=requested, headers=KEY)).json()["ticket"]
    path = f"/api/v1/jobs/{job['jobId']}/events/stream"
    assert (await service.client.head(path, params={"ticket": ticket})).status_code == 401
    assert (await service.client.options(path, params={"ticket": ticket})).status_code == 204
    assert (await service.client.get(path, params={"ticket": ticket})).status_code == 200


async def test_a_node_that_serves_no_api_has_no_addresses_of_it(start_service: StartService) -> None:
    service = await start_service(roles=("worker", "dispatcher", "sweeper"))
    assert (await service.client.options("/api/v1/jobs")).status_code == 404
    assert (await service.client.options("/healthz")).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert (await service.client.options(SOCKET)).status_code == 404
