"""Tenants: created and changed by operators, who act for them; their limits."""

from collections.abc import Awaitable, Callable

import pytest

from duly.lifecycle.claim.set_flow_control import MOST_RESTRICTIONS
from tests.support.keys import ALL, OWN, audit_log, bearer, make_key, make_tenant
from tests.support.response_checks import refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
LIMITS = (
    *("submitRate", "submitBurst", "backlogLimit", "retentionDays"),
    *("maxEndpoints", "maxSchedules", "maxKeys", "maxQueues"),
)
SCHEDULE = {"cron": "0 3 * * *", "submission": {"type": "echo"}}


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    """Returns a service that requires keys, and runs no jobs."""
    return await start_service(api_key=OWN, roles=("api",))


async def test_a_tenant_is_created_read_listed_and_changed(keyed: Service) -> None:
    headers = bearer(OWN)
    made = await make_tenant(keyed, "acme", submitRate=0.5, maxKeys=3)
    assert made == {**dict.fromkeys(LIMITS), **made, "tenant": "acme", "submitRate": 0.5, "maxKeys": 3}
    refused(await keyed.client.post("/api/v1/tenants", json={"tenant": "acme"}, headers=headers), 409, "TENANT_EXISTS")
    assert (await keyed.client.get("/api/v1/tenants/acme", headers=headers)).json() == made
    changed = await keyed.client.patch(
        "/api/v1/tenants/acme", json={"submitRate": None, "backlogLimit": 7}, headers=headers
    )
    assert changed.json() == made | {"submitRate": None, "backlogLimit": 7}
    listed = await keyed.client.get("/api/v1/tenants", headers=headers)
    assert [item["tenant"] for item in listed.json()["items"]] == ["acme", "default"]
    for name in ("unknown", "UPPER", "a" * 64):
        refused(await keyed.client.get(f"/api/v1/tenants/{name}", headers=headers), 404, "NOT_FOUND")
    for name in ("", "Acme", "a b", "a" * 64, "acme\n"):
        refused(
            await keyed.client.post("/api/v1/tenants", json={"tenant": name}, headers=headers), 422, "VALIDATION_FAILED"
        )
    assert [entry["action"] for entry in await audit_log(keyed)] == ["tenant.created", "tenant.changed"]


async def test_a_tenant_sees_its_own_jobs_only(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    key = (await make_key(keyed, "jobs:read", "jobs:write", tenant="acme"))["key"]
    theirs = (await keyed.client.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(key))).json()["jobId"]
    mine = (await keyed.client.post("/api/v1/jobs", json={"type": "echo"}, headers=bearer(OWN))).json()["jobId"]
    for key_used, seen, hidden in ((key, theirs, mine), (OWN, mine, theirs)):
        headers = bearer(key_used)
        assert (await keyed.client.get(f"/api/v1/jobs/{seen}", headers=headers)).status_code == 200
        refused(await keyed.client.get(f"/api/v1/jobs/{hidden}", headers=headers), 404, "NOT_FOUND")
        listed = (await keyed.client.get("/api/v1/jobs", headers=headers)).json()["items"]
        assert [item["jobId"] for item in listed] == [seen]
    acting = bearer(OWN) | {"X-Duly-Tenant": "acme"}
    assert (await keyed.client.get(f"/api/v1/jobs/{theirs}", headers=acting)).status_code == 200


