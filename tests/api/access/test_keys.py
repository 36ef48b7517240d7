"""API keys over HTTP: created, listed, revoked and rotated; what a request with each gets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.domain.api_key import generate_key
from tests.support.keys import OWN, audit_log, bearer, make_key, make_tenant
from tests.support.response_checks import refused
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    """Returns a service that requires keys."""
    return await start_service(api_key=OWN)


async def jobs_with(service: Service, key: str) -> int:
    return (await service.client.get("/api/v1/jobs", headers=bearer(key))).status_code


async def test_a_created_key_opens_the_service_and_is_shown_once(
    keyed: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await make_key(keyed, "jobs:read")
    key = made["key"]
    assert await jobs_with(keyed, key) == 200

    listed = await keyed.client.get("/api/v1/keys", headers=bearer(OWN))
    [item] = listed.json()["items"]
    assert item == {**{name: value for name, value in made.items() if name != "key"}, "lastUsedAt": item["lastUsedAt"]}
    assert item["createdBy"] == "DULY_API_KEY"
    secret = key[22:]
    stored = str(await keyed.sql("select * from api_keys")) + str(await keyed.sql("select after::text from audit"))
    assert secret not in stored + keyed.written(capfd)


async def test_wrong_unknown_expired_and_revoked_keys_get_the_same_answer(keyed: Service) -> None:
    revoked, expired = await make_key(keyed, "jobs:read"), await make_key(keyed, "jobs:read")
    await keyed.sql("update api_keys set expires_at = now() - interval '1 second' where key_id = $1", expired["keyId"])
    answer = await keyed.client.delete(f"/api/v1/keys/{revoked['keyId']}", headers=bearer(OWN))
    assert answer.status_code == 204

    bodies = set()
    for key in (generate_key(), revoked["key"], expired["key"], f"{generate_key()[:-1]}!", "nonsense"):
        answer = await keyed.client.get("/api/v1/jobs", headers=bearer(key))
        refused(answer, 401, "UNAUTHORIZED")
        bodies.add(answer.text)
    assert len(bodies) == 1


async def test_a_wrong_checksum_costs_no_query(keyed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[object] = []

    async def count(*arguments: object) -> dict[str, object]:
        looked_up.append(arguments)
        return {}

    monkeypatch.setattr("duly.lifecycle.access.key_verifier.find_keys", count)
    invented = generate_key()
    assert await jobs_with(keyed, f"{invented[:-1]}{'a' if invented[-1] != 'a' else 'b'}") == 401
    assert not looked_up
    assert [await jobs_with(keyed, invented) for _ in range(3)] == [401, 401, 401]
    assert len(looked_up) == 1


async def test_an_expiry_is_checked_on_each_use(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read", expiresAt="2100-01-01T00:00:00.000Z")
    assert await jobs_with(keyed, made["key"]) == 200
    for seconds in (0.3, 3, 30):  # the shorter times may be over before the first use on a slow machine
        await keyed.sql("update api_keys set expires_at = now() + $1 * interval '1 second'", seconds)
        await keyed.sql("update control set version = version + 1 where id = 2")
        await keyed.node.key_verifier.step()
        if used := await jobs_with(keyed, made["key"]) == 200:
            break
    assert used
    await eventually(lambda: _is(jobs_with(keyed, made["key"]), 401))

    refused(
        await keyed.client.post(
            "/api/v1/keys",
            json={"name": "past", "scopes": ["admin"], "expiresAt": "2000-01-01T00:00:00Z"},
            headers=bearer(OWN),
        ),
        422,
        "VALIDATION_FAILED",
    )


async def _is(status: Awaitable[int], wanted: int) -> bool:
    return await status == wanted


async def test_a_revocation_on_another_node_applies_within_seconds(start_service: StartService) -> None:
    nodes = [await start_service(api_key=OWN), await start_service(api_key=OWN)]
    made = await make_key(nodes[0], "jobs:read")
    assert [await jobs_with(node, made["key"]) for node in nodes] == [200, 200]
    await nodes[0].client.delete(f"/api/v1/keys/{made['keyId']}", headers=bearer(OWN))
    assert await jobs_with(nodes[0], made["key"]) == 401
    async with asyncio.timeout(60):
        await eventually(lambda: _is(jobs_with(nodes[1], made["key"]), 401))


async def test_a_rotated_key_stays_valid_for_the_overlap(keyed: Service) -> None:
    old = await make_key(keyed, "jobs:read", "jobs:write", rate={"count": 100, "seconds": 1})
    path = f"/api/v1/keys/{old['keyId']}/rotate"
    answer = await keyed.client.post(path, headers=bearer(OWN))
    assert answer.status_code == 201
    new = answer.json()
    assert (new["scopes"], new["name"], new["rate"]) == (old["scopes"], old["name"], old["rate"])
    assert [await jobs_with(keyed, key["key"]) for key in (old, new)] == [200, 200]
    refused(await keyed.client.post(path, headers=bearer(OWN)), 409, "KEY_NOT_ROTATABLE")

    at_once = await keyed.client.post(
        f"/api/v1/keys/{new['keyId']}/rotate", json={"overlapSeconds": 0}, headers=bearer(OWN)
    )
    assert at_once.status_code == 201
    assert [await jobs_with(keyed, key["key"]) for key in (new, at_once.json())] == [401, 200]
    listed = (await keyed.client.get("/api/v1/keys", headers=bearer(OWN))).json()["items"]
    assert {item["keyId"]: item["validUntil"] is None for item in listed} == {
        old["keyId"]: False,
        new["keyId"]: False,
        at_once.json()["keyId"]: True,
    }


async def test_the_last_use_is_recorded_to_the_minute(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read")
    await keyed.node.key_verifier.step()
    assert (await keyed.sql("select last_used_at from api_keys"))[0][0] is None
    await jobs_with(keyed, made["key"])
    await keyed.node.key_verifier.step()
    [[used]] = await keyed.sql("select last_used_at from api_keys")
    assert (used.second, used.microsecond) == (0, 0)
    [[fresh]] = await keyed.sql("select last_used_at >= now() - interval '2 minutes' from api_keys")
    assert fresh


async def test_only_an_operator_makes_rotates_or_revokes_the_key_of_an_operator(keyed: Service) -> None:
    admin, operator = await make_key(keyed, "admin"), await make_key(keyed, "operator")
    headers = bearer(admin["key"])
    made = await keyed.client.post("/api/v1/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers=headers)
    assert made.status_code == 201
    for method, path, body in (
        ("POST", "/api/v1/keys", {"name": "x", "scopes": ["operator"]}),
        ("POST", f"/api/v1/keys/{operator['keyId']}/rotate", {}),
        ("DELETE", f"/api/v1/keys/{operator['keyId']}", None),
    ):
        content = json.dumps(body).encode() if body is not None else None
        sent = headers | {"Content-Type": "application/json"}
        error = refused(await keyed.client.request(method, path, content=content, headers=sent), 403, "SCOPE_MISSING")
        assert error["details"]["scope"] == "operator"


async def test_a_key_of_another_tenant_is_an_unknown_one(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    theirs, admin = await make_key(keyed, "admin", tenant="acme"), await make_key(keyed, "admin")
    headers = bearer(admin["key"])
    answers = []
    for key_id in (theirs["keyId"], "0" * 16, "no-id"):
        answers.append((await keyed.client.delete(f"/api/v1/keys/{key_id}", headers=headers)).text)
        answers.append((await keyed.client.post(f"/api/v1/keys/{key_id}/rotate", headers=headers)).text)
    assert len(set(answers)) == 1
    assert "NOT_FOUND" in answers[0]
    assert await jobs_with(keyed, theirs["key"]) == 403  # alive; it only lacks the scope


async def test_a_tenant_has_no_more_keys_than_it_may(keyed: Service) -> None:
    await make_tenant(keyed, "acme", maxKeys=2)
    first = await make_key(keyed, "admin", tenant="acme")
    await make_key(keyed, "admin", tenant="acme")
    body, headers = {"name": "x", "scopes": ["jobs:read"]}, bearer(first["key"])
    refused(await keyed.client.post("/api/v1/keys", json=body, headers=headers), 409, "KEY_LIMIT_REACHED")
    await keyed.client.delete(f"/api/v1/keys/{first['keyId']}", headers=bearer(OWN) | {"X-Duly-Tenant": "acme"})
    await make_key(keyed, "admin", tenant="acme")


async def test_a_key_with_a_rate_is_refused_beyond_it(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read", rate={"count": 3, "seconds": 3000})
    answers = [await keyed.client.get("/api/v1/jobs", headers=bearer(made["key"])) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    refused(answers[3], 429, "RATE_LIMITED")
    assert answers[3].headers["ratelimit-policy"] == '"key";q=3;w=3000'
    assert await jobs_with(keyed, OWN) == 200


async def test_lists_of_keys_are_paged(keyed: Service) -> None:
    made = [(await make_key(keyed, "jobs:read", name=f"key {n}"))["keyId"] for n in range(5)]
    found: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = await keyed.client.get("/api/v1/keys", params={"limit": 2, **cursor}, headers=bearer(OWN))
        page = answer.json()
        found += [item["keyId"] for item in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert found == made[::-1]


async def test_changes_of_keys_are_audited(keyed: Service) -> None:
    made = await make_key(keyed, "admin")
    rotated = await keyed.client.post(f"/api/v1/keys/{made['keyId']}/rotate", headers=bearer(made["key"]))
    await keyed.client.delete(f"/api/v1/keys/{made['keyId']}", headers=bearer(OWN) | {"X-Request-Id": "req-1"})
    entries = await audit_log(keyed)
    assert [(entry["action"], entry["actor"], entry["subject"]) for entry in entries] == [
        ("key.created", "DULY_API_KEY", made["keyId"]),
        ("key.rotated", made["keyId"], made["keyId"]),
        ("key.revoked", "DULY_API_KEY", made["keyId"]),
    ]
    assert entries[1]["after"]["keyId"] == rotated.json()["keyId"]
    assert entries[2]["requestId"] == "req-1"
    assert made["key"][22:] not in str(entries)


async def test_the_first_key_closes_a_service_that_was_open(service: Service) -> None:
    assert (await service.client.get("/api/v1/jobs")).status_code == 200
    answer = await service.client.post("/api/v1/keys", json={"name": "first", "scopes": ["jobs:read", "admin"]})
    key = answer.json()["key"]
    refused(await service.client.get("/api/v1/jobs"), 401, "UNAUTHORIZED")
    assert await jobs_with(service, key) == 200
    await service.client.delete(f"/api/v1/keys/{answer.json()['keyId']}", headers=bearer(key))
    refused(await service.client.get("/api/v1/jobs"), 401, "UNAUTHORIZED")


async def test_a_cached_key_works_while_the_database_is_away(keyed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await make_key(keyed, "jobs:read")
    assert await jobs_with(keyed, made["key"]) == 200
    monkeypatch.setattr("duly.lifecycle.access.key_verifier.find_keys", None)
    assert await jobs_with(keyed, made["key"]) == 200
