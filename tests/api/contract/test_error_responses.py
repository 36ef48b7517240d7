"""Format of errors, the same for all causes."""

import asyncio
import json

import httpx

from tests.support.response_checks import JSON, invalid_paths, refused
from tests.support.service import Service

UNKNOWN = "0199c1f0-0000-7000-8000-000000000000"
NO_IDS = [
    *("nonsense", "1", "0", "-1", UNKNOWN[:-1], UNKNOWN + "0", "{" + UNKNOWN + "}", "urn:uuid:" + UNKNOWN),
    *(UNKNOWN.replace("-", ""), UNKNOWN.upper(), "f" * 8 + UNKNOWN[8:], "00000000-0000-0000-0000-000000000000"),
    *("ffffffff-ffff-ffff-ffff-ffffffffffff", "%00", "%ED%A0%80", "%F0%9F%98%80", "a%20b", "x" * 5000, "null"),
]


async def test_an_id_that_is_none_or_unknown_is_the_same_404(contract: Service) -> None:
    bodies = set()
    for job_id in (UNKNOWN, *NO_IDS):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/events/stream")):
            response = await contract.client.request(method, f"/api/v1/jobs/{job_id}{path}")
            refused(response, 404, "NOT_FOUND")
            bodies.add(response.content)
    response = await contract.client.get(f"/api/v1/jobs/{UNKNOWN}?wait=60", headers={"If-None-Match": '"0"'})
    bodies.add(response.content)

    assert len(bodies) == 1


async def test_an_address_that_is_none_is_a_404_in_the_same_shape(contract: Service) -> None:
    for path in (
        *("/api", "/api/v1", "/api/v2/jobs", "/api/v1/jobs/", "/api/v1/jobs/a/b/c", "/healthz/", "/docs/x"),
        *("//api/v1/jobs", "/api/v1/jobs/../jobs/", "/%00", "/api/v1/job-types/nothing-like-it", "/index.html"),
        f"/api/v1/jobs/{UNKNOWN}/",
    ):
        refused(await contract.client.get(path), 404, "NOT_FOUND")


