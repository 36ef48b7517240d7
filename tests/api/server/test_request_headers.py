"""Headers of requests: fields with a single value, lists in several lines, and compressed content."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.support.raw_http import exchanged
from tests.support.response_checks import JSON, refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
UNKNOWN = "0199c1f0-0000-7000-8000-000000000000"
BODY = {"type": "echo"}
CHANGING = ("DELETE", "PATCH", "POST", "PUT")


async def changing_routes(service: Service) -> list[tuple[str, str]]:
    document = (await service.client.get("/openapi.json")).json()
    return [
        (method.upper(), "/".join(UNKNOWN if "{" in part else part for part in path.split("/")))
        for path, item in document["paths"].items()
        for method in item
        if method.upper() in CHANGING
    ]


# -- Content-Encoding


async def test_compressed_content_is_a_415_on_every_route(contract: Service) -> None:
    routes = await changing_routes(contract)
    assert len(routes) > 20
    for method, path in (*routes, ("POST", "/nothing")):
        response = await contract.client.request(method, path, headers={"Content-Encoding": "gzip"})
        error = refused(response, 415, "UNSUPPORTED_CONTENT_ENCODING")
        assert response.headers["Accept-Encoding"] == "identity", (method, path)
        assert error["details"]["retryable"] is False


@pytest.mark.parametrize(
    "coding",
    ["gzip", "x-gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "gzip, gzip", "nonsense", "*", "q=1"],
)
async def test_no_coding_is_taken(contract: Service, coding: str) -> None:
    response = await contract.client.post("/api/v1/jobs", json=BODY, headers={"Content-Encoding": coding})
    refused(response, 415, "UNSUPPORTED_CONTENT_ENCODING")


async def test_codings_in_several_lines_are_all_looked_at(contract: Service) -> None:
    lines = [("Content-Encoding", "gzip"), ("Content-Encoding", "identity")]
    for headers in (lines, lines[::-1]):
        response = await contract.client.post("/api/v1/jobs", json=BODY, headers=headers)
        refused(response, 415, "UNSUPPORTED_CONTENT_ENCODING")


@pytest.mark.parametrize("coding", ["identity", "Identity", "", ",", "identity, identity"])
async def test_plain_content_may_say_that_it_is_plain(contract: Service, coding: str) -> None:
    response = await contract.client.post("/api/v1/jobs", json=BODY, headers={"Content-Encoding": coding})
    assert response.status_code == 202


async def test_what_has_no_content_that_is_read_is_answered(contract: Service) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        response = await contract.client.request(method, "/api/v1/jobs", headers={"Content-Encoding": "gzip"})
        assert response.status_code in {200, 204}, method


async def test_compressed_content_is_refused_before_it_is_read_and_before_the_key(start_service: StartService) -> None:
    service = await start_service(api_key="sk-a-long-and-secret-key")
    for type_ in (b"application/json", b"application/x-ndjson"):
        head = (
            b"POST /api/v1/jobs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\n"
            b"Content-Type: " + type_ + b"\r\nContent-Length: 1000000\r\n\r\n"
        )
        [response] = await exchanged(service.url, head, bodies=[None])
        assert response.startswith(b"HTTP/1.1 415 ")
        assert b"\r\naccept-encoding: identity\r\n" in response


# -- fields in several lines


@pytest.mark.parametrize(
    "lines",
    [
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
        [("authorization", "Bearer a"), ("AUTHORIZATION", "Bearer a")],
        [("Idempotency-Key", "one"), ("Idempotency-Key", "two")],
        [("Idempotency-Key", "one"), ("Idempotency-Key", "one")],
        [("Content-Type", "application/json"), ("Content-Type", "text/plain")],
        [("Content-Type", "application/json"), ("Content-Type", "application/json")],
        [("X-Correlation-Id", "one"), ("X-Correlation-Id", "two")],
        [("Last-Event-ID", "1"), ("Last-Event-ID", "2")],
    ],
)
async def test_a_field_that_holds_one_value_is_sent_once(contract: Service, lines: list[tuple[str, str]]) -> None:
    name = lines[0][0].title()
    type_ = [] if name == "Content-Type" else list(JSON.items())
    before = await contract.sql("select count(*) from jobs")
    for method, path in (("POST", "/api/v1/jobs"), ("POST", "/api/v1/jobs/batch"), ("GET", "/healthz")):
        response = await contract.client.request(method, path, content=b'{"type":"echo"}', headers=[*lines, *type_])
        error = refused(response, 400, "BAD_REQUEST")
        assert f"Header {name} was sent 2 times." == error["message"]
        assert lines[0][1] not in response.text
    assert await contract.sql("select count(*) from jobs") == before


async def test_a_second_key_does_not_open_what_the_first_one_does_not(start_service: StartService) -> None:
    key = "sk-a-long-and-secret-key"
    service = await start_service(api_key=key)
    right, wrong = ("Authorization", f"Bearer {key}"), ("Authorization", "Bearer sk-another")
    for lines in ([right, wrong], [wrong, right], [right, right]):
        response = await service.client.get("/api/v1/jobs", headers=lines)
        refused(response, 400, "BAD_REQUEST")
        assert key not in response.text
    origins = [("Origin", "https://one.example"), ("Origin", "https://two.example")]
    refused(await service.client.get("/api/v1/jobs", headers=[right, *origins]), 400, "BAD_REQUEST")


async def test_a_handshake_sends_its_key_once(contract: Service) -> None:
    handshake = (
        b"GET /ws/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        b"Authorization: Bearer one\r\nAuthorization: Bearer two\r\n\r\n"
    )
    [response] = await exchanged(contract.url, handshake, bodies=[None])
    assert response.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"BAD_REQUEST"' in response


async def test_lists_may_come_in_several_lines(contract: Service) -> None:
    view = await contract.run("echo")

    async def got(*lines: tuple[str, str], path: str = f"/api/v1/jobs/{view['jobId']}") -> httpx.Response:
        return await contract.client.get(path, headers=list(lines))

    assert (await got(("If-None-Match", '"1"'), ("If-None-Match", '"2"'))).status_code == 304
    assert (await got(("If-None-Match", '"2"'), ("If-None-Match", '"1"'))).status_code == 304
    assert (await got(("If-None-Match", '"7'), ("If-None-Match", '"2"'))).status_code == 200
    for lines in (["application/problem+json", "*/*;q=0.5"], ["*/*;q=0.5", "application/problem+json"]):
        response = await got(*(("Accept", line) for line in lines), path="/nothing")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["Vary"] == "Accept"


async def test_a_trace_context_that_is_sent_twice_is_none(contract: Service) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    lines = [("traceparent", trace), ("traceparent", trace)]
    response = await contract.client.post("/api/v1/jobs", json=BODY, headers=lines)
    assert response.status_code == 202
    [submitted, *_] = await contract.events(response.json()["jobId"])
    assert submitted["metadata"]["traceparent"] is None


async def test_a_media_type_is_read_in_each_of_its_spellings(contract: Service) -> None:
    for type_ in ("application/json", "Application/JSON;charset=utf-8", 'application/json ; charset="utf-8"'):
        response = await contract.client.post(
            "/api/v1/jobs", content=b'{"type":"echo"}', headers={"Content-Type": type_}
        )
        assert response.status_code == 202, type_
    for type_ in ("application/jsonp", "text/json", "json", "application/json, text/plain", "application /json", ""):
        response = await contract.client.post(
            "/api/v1/jobs", content=b'{"type":"echo"}', headers={"Content-Type": type_}
        )
        refused(response, 415, "UNSUPPORTED_MEDIA_TYPE")
