"""Verification of keys: the cache, and what ends with a key."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from duly.domain.api_key import generate_key
from duly.domain.database_clock import DatabaseClock
from duly.lifecycle.access import key_verifier
from duly.store.access.api_keys import StoredKey, find_keys
from tests.support.keys import OWN, bearer, make_key, make_tenant
from tests.support.service import Service, eventually
from tests.support.websocket_client import socket_to

if TYPE_CHECKING:
    from duly.store.postgres.database import Database

StartService = Callable[..., Awaitable[Service]]
POLICY_VIOLATION = 1008


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    """Returns a service that requires keys."""
    return await start_service(api_key=OWN)


async def revoke(service: Service, key_id: str) -> None:
    answer = await service.client.delete(f"/api/v1/keys/{key_id}", headers=bearer(OWN))
    assert answer.status_code == 204


async def test_streams_and_sockets_end_with_their_key(start_service: StartService) -> None:
    nodes = [await start_service(api_key=OWN), await start_service(api_key=OWN)]
    made, other = await make_key(nodes[0], "jobs:read"), await make_key(nodes[0], "jobs:read")
    headers = bearer(made["key"])
    kept = nodes[1].client.stream("GET", "/api/v1/events/stream", headers=bearer(other["key"]))
    cut = nodes[1].client.stream("GET", "/api/v1/events/stream", headers=headers)
    async with kept as staying, cut as stream, socket_to(nodes[1], additional_headers=headers) as socket:
        lines, others = stream.aiter_lines(), staying.aiter_lines()
        assert await anext(lines) == await anext(others) == "retry: 1000"
        await socket.is_open()
        await revoke(nodes[0], made["keyId"])
        async with asyncio.timeout(60):
            assert [line async for line in lines][-1] == ""
            assert (await socket.receive_to_end())[1] == POLICY_VIOLATION
        await eventually(lambda: _holding(nodes[1], 1))


async def test_a_stream_of_a_ticket_ends_with_the_key_that_made_it(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read")
    answer = await keyed.client.post("/api/v1/stream-tickets", json={"all": True}, headers=bearer(made["key"]))
    params = {"ticket": answer.json()["ticket"]}
    async with keyed.client.stream("GET", "/api/v1/events/stream", params=params) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await revoke(keyed, made["keyId"])
        async with asyncio.timeout(60):
            assert [line async for line in lines][-1] == ""


async def test_a_stream_ends_when_its_key_expires(keyed: Service) -> None:
    for seconds in (1, 5, 25):  # the first ones may be over before the stream is opened
        made = await make_key(keyed, "jobs:read")
        await keyed.sql("update api_keys set expires_at = now() + $1 * interval '1 second'", float(seconds))
        async with keyed.client.stream("GET", "/api/v1/events/stream", headers=bearer(made["key"])) as stream:
            async with asyncio.timeout(60):
                lines = [line async for line in stream.aiter_lines()]
        if stream.status_code == 200:
            break
    assert (stream.status_code, "retry: 1000" in lines) == (200, True)


async def test_a_stream_opened_while_its_key_is_revoked_ends_too(keyed: Service) -> None:
    verifier, made = keyed.node.key_verifier, await make_key(keyed, "jobs:read")
    principal = await verifier.verify(made["key"].encode())
    assert principal is not None
    await revoke(keyed, made["keyId"])
    cut: list[bool] = []
    with verifier.holding(principal, lambda: cut.append(True)):
        await verifier.step()
    assert cut


async def test_requests_that_wait_end_with_their_key(start_service: StartService) -> None:
    nodes = [await start_service(api_key=OWN), await start_service(api_key=OWN)]
    made = await make_key(nodes[0], "jobs:read", "jobs:write", "worker")
    client, headers = nodes[1].client, bearer(made["key"])
    later = {"type": "echo", "delaySeconds": 3600}
    job = (await client.post("/api/v1/jobs", json=later, headers=headers)).json()
    waiting = [
        client.get(f"/api/v1/jobs/{job['jobId']}", params={"wait": 60}, headers=headers),
        client.post("/api/v1/leases", json={"types": ["unused"], "waitSeconds": 60}, headers=headers),
        client.post("/api/v1/jobs", json=later, headers=headers | {"Prefer": "wait=60"}),
    ]
    answers = asyncio.gather(*waiting)
    await eventually(lambda: _holding(nodes[1], 3))
    await revoke(nodes[0], made["keyId"])
    async with asyncio.timeout(60):
        read, leased, submitted = await answers
    assert read.json()["error"] == leased.json()["error"]
    assert (read.status_code, read.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert submitted.status_code == 202
    await eventually(lambda: _holding(nodes[1], 0))


async def _holding(service: Service, count: int) -> bool:
    return sum(len(node.key_verifier._holds) for node in service.nodes) == count


async def test_a_wait_ends_when_its_key_expires(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read", "jobs:write")
    headers = bearer(made["key"])
    job = await keyed.client.post("/api/v1/jobs", json={"type": "echo", "delaySeconds": 3600}, headers=headers)
    await keyed.sql("update api_keys set expires_at = now() + interval '400 milliseconds'")
    await keyed.node.key_verifier.step()
    keyed.node.key_verifier._forget()
    async with asyncio.timeout(60):
        answer = await keyed.client.get(job.headers["Location"], params={"wait": 60}, headers=headers)
    assert answer.status_code == 401


async def test_a_slow_step_does_not_set_back_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """With an older version, a key that is looked up while it is revoked would stay in the cache."""
    go_on = asyncio.Event()
    versions = iter((1, 2))

    async def read(_: object) -> tuple[int, bool]:
        if (version := next(versions)) == 1:
            await go_on.wait()
        return version, True

    @asynccontextmanager
    async def background() -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(key_verifier, "read_access_version", read)
    database = cast("Database", SimpleNamespace(background=background))
    verifier = key_verifier.KeyVerifier(database, own_key=None, clock=DatabaseClock())
    slow, later = asyncio.create_task(verifier.step()), asyncio.create_task(verifier.step())
    for _ in range(10):  # nothing else holds them up
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(slow, later)
    assert verifier._version == 2


async def test_streams_of_an_open_service_end_with_the_first_key(service: Service) -> None:
    async with service.client.stream("GET", "/api/v1/events/stream") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "retry: 1000"
        await service.client.post("/api/v1/keys", json={"name": "first", "scopes": ["admin"]})
        async with asyncio.timeout(60):
            assert [line async for line in lines][-1] == ""


async def test_events_of_another_tenant_are_not_in_the_stream(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    theirs = bearer((await make_key(keyed, "jobs:read", "jobs:write", tenant="acme"))["key"])
    async with socket_to(keyed, additional_headers=theirs) as socket:
        await socket.request("subscribe", ref="s", filter={})
        await keyed.client.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(OWN))
        mine = await keyed.client.post("/api/v1/jobs", json={"type": "echo", "delaySeconds": 3600}, headers=theirs)
        assert (await socket.receive())["jobId"] == mine.json()["jobId"]
    await eventually(lambda: _none_followed(keyed))


async def _none_followed(service: Service) -> bool:
    return not any(node.tails._followed for node in service.nodes)


async def test_a_key_that_is_made_while_it_is_looked_for_is_not_remembered_as_unknown(
    keyed: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = keyed.node.key_verifier
    made = await make_key(keyed, "jobs:read")

    async def find_before(*_: Any) -> dict[str, StoredKey]:
        await make_key(keyed, "jobs:read")  # changes the version
        return {}

    monkeypatch.setattr(key_verifier, "find_keys", find_before)
    assert await verifier.verify(made["key"].encode()) is None
    monkeypatch.setattr(key_verifier, "find_keys", find_keys)
    assert await verifier.verify(made["key"].encode()) is not None


async def test_both_caches_are_bounded(keyed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_verifier, "MOST_KNOWN", 3)
    for _ in range(10):
        assert await keyed.node.key_verifier.verify(generate_key().encode()) is None
    keys = [(await make_key(keyed, "jobs:read"))["key"] for _ in range(10)]
    for key in keys:
        assert await keyed.node.key_verifier.verify(key.encode()) is not None
    assert len(keyed.node.key_verifier._unknown) <= 3
    assert len(keyed.node.key_verifier._known) <= 3
    assert (await keyed.client.get("/api/v1/jobs", headers=bearer(OWN))).status_code == 200
