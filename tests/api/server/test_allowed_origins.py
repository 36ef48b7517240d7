"""Pages of other sites: their requests are refused, and so are foreign hosts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from duly.settings import Settings
from tests.support.response_checks import refused
from tests.support.service import Service
from tests.support.websocket_client import socket_to

StartService = Callable[..., Awaitable[Service]]
ID = "0199c1f0-0000-7000-8000-000000000000"
STREAM = "/api/v1/events/stream"
# Each changes something, or shows what only this machine may see.
REQUESTS = (
    ("POST", f"/api/v1/jobs/{ID}/cancel"),
    ("POST", "/api/v1/queues/default/pause"),
    ("POST", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs/batch"),
    ("PUT", f"/api/v1/jobs/{ID}"),
    ("DELETE", "/api/v1/schedules/nightly"),
    ("PATCH", "/api/v1/schedules/nightly"),
    ("POST", "/api/v1/stream-tickets"),
    ("POST", "/api/v1/webhooks"),
    ("GET", "/api/v1/jobs"),
    ("GET", f"/api/v1/jobs/{ID}/events/stream"),
    ("GET", STREAM),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/nothing/here"),
    ("OPTIONS", "/api/v1/jobs"),
)
EVIL = "https://evil.example"
FOREIGN: dict[str, dict[str, str]] = {
    "origin": {"Origin": EVIL},
    "null": {"Origin": "null"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "another name": {"Origin": "http://localhost:1"},
    "marked same origin": {"Origin": EVIL, "Sec-Fetch-Site": "same-origin"},
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    "framed": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "rebound": {"Host": "evil.example"},
    "rebound with port": {"Host": "evil.example:8000", "Sec-Fetch-Site": "same-origin"},
    "rebound subdomain": {"Host": "localhost.evil.example"},
    "any address": {"Host": "0.0.0.0:8000"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_no_page_of_another_site_reaches_the_open_service(contract: Service, headers: dict[str, str]) -> None:
    for method, path in REQUESTS:
        error = refused(await contract.client.request(method, path, headers=headers), 403, "FORBIDDEN")
        assert "DULY_ALLOWED_" in error["details"]["reason"], (method, path)
    with pytest.raises(InvalidStatus) as socket:
        async with socket_to(contract, additional_headers=headers):
            pass
    assert socket.value.response.status_code == 403
    assert (
        await contract.sql("select from jobs")
        == await contract.sql("select from queues where paused_at is not null")
        == []
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Host": "localhost:8000", "Origin": "http://localhost:8000"},
        {"Host": "app.localhost", "Origin": "http://app.localhost", "Sec-Fetch-Site": "same-origin"},
        {"Host": "[::1]:9", "Origin": "http://[::1]:9"},
    ],
    ids=str,
)
async def test_pages_of_the_service_itself_and_programs_are_answered(
    contract: Service, headers: dict[str, str]
) -> None:
    for method, path, status in (("GET", "/api/v1/jobs", 200), ("POST", f"/api/v1/jobs/{ID}/cancel", 404)):
        assert (await contract.client.request(method, path, headers=headers)).status_code == status
    async with socket_to(contract, additional_headers=headers) as socket:
        await socket.is_open()


async def test_a_link_of_another_site_leads_to_the_pages_for_people_only(contract: Service) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/docs", "/ui", "/ui/jobs", "/"):
        assert (await contract.client.get(path, headers=link)).status_code == 200, path
    refused_paths = ("/api/v1/jobs", "/openapi.json", "/ui/session", "/ui/assets/0/app.js")
    for method, path in (("POST", "/docs"), ("POST", "/ui/session"), *(("GET", path) for path in refused_paths)):
        refused(await contract.client.request(method, path, headers=link), 403, "FORBIDDEN")


async def test_a_host_and_an_origin_that_are_named_are_answered(start_service: StartService) -> None:
    service = await start_service(allowed_hosts=("duly.internal", "other:81"), allowed_origins=("https://app.example",))
    named = (
        {"Host": "duly.internal:8000"},
        {"Host": "DULY.internal", "Origin": "http://duly.internal"},
        {"Host": "other:81"},
        {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site"},
    )
    for headers in named:
        assert (await service.client.get("/api/v1/jobs", headers=headers)).status_code == 200, headers
        async with socket_to(service, additional_headers=headers) as socket:
            await socket.is_open()
    for headers in ({"Host": "other"}, {"Host": "x.duly.internal"}, {"Origin": "https://app.example:8443"}):
        refused(await service.client.get("/api/v1/jobs", headers=headers), 403, "FORBIDDEN")


async def test_no_header_of_a_page_makes_up_for_a_foreign_host(start_service: StartService) -> None:
    service = await start_service(trusted_proxies=("127.0.0.1",), root_path="/duly", allowed_hosts=("duly.example",))
    pretended: tuple[tuple[dict[str, str], int], ...] = (
        ({"Host": "evil.example", "X-Forwarded-Host": "localhost"}, 403),
        ({"Host": "evil.example", "Forwarded": "host=localhost"}, 403),
        ({"Host": "localhost", "X-Forwarded-Host": "evil.example"}, 403),
        ({"Host": "localhost", "X-Forwarded-Host": "duly.example", "Origin": "http://localhost"}, 403),
        ({"Host": "localhost", "X-Forwarded-Host": "duly.example", "Origin": "https://duly.example"}, 200),
        ({"Host": "duly.example", "Origin": "https://duly.example"}, 200),
    )
    for headers, status in pretended:
        response = await service.client.get("/duly/api/v1/jobs", headers=headers)
        assert response.status_code == status, headers


async def test_with_a_key_configured_any_host_is_answered_and_a_page_needs_the_key(start_service: StartService) -> None:
    service = await start_service(api_key="sk-a-long-and-secret-key")
    key = {"Authorization": "Bearer sk-a-long-and-secret-key"}
    for headers in ({"Host": "duly.example"}, {"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await service.client.get("/api/v1/jobs", headers=headers | key)).status_code == 200
        refused(await service.client.get("/api/v1/jobs", headers=headers), 401, "UNAUTHORIZED")


async def opening(service: Service, url: str, headers: dict[str, str]) -> httpx.Response:
    """Returns the beginning of a stream, or the error."""
    async with asyncio.timeout(60), service.client.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            await response.aread()
        return response


async def test_streams_can_be_read_by_pages_of_the_sites_that_are_named(start_service: StartService) -> None:
    service = await start_service(allowed_origins=("https://App.example/", "http://localhost:3000"))
    job = await service.run("echo")
    of_job = f"/api/v1/jobs/{job['jobId']}/events/stream"
    unknown = f"/api/v1/jobs/{ID}/events/stream"
    for origin in ("https://app.example", "http://localhost:3000"):
        page = {"Origin": origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        for url, status in (
            *((STREAM, 200), (of_job, 200), (f"{of_job}?lastEventId=2", 204), (unknown, 404)),
            *((f"{STREAM}?lastEventId=x", 422), (f"{STREAM}?ticket=x", 401)),
        ):
            response = await opening(service, url, page)
            assert response.status_code == status, url
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert "Origin" in response.headers.get_list("Vary")
            assert "Access-Control-Allow-Credentials" not in response.headers
        assert "Access-Control-Allow-Origin" not in (await service.client.get("/api/v1/jobs", headers=page)).headers
    assert "Origin" in (await opening(service, STREAM, {})).headers.get_list("Vary")
    foreign = await opening(service, STREAM, {"Origin": EVIL})
    assert (foreign.status_code, "Access-Control-Allow-Origin" in foreign.headers) == (403, False)


@pytest.mark.parametrize("key", [None, "sk-a-long-and-secret-key"])
async def test_a_browser_may_look_first_whether_it_may_open_a_stream(
    start_service: StartService, key: str | None
) -> None:
    service = await start_service(api_key=key, allowed_origins=("https://app.example",))
    requested = {
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,last-event-id",
    }
    page = {"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site", **requested}
    response = await service.client.options(STREAM, headers=page)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.headers["Access-Control-Allow-Methods"] == "GET"
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "last-event-id"} <= allowed
    assert response.headers["X-Request-Id"]
    for url, headers in ((STREAM, {**requested, "Origin": EVIL}), ("/api/v1/jobs", page), (STREAM, requested)):
        other = await service.client.options(url, headers=headers)
        assert "Access-Control-Allow-Origin" not in other.headers, url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("allowed_origins", value) for value in ("*", "null", "app.example.com", "https://a.example/path")),
        *(("allowed_hosts", value) for value in ("*", "http://duly", "duly/x", "duly:port")),
    ],
)
def test_a_setting_that_names_no_origin_or_host_is_refused(name: str, value: str) -> None:
    given: dict[str, Any] = {name: f"https://ok.example,{value}" if "origin" in name else f"ok.example,{value}"}
    with pytest.raises(ValueError, match=r" is not (an origin|a host)"):
        Settings(**given)
