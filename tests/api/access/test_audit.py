"""The audit log: one entry for each change, in its transaction."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.keys import OWN, audit_log, bearer, make_key, make_tenant
from tests.support.response_checks import refused
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]


# Recorded states of the last entry of each action: before, after.
STATES = {
    "queue.paused": (True, True),
    "queue.resumed": (True, True),
    "limits.queue.changed": (True, False),
    "limits.type.changed": (False, True),
    "limits.submission.changed": (True, False),
    "schedule.created": (False, True),
    "schedule.changed": (True, True),
    "schedule.deleted": (True, False),
    "job-type.declared": (True, True),
    "job-type.deleted": (True, False),
    "jobs.retried": (False, True),
    "jobs.cancelled": (False, True),
    "webhook.created": (False, True),
    "webhook.changed": (True, True),
    "webhook.rotated": (True, True),
    "webhook.deleted": (True, False),
}


def _states(entry: dict[str, Any]) -> tuple[bool, bool]:
    return entry["before"] is not None, entry["after"] is not None


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    """Returns a service that requires keys, whose client sends the one of the settings."""
    service = await start_service(api_key=OWN, roles=("api",))
    service.client.headers.update(bearer(OWN))
    return service


async def test_every_kind_of_change_is_recorded_with_its_author(keyed: Service) -> None:
    hook = {"url": "https://client.example.com/hook", "events": ["*"]}
    schedule = {"name": "nightly", "cron": "0 3 * * *", "submission": {"type": "echo", "parameters": {"a": "secret"}}}
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/queues/bulk/pause", None),
        ("POST", "/api/v1/queues/bulk/pause", None),  # changes nothing
        ("POST", "/api/v1/queues/bulk/resume", None),
        ("PUT", "/api/v1/queues/bulk/limits", {"concurrency": 2}),
        ("DELETE", "/api/v1/queues/bulk/limits", None),
        ("PUT", "/api/v1/job-types/echo/limits", {"rate": {"count": 1, "seconds": 2}}),
        ("PUT", "/api/v1/limits", {"backlog": 5}),
        ("DELETE", "/api/v1/limits", None),
        ("POST", "/api/v1/schedules", schedule),
        ("PATCH", "/api/v1/schedules/nightly", {"paused": True}),
        ("PUT", "/api/v1/schedules/nightly", {"cron": "0 4 * * *", "submission": {"type": "echo"}}),
        ("DELETE", "/api/v1/schedules/nightly", None),
        ("PUT", "/api/v1/job-types/declared", {"description": "one"}),
        ("PUT", "/api/v1/job-types/declared", {"description": "two"}),
        ("DELETE", "/api/v1/job-types/declared", None),
        ("POST", "/api/v1/jobs/retry?type=echo", None),
        ("POST", "/api/v1/jobs/cancel?type=echo", None),
    ]
    for method, path, body in calls:
        answer = await keyed.client.request(method, path, json=body)
        assert answer.status_code < 300, (path, answer.text)
    webhook = (await keyed.client.post("/api/v1/webhooks", json=hook)).json()["webhookId"]
    await keyed.client.patch(f"/api/v1/webhooks/{webhook}", json={"description": "x"})
    await keyed.client.post(f"/api/v1/webhooks/{webhook}/rotate-secret")
    await keyed.client.delete(f"/api/v1/webhooks/{webhook}")

    entries = await audit_log(keyed)
    assert [entry["action"] for entry in entries] == [
        *("queue.paused", "queue.resumed", "limits.queue.changed", "limits.queue.changed", "limits.type.changed"),
        *("limits.submission.changed", "limits.submission.changed"),
        *("schedule.created", "schedule.changed", "schedule.changed", "schedule.deleted"),
        *("job-type.declared", "job-type.declared", "job-type.deleted", "jobs.retried", "jobs.cancelled"),
        *("webhook.created", "webhook.changed", "webhook.rotated", "webhook.deleted"),
    ]
    assert {entry["actor"] for entry in entries} == {"DULY_API_KEY"}
    assert all(entry["requestId"] for entry in entries)
    assert {entry["action"]: _states(entry) for entry in entries} == STATES
    assert entries[8]["before"]["paused"] is False
    assert entries[8]["after"]["paused"] is True
    assert (entries[9]["before"]["cron"], entries[9]["after"]["cron"]) == ("0 3 * * *", "0 4 * * *")
    assert entries[14]["after"] == {"filter": {"type": ["echo"]}}
    assert "secret" not in str(entries)


async def test_the_log_is_filtered_and_paged(keyed: Service) -> None:
    for n in range(5):
        await keyed.client.post(f"/api/v1/queues/q{n}/pause")
    await make_key(keyed, "admin")
    assert [entry["subject"] for entry in await audit_log(keyed, action="queue.paused", limit=2)] == ["q3", "q4"]
    assert await audit_log(keyed, actor="nobody") == []
    assert await audit_log(keyed, since="2100-01-01T00:00:00Z") == []
    found: list[str] = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = (await keyed.client.get("/api/v1/audit", params={"limit": "4", **cursor})).json()
        found += [entry["subject"] for entry in page["items"]]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] is not None else None
    assert found[1:] == ["q4", "q3", "q2", "q1", "q0"]
    refused(await keyed.client.get("/api/v1/audit", params={"cursor": "tampered"}), 422, "VALIDATION_FAILED")
    refused(await keyed.client.get("/api/v1/audit", params={"actor": "a\x00"}), 422, "VALIDATION_FAILED")


async def test_a_tenant_sees_its_own_log_only(keyed: Service) -> None:
    await make_tenant(keyed, "acme")
    key = (await make_key(keyed, "admin", tenant="acme"))["key"]
    await keyed.client.post("/api/v1/queues/bulk/pause")
    answer = await keyed.client.get("/api/v1/audit", headers=bearer(key))
    assert [entry["action"] for entry in answer.json()["items"]] == ["key.created"]


async def test_a_change_that_fails_is_not_recorded(keyed: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("duly.lifecycle.access.keys.raise_access_version", fail)
    answer = await keyed.client.post("/api/v1/keys", json={"name": "x", "scopes": ["admin"]})
    assert answer.status_code == 500
    assert await keyed.sql("select from api_keys") == []
    assert await audit_log(keyed) == []