async def test_a_method_that_an_address_does_not_take_is_a_405_that_names_those_it_takes(contract: Service) -> None:
    for method, path, allowed in (
        ("DELETE", "/api/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("PUT", "/api/v1/jobs", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", f"/api/v1/jobs/{UNKNOWN}", "GET, HEAD, OPTIONS, PUT"),
        ("GET", f"/api/v1/jobs/{UNKNOWN}/cancel", "OPTIONS, POST"),
        ("POST", f"/api/v1/jobs/{UNKNOWN}/events", "GET, HEAD, OPTIONS"),
        ("POST", "/api/v1/job-types", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ):
        response = await contract.client.request(method, path)
        error = refused(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["Allow"] == allowed, path
        assert error["details"]["retryable"] is False


async def test_a_client_may_ask_for_the_same_facts_as_a_problem(contract: Service) -> None:
    for accept in (
        "application/problem+json",
        "application/json;q=0.5, application/problem+json",
        "APPLICATION/PROBLEM+JSON",
        "application/json, application/problem+json",
        "application/problem+json; charset=UTF-8, */*;q=0.1",
    ):
        response = await contract.client.post(
            "/api/v1/jobs", json={"type": "echo", "priority": 999}, headers={"Accept": accept}
        )
        assert (response.status_code, response.headers["Content-Type"]) == (422, "application/problem+json")
        problem = response.json()
        assert (problem["status"], problem["code"], problem["retryable"]) == (422, "VALIDATION_FAILED", False)
        assert {type(problem[name]) for name in ("type", "title", "detail", "reason")} == {str}
        assert [error["path"] for error in problem["errors"]] == ["priority"]
        assert "error" not in problem
    response = await contract.client.get("/nothing", headers={"Accept": "application/problem+json"})
    assert (response.json()["status"], response.headers["Content-Type"]) == (404, "application/problem+json")
    for accept in (
        *("application/json", "*/*", "text/html", "application/*", ""),
        "application/problem+json;q=0, application/json",
        "application/json, application/problem+json;q=0.5",
        'text/plain; note="application/problem+json"',
    ):
        refused(await contract.client.get("/nothing", headers={"Accept": accept}), 404, "NOT_FOUND")


async def test_the_id_of_a_request_is_taken_or_made_and_always_returned(contract: Service) -> None:
    view = await contract.run("echo")
    requests: list[tuple[str, str, int]] = [
        ("GET", "/healthz", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/v1/jobs", 405),
        ("POST", "/api/v1/jobs", 415),
        ("GET", "/api/v1/jobs?limit=x", 422),
        ("GET", f"/api/v1/jobs/{view['jobId']}", 200),
        ("GET", f"/api/v1/jobs/{view['jobId']}/events/stream", 200),
    ]
    for method, path, status in requests:
        taken = await contract.client.request(method, path, headers={"X-Request-Id": "req-7"})
        made = [(await contract.client.request(method, path)).headers["X-Request-Id"] for _ in range(2)]
        assert (taken.status_code, taken.headers.get_list("X-Request-Id")) == (status, ["req-7"]), path
        assert len({"", "req-7", *made}) == 4
    accepted = await contract.client.post("/api/v1/jobs", json={"type": "echo"}, headers={"X-Request-Id": "req-8"})
    assert accepted.headers["X-Request-Id"] == "req-8"
    for malformed in ("", "two words", "x" * 201, "ü"):
        headers = [(b"X-Request-Id", malformed.encode("latin-1"))]
        response = await contract.client.get("/healthz", headers=headers)
        assert (response.status_code, response.headers["X-Request-Id"] not in {"", malformed}) == (200, True)


async def test_every_refusal_counts_in_the_metrics_and_forbids_caching(contract: Service) -> None:
    response = await contract.client.get("/nothing")

    assert response.headers["Cache-Control"] == "no-store"
    assert "NOT_FOUND" in (await contract.client.get("/metrics")).text


async def test_a_message_may_hold_what_the_client_sent_without_breaking(contract: Service) -> None:
    for path in ("/api/v1/job-types/%00", "/api/v1/job-types/%ED%A0%80", "/api/v1/job-types/%22%7D%3Cscript%3E"):
        refused(await contract.client.get(path), 404, "NOT_FOUND")
        refused(await contract.client.delete(path), 404, "NOT_FOUND")
        assert invalid_paths(await contract.client.put(path, json={"parametersSchema": {}}))
        refused(await contract.client.get(f"{path}/limits"), 404, "NOT_FOUND")
    assert invalid_paths(await contract.client.get("/api/v1/jobs?%ED%A0%80=1"))
    assert invalid_paths(await contract.client.get(f"/api/v1/jobs/{UNKNOWN}?%00=1"))


async def test_what_is_no_http_is_answered_in_the_same_shape(contract: Service) -> None:
    for request in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n\r\n"):
        head, body = await _raw(contract, request)
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"content-type: application/json" in head.lower()
        assert b"x-request-id: " in head.lower()
        error = json.loads(body)["error"]
        assert (error["code"], error["details"]["retryable"]) == ("BAD_REQUEST", False)


async def _raw(contract: Service, request: bytes) -> tuple[bytes, bytes]:
    url = httpx.URL(contract.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(request)
        async with asyncio.timeout(60):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return head, body


async def test_two_requests_in_one_packet_are_both_answered_in_order(contract: Service) -> None:
    body = b'{"type":"echo"}'
    one = b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 15\r\n"
    head, rest = await _raw(contract, one + b"\r\n" + body + one + b"Connection: close\r\n\r\n" + body)

    assert head.startswith(b"HTTP/1.1 202")
    assert rest.count(b"HTTP/1.1 202") == 1
    assert rest.count(b'"jobId"') == 2


async def test_each_error_has_its_status_and_says_whether_to_try_again(contract: Service) -> None:
    post = contract.client.post
    refused(await post("/api/v1/jobs", content=b"{", headers=JSON), 400, "INVALID_JSON")
    refused(await post("/api/v1/jobs", content=b"{}"), 415, "UNSUPPORTED_MEDIA_TYPE")
    refused(await post("/api/v1/jobs", content=b"x" * (1 << 21), headers=JSON), 413, "BODY_TOO_LARGE")
    refused(await post("/api/v1/jobs", content=b"{}", headers=JSON), 422, "VALIDATION_FAILED")