async def test_only_an_operator_acts_for_another_tenant(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    admin = (await make_key(keyed, *(scope for scope in ALL if scope != "operator")))["key"]
    answers = [
        await keyed.client.get("/api/v1/jobs", headers=bearer(admin) | {"X-Duly-Tenant": name})
        for name in ("acme", "nobody")
    ]
    assert len({answer.text for answer in answers}) == 1  # it does not tell which tenants exist
    for answer in answers:
        refused(answer, 403, "SCOPE_MISSING")
    own = await keyed.client.get("/api/v1/jobs", headers=bearer(admin) | {"X-Duly-Tenant": "default"})
    assert own.status_code == 200
    for name in ("nobody", "\xe9", ""):
        headers = [(b"authorization", f"Bearer {OWN}".encode()), (b"x-duly-tenant", name.encode("latin-1"))]
        refused(await keyed.client.get("/api/v1/jobs", headers=headers), 404, "NOT_FOUND")


async def test_the_rate_of_a_tenant_is_its_own(keyed: Service) -> None:
    await make_tenant(keyed, "acme", submitRate=0.001, submitBurst=2)
    key = (await make_key(keyed, "jobs:write", "admin", tenant="acme"))["key"]
    job = {"type": "echo"}
    statuses = [(await keyed.client.post("/api/v1/jobs", json=job, headers=bearer(key))).status_code for _ in range(4)]
    assert statuses == [202, 202, 429, 429]
    for _ in range(4):
        assert (await keyed.client.post("/api/v1/jobs", json=job, headers=bearer(OWN))).status_code == 202


async def test_a_tenant_cannot_widen_the_limits_that_the_operator_has_set(keyed: Service) -> None:
    await make_tenant(keyed, "acme", submitRate=10, backlogLimit=5)
    key = (await make_key(keyed, "jobs:read", "admin", tenant="acme"))["key"]
    wide = {"rate": {"count": 1000, "seconds": 1}, "backlog": 100, "backlogs": {"bulk": 100, "few": 2}}
    answer = await keyed.client.put("/api/v1/limits", json=wide, headers=bearer(key))
    in_force = {"rate": {"count": 100, "seconds": 10.0}, "backlog": 5, "backlogs": {"bulk": 5, "few": 2}}
    assert answer.json() == in_force
    assert (await keyed.client.get("/api/v1/limits", headers=bearer(key))).json() == in_force
    assert (await keyed.client.get("/api/v1/limits", headers=bearer(OWN))).json()["rate"] is None
    [entry] = await audit_log(keyed, tenant="acme", action="limits.submission.changed")
    assert entry["after"] == wide


async def test_the_numbers_of_webhooks_and_schedules_are_limited(keyed: Service) -> None:
    await make_tenant(keyed, "acme", maxEndpoints=1, maxSchedules=1)
    key = (await make_key(keyed, "webhooks", "schedules", tenant="acme"))["key"]
    for path, body, code in (
        ("/api/v1/webhooks", {"url": "https://client.example.com/hook"}, "ENDPOINT_LIMIT_REACHED"),
        ("/api/v1/schedules", SCHEDULE, "SCHEDULE_LIMIT_REACHED"),
    ):
        for name, status in (("one", 201), ("two", 409)):
            sent = body | ({"name": name} if "cron" in body else {"events": ["*"]})
            answer = await keyed.client.post(path, json=sent, headers=bearer(key))
            assert answer.status_code == status, answer.text
        refused(answer, 409, code)


async def test_the_number_of_restrictions_is_limited(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    headers = bearer((await make_key(keyed, "jobs:read", "admin", tenant="acme"))["key"])
    await keyed.sql_in_one(
        "insert into queues (tenant_id, queue, paused_at) select tenant_id, 'queue-' || n, now()"
        " from generate_series(1, $1) n, tenants where name = 'acme'",
        MOST_RESTRICTIONS - 1,
    )
    last = await keyed.client.post("/api/v1/queues/last/pause", headers=headers)
    assert last.status_code == 200, last.text
    changes = await keyed.sql("select count(*) from audit")
    for method, path in (
        ("POST", "queues/more/pause"),
        ("PUT", "queues/more/limits"),
        ("PUT", "job-types/echo/limits"),
    ):
        body = {"concurrency": 3} if method == "PUT" else None
        answer = await keyed.client.request(method, f"/api/v1/{path}", json=body, headers=headers)
        refused(answer, 409, "RESTRICTION_LIMIT_REACHED")
    assert await keyed.sql("select count(*) from audit") == changes
    assert (await keyed.client.post("/api/v1/queues/more/pause", headers=bearer(OWN))).status_code == 200
    assert (await keyed.client.post("/api/v1/queues/last/resume", headers=headers)).status_code == 200
    assert (await keyed.client.post("/api/v1/queues/more/pause", headers=headers)).status_code == 200


async def test_the_longest_retention_of_any_tenant_applies(keyed: Service) -> None:
    from duly.store.ledger.retention import LONGEST  # noqa: PLC0415

    assert await keyed.sql_in_one(LONGEST, 30) == [(30,)]
    await make_tenant(keyed, "acme", retentionDays=90)
    await make_tenant(keyed, "brief", retentionDays=1)
    assert await keyed.sql_in_one(LONGEST, 30) == [(90,)]


async def test_an_idle_service_reads_the_limits_of_the_tenants_that_submit_only(keyed: Service) -> None:
    await keyed.sql("insert into tenants (name) select 'tenant-' || n from generate_series(1, 10000) n")
    await keyed.node.submission_limiters.step()
    assert list(keyed.node.submission_limiters._known) == [1]


async def test_public_keys_of_any_tenant_are_read_without_a_key(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    key = (await make_key(keyed, "webhooks", tenant="acme"))["key"]
    hook = {"url": "https://client.example.com/hook", "events": ["*"], "signatures": ["v1", "v1a"]}
    made = await keyed.client.post("/api/v1/webhooks", json=hook, headers=bearer(key))
    assert made.status_code == 201, made.text
    path = f"/api/v1/webhooks/{made.json()['webhookId']}"
    assert (await keyed.client.get(f"{path}/jwks.json")).json()["keys"]
    refused(await keyed.client.get(path, headers=bearer(OWN)), 404, "NOT_FOUND")
