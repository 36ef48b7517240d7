"""The views of the audit log and of keys and tenants, with keys of different scopes."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.dashboard.conftest import ShowDashboard
from tests.support.dashboard import Dashboard
from tests.support.dashboard_checks import MARKUP, confirm, is_usable, press_in_row, shows_as_text
from tests.support.database_pool import TestDatabases
from tests.support.keys import OWN, bearer, make_key
from tests.support.postgres_servers import Server
from tests.support.service import Service, eventually, running_service

KEYS = "/api/v1/keys"


@pytest.fixture(scope="module")
async def keyed(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Service that requires keys, whose client sends the one of the settings."""
    async with databases_of(server).lent() as url, running_service(url, api_key=OWN) as running:
        running.client.headers.update(bearer(OWN))
        yield running


@pytest.fixture
async def admin(keyed: Service, show: ShowDashboard) -> Dashboard:
    """The dashboard, signed in with the key of the settings."""
    return await signed_in(show(keyed), OWN)


async def signed_in(dashboard: Dashboard, key: str) -> Dashboard:
    await dashboard.open("/ui/audit")  # reads nothing that the key may not
    await dashboard.sign_in(key)
    await dashboard.console_errors(besides=["401"])
    return dashboard


async def keys(service: Service) -> dict[str, dict[str, Any]]:
    items = (await service.client.get(KEYS, params={"limit": 200})).json()["items"]
    return {item["name"]: item for item in items}


async def open_newest_change(dashboard: Dashboard) -> None:
    await dashboard.browser.until(
        """const summary = document.querySelector('details.change summary')
        summary?.click()
        return summary !== null"""
    )


async def test_a_key_is_created_shown_once_and_works(keyed: Service, admin: Dashboard) -> None:
    await admin.open("/ui/keys")
    await admin.press("Create a key")
    await admin.fill("jobs:read", "false")
    await admin.press("Create", exact=True)
    await admin.browser.until("return document.querySelectorAll('dialog .error').length === 2")  # name and scopes
    assert await admin.axe() == []
    assert len(await admin.console_errors()) == 1  # the 422
    await admin.fill("Name", "of a test")
    await admin.fill("jobs:read", "true")
    await admin.fill("worker:", "true")
    await admin.fill("Job types of a worker", "echo, plain")
    await admin.fill("Expires", "2100-01-01T00:00")
    await admin.press("Create", exact=True)
    await admin.shows("It is shown only this once.")
    key = await admin.run("return document.querySelector('dialog input').value")
    await admin.screenshot("new-key")
    await confirm(admin, "I have stored it")
    await admin.shows("of a test", "types echo, plain", "jobs:read, worker")
    answer = await keyed.client.get("/api/v1/jobs", headers=bearer(key))
    assert answer.status_code == 200
    made = (await keys(keyed))["of a test"]
    assert (made["types"], made["expiresAt"]) == (["echo", "plain"], "2100-01-01T00:00:00.000Z")
    kept = await admin.run("return document.documentElement.outerHTML + JSON.stringify([localStorage, sessionStorage])")
    assert key not in kept
    await is_usable(admin, "keys")


async def test_a_key_is_rotated_with_an_overlap_and_revoked(keyed: Service, admin: Dashboard) -> None:
    old = await make_key(keyed, "jobs:read", name="turning")
    await admin.open("/ui/keys")
    await press_in_row(admin, "turning", "Rotate")
    await admin.fill("Hours until the old key ends", "1")
    await admin.press("Rotate", exact=True)
    await admin.shows("It is shown only this once.")
    new = await admin.run("return document.querySelector('dialog input').value")
    await confirm(admin, "I have stored it")
    await admin.shows("rotated")
    for key in (old["key"], new):
        assert (await keyed.client.get("/api/v1/jobs", headers=bearer(key))).status_code == 200
    await press_in_row(admin, "turning", "Revoke")
    await admin.shows("within 5 seconds")
    await confirm(admin, "Revoke")
    await admin.shows("Key “turning” revoked.")

    async def refused() -> bool:
        answers = [await keyed.client.get("/api/v1/jobs", headers=bearer(key)) for key in (old["key"], new)]
        return sorted(answer.status_code for answer in answers) == [200, 401]

    await eventually(refused)


async def test_an_operator_creates_a_tenant_and_sets_its_limits(keyed: Service, admin: Dashboard) -> None:
    await admin.open("/ui/keys")
    await admin.press("Create a tenant")
    await admin.fill("Name of the tenant", "acme")
    await admin.fill("Keys", "3")
    await admin.press("Create", exact=True)
    await admin.shows("Tenant “acme” created.")
    await press_in_row(admin, "acme", "Limits")
    await admin.fill("Waiting jobs per queue", "500")
    await confirm(admin, "Save")
    tenant = (await keyed.client.get("/api/v1/tenants/acme")).json()
    assert (tenant["maxKeys"], tenant["backlogLimit"], tenant["maxQueues"]) == (3, 500, None)


async def test_the_audit_log_shows_what_differs_and_filters(keyed: Service, admin: Dashboard) -> None:
    for limits in ({"concurrency": 2}, {"concurrency": 3}):
        await keyed.client.put("/api/v1/queues/audited/limits", json=limits, headers={"X-Request-Id": "audited-1"})
    await keyed.client.post("/api/v1/queues/audited/pause")
    await admin.open("/ui/audit")
    await admin.shows("limits.queue.changed", "queue.paused", "DULY_API_KEY")
    await admin.fill("Action", "limits.queue.changed")
    await admin.press("Filter")
    await admin.shows_no("queue.paused")
    assert "action=limits.queue.changed" in await admin.run("return location.search")
    await open_newest_change(admin)
    await admin.shows("Before", "After", "audited-1")
    rows = await admin.run(
        """const rows = [...document.querySelectorAll('details[open] tbody tr')]
        return rows.map(row => [...row.cells].map(cell => cell.innerText))"""
    )
    assert rows == [["concurrency", "2", "3"]]
    await is_usable(admin, "audit")
    await admin.fill("Since", "2100-01-01T00:00")
    await admin.press("Filter")
    await admin.shows("No such change.")
    await admin.press("Clear")
    await admin.shows("queue.paused")


