"""Reverse proxies: path prefixes, and forwarded headers of trusted proxies only."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from duly.api.server.reverse_proxies import OWN
from duly.settings import Settings
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
LOOPBACK = ("127.0.0.1",)
STRIPPED, LEFT = "", "/duly"


async def post(service: Service, path: str, body: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.client.post(path, json=body, headers=named)


@pytest.mark.parametrize("left", [STRIPPED, LEFT], ids=["stripped", "left"])
async def test_addresses_carry_the_prefix_whether_the_proxy_takes_it_off_or_not(
    start_service: StartService, left: str
) -> None:
    service = await start_service(root_path="/duly")
    jobs = f"{left}/api/v1/jobs"
    accepted = await post(service, jobs, {"type": "echo"})
    job_id = accepted.json()["jobId"]
    assert accepted.headers["location"] == f"/duly/api/v1/jobs/{job_id}"
    assert accepted.json()["links"] == {
        "self": f"/duly/api/v1/jobs/{job_id}",
        "events": f"/duly/api/v1/jobs/{job_id}/events",
        "stream": f"/duly/api/v1/jobs/{job_id}/events/stream",
        "cancel": f"/duly/api/v1/jobs/{job_id}/cancel",
    }
    waited = await post(service, jobs, {"type": "echo"}, Prefer="wait=10")
    assert waited.headers["location"] == f"/duly/api/v1/jobs/{waited.json()['jobId']}"

    one = {"type": "echo"}
    batch = await post(service, f"{jobs}/batch", {"jobs": [one]})
    assert batch.headers["location"] == f"/duly/api/v1/batches/{batch.json()['batchId']}"
    ndjson = {"Content-Type": "application/x-ndjson"}
    lines = await service.client.post(f"{jobs}/batch", content=b'{"type":"echo"}', headers=ndjson)
    assert lines.headers["location"] == f"/duly/api/v1/batches/{lines.json()['batchId']}"
    named = service.node.clock.ids.new()
    put = await service.client.put(f"{jobs}/{named}", json=one)
    assert (put.status_code, put.headers["location"]) == (202, f"/duly/api/v1/jobs/{named}")

    schedule = {"name": "nightly", "cron": "0 0 1 1 *", "submission": one}
    assert (await post(service, f"{left}/api/v1/schedules", schedule)).headers["location"] == (
        "/duly/api/v1/schedules/nightly"
    )
    webhook = {"url": "https://203.0.114.1/", "events": ["*"]}
    made = await post(service, f"{left}/api/v1/webhooks", webhook)
    assert made.headers["location"] == f"/duly/api/v1/webhooks/{made.json()['webhookId']}"

    assert (await service.client.get(accepted.headers["location"])).status_code == 200
    assert (await service.client.get(accepted.json()["links"]["events"])).status_code == 200
    refused = await service.client.delete(f"{left}/api/v1/jobs")
    assert refused.status_code == 405
    assert {"GET", "POST"} <= set(refused.headers["allow"].split(", "))
    assert (await service.client.get(f"{left}/api/v1/nothing")).status_code == 404
    assert (await service.client.get(f"{left}/healthz")).status_code == 200


@pytest.mark.parametrize("left", [STRIPPED, LEFT], ids=["stripped", "left"])
async def test_docs_and_openapi_name_the_prefix(start_service: StartService, left: str) -> None:
    service = await start_service(root_path="/duly")
    assert 'href="/duly/openapi.json"' in (await service.client.get(f"{left}/docs")).text
    assert '"/duly/ui/assets/' in (await service.client.get(f"{left}/ui/jobs")).text
    assert (await service.client.get(f"{left}/")).json()["dashboard"] == "/duly/ui"
    document = (await service.client.get(f"{left}/openapi.json")).json()
    assert document["servers"][0] == {"url": "/duly"}
    assert "/api/v1/jobs" in document["paths"]


@pytest.mark.parametrize("left", [STRIPPED, LEFT], ids=["stripped", "left"])
async def test_a_socket_opens_behind_a_prefix_and_its_links_carry_it(start_service: StartService, left: str) -> None:
    service = await start_service(root_path="/duly")
    async with connect(f"{service.url.replace('http', 'ws')}{left}/ws/jobs") as socket:
        await socket.send('{"type":"submit_job","job":{"type":"echo"}}')
        told = json.loads(await socket.recv())
    assert told["links"]["self"] == f"/duly/api/v1/jobs/{told['jobId']}"
    with pytest.raises(InvalidStatus):
        async with connect(f"{service.url.replace('http', 'ws')}/other/ws/jobs"):
            pass


@pytest.mark.parametrize("root_path", ["/api", "/ws", "/docs", "/api/v1", "/a/b/c"])
async def test_a_prefix_that_looks_like_an_address_of_the_service_is_told_apart(
    start_service: StartService, root_path: str
) -> None:
    service = await start_service(root_path=root_path)
    for left in ("", root_path):
        accepted = await post(service, f"{left}/api/v1/jobs", {"type": "echo"})
        assert accepted.headers["location"] == f"{root_path}/api/v1/jobs/{accepted.json()['jobId']}"
        assert (await service.client.get(f"{left}/api/v1/jobs/{accepted.json()['jobId']}")).status_code == 200
        assert (await service.client.get(f"{left}/healthz")).status_code == 200


async def test_a_key_is_asked_for_behind_a_prefix_too(start_service: StartService) -> None:
    service = await start_service(root_path="/duly", api_key="key")
    for path in ("/duly/api/v1/jobs", "/api/v1/jobs", "/duly/healthz/../api/v1/jobs", "/duly/duly/api/v1/jobs"):
        assert (await service.client.get(path)).status_code == 401, path
    assert (await service.client.get("/duly/healthz")).status_code == 200


async def test_every_address_of_the_service_begins_with_a_segment_that_is_known(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    assert {path.split("/")[1] for path in [*document["paths"], "/ws/jobs", "/docs", "/openapi.json"]} <= OWN


SPOOFED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "Forwarded": "for=203.0.113.7;proto=https;host=evil.example",
}


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8", "::1")])
async def test_a_client_that_is_no_trusted_proxy_tells_nothing(
    start_service: StartService, trusted: tuple[str, ...]
) -> None:
    service = await start_service(trusted_proxies=trusted)
    accepted = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=SPOOFED)
    assert accepted.headers["location"] == f"/api/v1/jobs/{accepted.json()['jobId']}"
    assert "/evil" not in (await service.client.get("/docs", headers=SPOOFED)).text
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            f"{service.url.replace('http', 'ws')}/ws/jobs",
            origin="https://evil.example",  # type: ignore[arg-type]  # a plain text
            additional_headers=SPOOFED,
        ):
            pass
    assert refused.value.response.status_code == 403


async def test_a_trusted_proxy_tells_prefix_and_host(start_service: StartService) -> None:
    service = await start_service(trusted_proxies=LOOPBACK, allowed_hosts=("jobs.example.com",))
    prefix = {"X-Forwarded-Prefix": "/team/duly"}
    accepted = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=prefix)
    assert accepted.headers["location"] == f"/team/duly/api/v1/jobs/{accepted.json()['jobId']}"
    document = (await service.client.get("/openapi.json", headers=prefix)).json()
    assert document["servers"][0] == {"url": "/team/duly"}
    plain = (await service.client.get("/openapi.json")).json()
    assert "/team/duly" not in [server["url"] for server in plain.get("servers", [])]
    for forwarded in (
        {"X-Forwarded-Host": "jobs.example.com", "X-Forwarded-Proto": "https"},
        {"Forwarded": "for=203.0.113.7;host=jobs.example.com;proto=https"},
    ):
        async with connect(
            f"{service.url.replace('http', 'ws')}/ws/jobs",
            origin="https://jobs.example.com",  # type: ignore[arg-type]  # a plain text
            additional_headers=forwarded,
        ) as socket:
            await socket.send('{"type":"ping"}')
            assert json.loads(await socket.recv())["type"] == "pong"


async def test_a_prefix_that_is_no_path_is_not_put_into_addresses(start_service: StartService) -> None:
    service = await start_service(trusted_proxies=LOOPBACK)
    for prefix in ("//evil.example", "https://evil.example", "/a?b", "/..", "/%2f"):
        accepted = await post(service, "/api/v1/jobs", {"type": "echo"}, X_Forwarded_Prefix=prefix)
        assert accepted.headers["location"].endswith(f"/api/v1/jobs/{accepted.json()['jobId']}")
        assert accepted.headers["location"].startswith(("/api/", "/evil.example/api/"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("root_path", "duly", "is not a path such as /duly"),
        ("root_path", "//evil", "is not a path such as /duly"),
        ("trusted_proxies", "*", "'*'"),
        ("trusted_proxies", "localhost", "'localhost'"),
        ("trusted_proxies", "10.0.0.1/8", "10.0.0.1/8"),
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(name: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        Settings(**{name: value})
    assert said in str(refused.value)


def test_the_prefix_is_kept_without_its_last_slash() -> None:
    assert [Settings(root_path=text).root_path for text in ("", "/", "/duly/", "/a/b")] == ["", "", "/duly", "/a/b"]
