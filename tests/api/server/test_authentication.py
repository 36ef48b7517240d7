"""API key: required except for probes and the document, and never shown."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support.response_checks import refused
from tests.support.service import Service

KEY = "sk-a-long-and-secret-key"
StartService = Callable[..., Awaitable[Service]]
CLOSED = [
    ("GET", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs"),
    ("GET", "/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000"),
    ("POST", "/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000/cancel"),
    ("GET", "/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000/events"),
    ("GET", "/api/v1/jobs/0199c1f0-0000-7000-8000-000000000000/events/stream"),
    ("GET", "/api/v1/job-types"),
    ("GET", "/api/v1/job-types/echo"),
    ("GET", "/nothing/here"),
    ("DELETE", "/api/v1/jobs"),
]


async def test_with_the_key_everything_works(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    service.client.headers["Authorization"] = f"Bearer {KEY}"

    assert (await service.run("echo"))["status"] == "completed"
    for scheme in ("bearer", "BEARER", "Bearer "):
        response = await service.client.get("/api/v1/jobs", headers={"Authorization": f"{scheme} {KEY}"})
        assert response.status_code == 200, scheme


async def test_without_the_right_key_every_address_of_the_api_is_closed(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)
    for method, path in CLOSED:
        error = refused(await service.client.request(method, path), 401, "UNAUTHORIZED")
        assert error["details"]["retryable"] is False
    for wrong in (
        *("Bearer", "Bearer ", "Bearer wrong", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"),
        *(f"Bearer {KEY.upper()}", f"Bearer {KEY} {KEY}", f"Bearer,{KEY}", "Bearer \xff"),
    ):
        headers = [(b"Authorization", wrong.encode("latin-1").rstrip())]
        response = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=headers)
        refused(response, 401, "UNAUTHORIZED")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    refused(await service.client.get("/api/v1/jobs", params={"key": KEY, "api_key": KEY}), 401, "UNAUTHORIZED")
    assert await service.total("select count(*) from jobs") == 0


async def test_where_machines_look_no_key_is_needed(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)

    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"):
        assert (await service.client.get(path)).status_code == 200, path


async def test_without_a_key_configured_the_api_is_open(service: Service) -> None:
    for headers in ({}, {"Authorization": "Bearer anything"}):
        assert (await service.client.get("/api/v1/jobs", headers=headers)).status_code == 200


async def test_no_key_is_ever_repeated(start_service: StartService, capfd: pytest.CaptureFixture[str]) -> None:
    service = await start_service(api_key=KEY)
    wrong = "sk-a-wrong-and-secret-key"
    for key in (KEY, wrong):
        headers = {"Authorization": f"Bearer {key}"}
        for method, path in (*CLOSED, ("GET", "/metrics"), ("GET", "/openapi.json")):
            response = await service.client.request(method, path, headers=headers)
            told = response.text + str(response.headers)
            assert KEY not in told
            assert wrong not in told

    written = service.written(capfd)
    assert KEY not in written + repr(service.node.settings)
    assert wrong not in written


async def test_the_key_is_asked_for_before_the_body_is_read(start_service: StartService) -> None:
    service = await start_service(api_key=KEY)

    refused(await service.client.post("/api/v1/jobs", content=b"x" * (2 << 20)), 401, "UNAUTHORIZED")
    assert (await service.client.get("/healthz")).status_code == 200
