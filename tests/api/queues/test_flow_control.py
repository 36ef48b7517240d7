"""`…/pause`, `…/resume` and `…/limits` over HTTP: requests, responses and errors."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
NOTHING = {"concurrency": None, "rate": None}
ADDRESSES = ["/api/v1/queues/nightly/limits", "/api/v1/job-types/echo/limits"]


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(roles=("api",))


async def test_pausing_answers_with_the_queue_and_twice_is_as_once(service: Service) -> None:
    first = await service.client.post("/api/v1/queues/nightly/pause")
    assert first.status_code == 200
    assert (first.json()["queue"], first.json()["paused"]) == ("nightly", True)
    again = await service.client.post("/api/v1/queues/nightly/pause")
    assert again.json()["pausedAt"] == first.json()["pausedAt"]
    read = await service.client.get("/api/v1/queues/nightly")
    assert read.json()["pausedAt"] == first.json()["pausedAt"]
    listed = (await service.client.get("/api/v1/queues")).json()["items"]
    assert [each["queue"] for each in listed if each["paused"]] == ["nightly"]


async def test_resuming_too_whether_it_was_paused_or_not(service: Service) -> None:
    await service.client.post("/api/v1/queues/nightly/pause")
    for _ in range(2):
        response = await service.client.post("/api/v1/queues/nightly/resume")
        assert response.status_code == 200
        assert (response.json()["paused"], response.json()["pausedAt"]) == (False, None)


async def test_only_a_change_raises_the_version(service: Service) -> None:
    async def version() -> int:
        return int((await service.sql("select version from control where id = 1"))[0][0])

    seen = [await version()]
    for verb in ("pause", "pause", "resume", "resume"):
        await service.client.post(f"/api/v1/queues/nightly/{verb}")
        seen.append(await version())
    assert seen == [1, 2, 2, 3, 3]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_limits_are_set_read_replaced_and_taken_away(service: Service, address: str) -> None:
    assert (await service.client.get(address)).json() == NOTHING
    both = {"concurrency": 10, "rate": {"count": 100, "seconds": 60.0}}
    for limits, shown in (
        (both, both),
        ({"concurrency": 3}, {"concurrency": 3, "rate": None}),
        ({"rate": {"count": 5, "seconds": 0.5}}, {"concurrency": None, "rate": {"count": 5, "seconds": 0.5}}),
        ({"concurrency": None, "rate": None}, NOTHING),
        (both, both),
    ):
        response = await service.client.put(address, json=limits)
        assert (response.status_code, response.json()) == (200, shown)
        assert (await service.client.get(address)).json() == shown
        assert (await service.client.get(address.removesuffix("/limits"))).json()["limits"] == shown
    for _ in range(2):
        assert (await service.client.delete(address)).status_code == 204
        assert (await service.client.get(address)).json() == NOTHING
    assert await service.sql("select from limits") == []


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": -1}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"concurrency": "10"}, "concurrency"),
        ({"concurrency": 1_000_001}, "concurrency"),
        ({"rate": 5}, "rate"),
        ({"rate": {"count": 5}}, "rate.seconds"),
        ({"rate": {"count": 0, "seconds": 1}}, "rate.count"),
        ({"rate": {"count": 1, "seconds": 0}}, "rate.seconds"),
        ({"rate": {"count": 1, "seconds": 1, "burst": 2}}, "rate.burst"),
        ({"concurency": 1}, "concurency"),
        ([], ""),
    ],
)
async def test_what_is_no_limit_is_refused_by_its_path(service: Service, address: str, body: Any, path: str) -> None:
    response = await service.client.put(address, json=body)
    assert response.status_code == 422, response.text
    assert [each["path"] for each in response.json()["error"]["details"]["errors"]] == [path]
    assert (await service.client.get(address)).json() == NOTHING


async def test_a_body_that_is_not_json_is_refused(service: Service) -> None:
    response = await service.client.put(ADDRESSES[0], content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert (await service.client.put(ADDRESSES[0], content=b"{}")).status_code == 415


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_type_that_is_not_known_has_no_limits(service: Service, method: str) -> None:
    response = await service.client.request(method, "/api/v1/job-types/ecko/limits", json={"concurrency": 1})
    assert response.status_code == 404
    assert "echo" in response.json()["error"]["details"]["reason"]


async def test_the_limits_of_a_type_that_is_no_longer_known_can_be_taken_away(service: Service) -> None:
    await service.sql("insert into limits (tenant_id, scope, name, concurrency) values (1, 2, 'gone', 1)")
    assert (await service.client.delete("/api/v1/job-types/gone/limits")).status_code == 204
    assert await service.sql("select from limits") == []


@pytest.mark.parametrize("name", ["-", "a%00b", "x" * 129, "no%20spaces"])
async def test_a_name_that_nothing_can_have_is_not_found(service: Service, name: str) -> None:
    for method, address in (
        ("POST", f"/api/v1/queues/{name}/pause"),
        ("POST", f"/api/v1/queues/{name}/resume"),
        ("GET", f"/api/v1/queues/{name}/limits"),
        ("PUT", f"/api/v1/queues/{name}/limits"),
        ("DELETE", f"/api/v1/queues/{name}/limits"),
        ("DELETE", f"/api/v1/job-types/{name}/limits"),
        ("GET", f"/api/v1/job-types/{name}/limits"),
    ):
        response = await service.client.request(method, address, json={})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND"), address


async def test_a_name_may_hold_slashes(service: Service) -> None:
    paused = await service.client.post("/api/v1/queues/eu/west/pause")
    assert paused.json()["queue"] == "eu/west"
    await service.client.put("/api/v1/queues/eu/west/limits", json={"concurrency": 2})
    assert (await service.client.get("/api/v1/queues/eu/west/limits")).json()["concurrency"] == 2


async def test_query_members_are_refused(service: Service) -> None:
    for method, address in (("POST", "/api/v1/queues/nightly/pause"), ("GET", ADDRESSES[0]), ("DELETE", ADDRESSES[1])):
        response = await service.client.request(method, address, params={"force": "yes"})
        assert response.status_code == 422, address


async def test_what_the_address_does_not_take_is_named(service: Service) -> None:
    response = await service.client.post(ADDRESSES[0], json={})
    assert response.status_code == 405
    assert response.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert (await service.client.delete("/api/v1/queues/nightly/pause")).status_code == 405


async def test_limits_outlive_the_service(start_service: StartService) -> None:
    first = await start_service(roles=("api",))
    await first.client.put(ADDRESSES[0], json={"concurrency": 2})
    second = await start_service()
    assert (await second.client.get(ADDRESSES[0])).json()["concurrency"] == 2
    assert second.node.worker.claimer.restrictions.any


async def test_the_document_says_what_limits_are(service: Service) -> None:
    document = (await service.client.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/queues/{queue}/limits"]["put"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/StartLimits"
    }
    schema = document["components"]["schemas"]["StartLimits"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"concurrency", "rate"}
