"""Security headers: on every response, and the policy under which the page of the API runs."""

import re
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from duly.api.server.shedding_protocol import refusal_of
from duly.domain.ids import new_job_id
from tests.support.raw_client import SUBMISSION, raw_client, request, submission
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver
from tests.support.websocket_client import socket_to


def checked(headers: Any, *, bare: bool = False) -> None:
    assert headers["x-content-type-options"] == "nosniff"
    assert headers.get("referrer-policy") == (None if bare else "no-referrer")


async def calls_of(service: Service) -> list[tuple[str, str]]:
    """Every method of every path in the document, with ids that nothing has; streams stay open and are left out."""
    document = (await service.client.get("/openapi.json")).json()
    return [
        (method.upper(), re.sub(r"{\w+}", str(new_job_id()), path))
        for path, operations in document["paths"].items()
        for method in operations
        if not path.endswith("/stream")
    ]


async def test_every_route_answers_with_them(attacked: Service) -> None:
    calls = await calls_of(attacked)
    assert len(calls) > 50
    for method, path in [*calls, ("GET", "/docs"), ("GET", "/openapi.json"), ("OPTIONS", "/api/v1/jobs"), ("GET", "/")]:
        answer = await attacked.client.request(method, path)
        checked(answer.headers)


async def test_an_accepted_submission_has_the_one_that_it_needs(attacked: Service) -> None:
    async with raw_client(attacked) as client:
        answer = await client.ask(submission())
    assert answer.status == 202
    checked(answer.headers, bare=True)


async def test_streams_and_sockets_have_them(attacked: Service) -> None:
    job_id = (await attacked.run("echo"))["jobId"]
    async with attacked.client.stream("GET", f"/api/v1/jobs/{job_id}/events/stream") as answer:
        checked(answer.headers)
    async with socket_to(attacked) as socket:
        assert socket.connection.response is not None
        checked(socket.connection.response.headers, bare=True)
    with pytest.raises(InvalidStatus) as refused:
        async with socket_to(attacked, additional_headers={"Origin": "https://evil.example"}):
            pass
    checked(refused.value.response.headers)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        request("GET", "/healthz", "Host: twice"),
        request("GET", "/healthz", "X-Long: " + "x" * (64 << 10)),
        request("GET", "/?" + "x" * (16 << 10)),
        request("POST", "/api/v1/jobs", "Transfer-Encoding: gzip"),
    ],
)
async def test_a_refusal_before_the_application_has_them(attacked: Service, sent: bytes) -> None:
    async with raw_client(attacked) as client:
        answer = await client.ask(sent)
    assert answer.status >= 400
    checked(answer.headers)


def test_a_refusal_under_overload_has_them() -> None:
    found = refusal_of(submission(body=SUBMISSION))
    assert found is not None
    head, _, _ = found[0].decode().partition("\r\n\r\n")
    checked(httpx.Headers(dict(line.split(": ", 1) for line in head.split("\r\n")[1:])))


async def test_what_shows_a_secret_is_not_stored(attacked: Service, receiver: Receiver) -> None:
    endpoint = {"url": receiver.url, "events": ["*"]}
    made = await attacked.client.post("/api/v1/webhooks", json=endpoint)
    answers = [made, await attacked.client.post(f"/api/v1/webhooks/{made.json()['webhookId']}/rotate-secret")]
    answers.append(await attacked.client.post("/api/v1/stream-tickets", json={"all": True}))
    for answer in answers:
        assert answer.is_success
        assert answer.json().get("secret") or answer.json()["ticket"]
        assert answer.headers["cache-control"] == "no-store"
    await attacked.client.delete(f"/api/v1/webhooks/{made.json()['webhookId']}")


@pytest.mark.parametrize("path", ["/docs", "/ui", "/ui/jobs"])
async def test_a_page_loads_files_of_the_service_alone(attacked: Service, path: str) -> None:
    answer = await attacked.client.get(path)
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    sources = re.findall(r'<(?:script|link) [^>]*(?:src|href)="([^"]+)"', answer.text)
    assert len(sources) >= 3
    for source in sources:
        file = await attacked.client.get(source)
        assert file.status_code == 200, source
        checked(file.headers)
    assert not re.search(r"<script>|<style|style=|\son\w+=", answer.text)