async def test_markup_in_names_and_in_audited_values_stays_text(keyed: Service, admin: Dashboard) -> None:
    made = await make_key(keyed, "jobs:read", name=MARKUP)
    await admin.open("/ui/keys")
    await shows_as_text(admin, MARKUP)
    await press_in_row(admin, MARKUP, "Revoke")
    await shows_as_text(admin, f"Revoke the key “{MARKUP}”?")
    await admin.press("Keep as it is")
    await admin.open("/ui/audit?action=key.created")
    await open_newest_change(admin)
    await shows_as_text(admin, MARKUP[:20], made["keyId"])


READ_ONLY = [
    ("/ui/queues", "All queues", None),
    ("/ui/types", "All job types", None),
    ("/ui/schedules", "schedules", "schedules"),
    ("/ui/schedules/any", "any", "schedules"),
    ("/ui/endpoints", "endpoints", "webhooks"),
    ("/ui/endpoints/0199c1f0-0000-7000-8000-000000000000", "Endpoint", "webhooks"),
    ("/ui/deliveries/0199c1f0-0000-7000-8000-000000000000", "Delivery", "webhooks"),
    ("/ui/audit", "Audit", "admin"),
    ("/ui/keys", "Keys", "admin"),
]


async def test_a_key_that_only_reads_jobs_is_told_which_scope_is_missing(keyed: Service, show: ShowDashboard) -> None:
    key = (await make_key(keyed, "jobs:read"))["key"]
    dashboard = await signed_in(show(keyed), key)
    for path, text, scope in READ_ONLY:
        await dashboard.open(path)
        await dashboard.shows(text, *([f"needs a key with the scope {scope}"] if scope else []))
        assert await dashboard.console_errors() == [], path  # no forbidden request was sent
    await dashboard.open("/ui/queues")
    assert not await dashboard.enabled("Pause")
    assert not await dashboard.enabled("Limits")
    title = await dashboard.run(
        "return [...document.querySelectorAll('button')].find(b => b.innerText === 'Pause').title"
    )
    assert title == "This needs a key with the scope admin."


async def test_a_key_without_payloads_changes_a_schedule_and_keeps_its_parameters(
    keyed: Service, show: ShowDashboard
) -> None:
    submission = {"type": "echo", "parameters": {"n": 1}}
    body = {"name": "hidden", "cron": "0 3 * * *", "submission": submission}
    assert (await keyed.client.post("/api/v1/schedules", json=body)).status_code == 201
    key = (await make_key(keyed, "schedules"))["key"]
    dashboard = await signed_in(show(keyed), key)
    await dashboard.open("/ui/schedules/hidden")
    await dashboard.press("Change")
    await dashboard.shows("A change of the job needs a key with the scope jobs:payload.")
    assert await dashboard.count("field", "Parameters") == 0
    await dashboard.fill("Cron expression", "0 4 * * *")
    await dashboard.press("Save")
    await dashboard.shows("Schedule “hidden” changed.")
    changed = (await keyed.client.get("/api/v1/schedules/hidden")).json()
    assert (changed["cron"], changed["submission"]) == ("0 4 * * *", submission)
    for path in ("/ui/queues", "/ui/types"):
        await dashboard.open(path)
        await dashboard.shows("needs a key with the scope jobs:read")
    assert await dashboard.console_errors() == []


async def test_the_first_key_keeps_the_session_and_is_shown_until_it_is_stored(
    start_service: Callable[..., Awaitable[Service]], show: ShowDashboard
) -> None:
    service = await start_service()
    dashboard = show(service)
    await dashboard.open("/ui/keys")
    await dashboard.shows("There is no key.")
    await dashboard.press("Create a key")
    await dashboard.shows("This is the first key")
    await dashboard.fill("Name", "first")
    await dashboard.press("Create", exact=True)
    await dashboard.shows("It is shown only this once.")
    await dashboard.browser.press("ESCAPE")
    await dashboard.browser.press("ESCAPE")
    key = await dashboard.run("return document.querySelector('dialog[open] input').value")
    assert (await service.client.get("/api/v1/jobs")).status_code == 401
    assert (await service.client.get("/api/v1/jobs", headers=bearer(key))).status_code == 200
    await dashboard.shows("needs a key with the scope admin")  # it was made without
    await confirm(dashboard, "I have stored it")
    await dashboard.open("/ui/queues")
    await dashboard.shows("All queues", "default")
    await dashboard.console_errors(besides=["401"])


async def test_a_revoked_key_of_the_session_ends_it(keyed: Service, show: ShowDashboard) -> None:
    key = await make_key(keyed, "admin", "jobs:read", name="own")
    dashboard = await signed_in(show(keyed), key["key"])
    await dashboard.open("/ui/keys")
    await dashboard.shows("this key")
    await press_in_row(dashboard, "own", "Revoke")
    await dashboard.shows("It is the key of this session, which ends too.")
    await dashboard.press("Revoke", exact=True)
    await dashboard.shows("API key", "Sign in")
    assert all("401" in line for line in await dashboard.console_errors())
