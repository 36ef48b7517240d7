"""The views of queues and of job types: figures, pauses, limits, breakers, schemas and run times."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support import flow_control_handlers
from tests.support import handlers as test_handlers
from tests.support.dashboard import Dashboard
from tests.support.dashboard_checks import MARKUP, confirm, is_usable, press_in_row, shows_as_text
from tests.support.database_pool import TestDatabases
from tests.support.parked_jobs import parked_job
from tests.support.postgres_servers import Server
from tests.support.service import Service, eventually, running_service

HANDLERS = ("tests.support.handlers", "tests.support.flow_control_handlers")
LATER = "2100-01-01T00:00:00.000Z"
TYPES = "/api/v1/job-types"


@pytest.fixture(scope="module")
async def contract(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Running service whose handlers include some with a circuit breaker."""
    test_handlers.forget()
    flow_control_handlers.forget_counts()
    async with databases_of(server).lent() as url, running_service(url, handlers=HANDLERS) as running:
        yield running


async def queue(service: Service, name: str) -> dict[str, Any]:
    body: dict[str, Any] = (await service.client.get(f"/api/v1/queues/{name}")).json()
    return body


async def cells_of(dashboard: Dashboard, row: str) -> dict[str, str]:
    """Returns the cells of the row that begins with this text, by their titles."""
    found: dict[str, str] = await dashboard.browser.until(
        """const row = [...document.querySelectorAll('tbody tr')].find(one => one.innerText.startsWith(arguments[0]))
        return row && Object.fromEntries([...row.cells].map(cell => [cell.dataset.title, cell.innerText.trim()]))""",
        row,
    )
    return found


async def test_a_queue_shows_its_jobs_by_what_they_wait_for(contract: Service, dashboard: Dashboard) -> None:
    parent = (await contract.submit("echo", queue="shown", runAt=LATER))["jobId"]
    await contract.submit("echo", queue="shown", dependsOn=[parent])
    parked = await parked_job(contract, "go", queue="shown")
    test_handlers.gate("shown")
    running = await contract.submit("wait-for-gate", {"name": "shown"}, queue="shown")
    await test_handlers.has_entered("shown").wait()
    await dashboard.open("/ui/queues")
    cells = await cells_of(dashboard, "shown")
    expected = {"Running": "1", "Scheduled": "1", "Parked": "1", "Held": "0", "Blocked": "1", "Waiting": "0"}
    assert {name: cells[name] for name in expected} == expected
    await contract.client.post(f"/api/v1/jobs/{parked}/cancel")
    test_handlers.gate("shown").set()
    await contract.ended(running["jobId"])

    async def has_ended() -> bool:  # without loading the page again
        return (await cells_of(dashboard, "shown"))["Running"] == "0"

    await eventually(has_ended)
    await is_usable(dashboard, "queues")


async def test_a_queue_is_paused_after_a_question_and_resumed(contract: Service, dashboard: Dashboard) -> None:
    await contract.submit("echo", queue="a/pausing", runAt=LATER)
    await dashboard.open("/ui/queues")
    await dashboard.shows("a/pausing")
    await press_in_row(dashboard, "a/pausing", "Pause")
    await dashboard.shows("Pause the queue “a/pausing”?", "Running jobs continue")
    assert await dashboard.axe() == []
    await confirm(dashboard, "Keep as it is")
    assert (await queue(contract, "a%2Fpausing"))["paused"] is False
    await press_in_row(dashboard, "a/pausing", "Pause")
    await confirm(dashboard, "Pause")
    await dashboard.shows("Queue “a/pausing” paused.")
    assert (await queue(contract, "a%2Fpausing"))["paused"] is True
    await press_in_row(dashboard, "a/pausing", "Resume")
    await confirm(dashboard, "Resume")
    await dashboard.shows("Queue “a/pausing” resumed.")
    assert (await queue(contract, "a%2Fpausing"))["paused"] is False


async def test_a_queue_is_paused_with_the_keyboard_alone(contract: Service, dashboard: Dashboard) -> None:
    await contract.submit("echo", queue="by-keyboard", runAt=LATER)
    await dashboard.open("/ui/queues")
    await dashboard.shows("by-keyboard")
    focused = "return document.activeElement.getAttribute('aria-label')"
    for _ in range(60):
        await dashboard.browser.press("TAB")
        if await dashboard.run(focused) == "Pause by-keyboard":
            break
    await dashboard.browser.press("ENTER")
    await dashboard.browser.until("return document.querySelector('dialog[open]') !== null")
    await dashboard.browser.press("ESCAPE")
    await dashboard.browser.until("return document.querySelector('dialog[open]') === null")
    await dashboard.browser.until(f"{focused} === 'Pause by-keyboard'")  # where it was before
    await dashboard.browser.press("ENTER")
    await dashboard.browser.until("return document.activeElement.closest('dialog') !== null")
    await dashboard.browser.press("TAB", "ENTER")
    await dashboard.shows("Queue “by-keyboard” paused.")
    assert (await queue(contract, "by-keyboard"))["paused"] is True


async def test_an_error_is_shown_and_the_last_figures_stay(contract: Service, dashboard: Dashboard) -> None:
    await contract.submit("echo", queue="stays", runAt=LATER)
    await dashboard.open("/ui/queues")
    await dashboard.shows("stays")
    await dashboard.run("window.kept = window.fetch; window.fetch = () => Promise.reject(new TypeError('cut'))")
    await dashboard.shows("The service cannot be reached.", "stays")
    await dashboard.run("window.fetch = window.kept")
    await dashboard.shows_no("The service cannot be reached.")


async def test_limits_are_set_in_a_dialog_with_the_errors_at_their_fields(
    contract: Service, dashboard: Dashboard
) -> None:
    await contract.client.put("/api/v1/queues/a-limited/limits", json={"concurrency": 7})
    await dashboard.open("/ui/queues")
    await dashboard.press("Limits of queue “a-limited”")
    await dashboard.browser.until("return document.querySelector('dialog input')?.value === '7'")
    await dashboard.fill("Jobs running at once", "0")
    await dashboard.fill("Starts per period", "ten")
    await dashboard.fill("Period in seconds", "60")
    await dashboard.press("Set limits")
    await dashboard.shows("greater than or equal to 1", "valid integer")
    await dashboard.browser.until("return document.activeElement.getAttribute('aria-invalid') === 'true'")
    assert await dashboard.axe() == []
    assert len(await dashboard.console_errors()) == 1  # the 422
    await dashboard.fill("Jobs running at once", "3")
    await dashboard.fill("Starts per period", "10")
    await dashboard.press("Set limits")
    await dashboard.shows("Limits of queue “a-limited” set.")
    await dashboard.shows("3 at once, 10 per 60 s")
    limits = (await contract.client.get("/api/v1/queues/a-limited/limits")).json()
    assert limits == {"concurrency": 3, "rate": {"count": 10, "seconds": 60}}


async def test_limits_on_submitting_are_set_and_reset(contract: Service, dashboard: Dashboard) -> None:
    await dashboard.open("/ui/queues")
    await dashboard.press("Change limits on submitting")
    await dashboard.fill("Jobs submitted per period", "5000")
    await dashboard.fill("Period in seconds", "60")
    await dashboard.fill("Jobs that may wait, by queue", '{"mail": 0}')
    await dashboard.press("Set limits")
    await dashboard.shows("mail Input should be greater than or equal to 1")
    assert len(await dashboard.console_errors()) == 1  # the 422
    await dashboard.fill("Jobs that may wait, by queue", '{"mail": 700}')
    await confirm(dashboard, "Set limits")
    await dashboard.shows("5,000 in 60 s", "Jobs that may wait in “mail”", "700")
    limits = (await contract.client.get("/api/v1/limits")).json()
    assert limits == {"rate": {"count": 5000, "seconds": 60}, "backlog": None, "backlogs": {"mail": 700}}
    await dashboard.press("Reset limits on submitting")
    await confirm(dashboard, "Reset")
    await dashboard.shows("Limits of the settings restored.")
    assert (await contract.client.get("/api/v1/limits")).json()["rate"] is None


async def test_a_job_type_shows_workers_run_times_and_its_schema(contract: Service, dashboard: Dashboard) -> None:
    for _ in range(3):
        await contract.run("echo")
    await contract.client.put(f"{TYPES}/nobody/runs-it", json={"description": "waits", "timeoutSeconds": 5400})

    async def observed() -> Any:
        return (await contract.client.get(f"{TYPES}/echo")).json()["observed"]

    await eventually(observed)
    await dashboard.open("/ui/types")
    cells = await cells_of(dashboard, "echo")
    assert (cells["Workers"].split()[1:], cells["Suggested timeout"]) == (["1", "worker"], "1 s")
    cells = await cells_of(dashboard, "nobody/runs-it")
    assert ("no worker" in cells["Workers"], cells["Timeout"]) == (True, "1 h 30 min")
    await is_usable(dashboard, "types")
    await dashboard.follow("nobody/runs-it")
    await dashboard.shows("No live worker runs this type", "Schema of the parameters")
    await dashboard.open("/ui/types?type=echo")
    await dashboard.shows("P99", "Suggested timeout", "Completed jobs counted")
    await is_usable(dashboard, "type")


async def test_an_open_breaker_shows_its_cause_and_its_next_probe(contract: Service, dashboard: Dashboard) -> None:
    flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
    for _ in range(3):
        await contract.run("guarded", maxAttempts=1)

    async def opened() -> bool:
        return bool((await contract.client.get(f"{TYPES}/guarded")).json()["breaker"]["state"] == "open")

    await eventually(opened)
    await dashboard.open("/ui/types?type=guarded")
    await dashboard.shows("Circuit breaker", "open", "UPSTREAM_DOWN", "in 5")  # 59 minutes, or fewer on a slow machine


async def test_limits_of_a_type_are_set(contract: Service, dashboard: Dashboard) -> None:
    await dashboard.open("/ui/types?type=plain")
    await dashboard.press("Limits")
    await dashboard.fill("Jobs running at once", "2")
    await dashboard.press("Set limits")
    await dashboard.shows_each("Limits of job type “plain” set.", "2 at once")
    assert (await contract.client.get(f"{TYPES}/plain/limits")).json() == {"concurrency": 2, "rate": None}


async def test_markup_in_a_declaration_stays_text_and_numbers_stay_exact(
    contract: Service, dashboard: Dashboard
) -> None:
    schema = f'{{"title": {json.dumps(MARKUP)}, "type": "object", "default": 12345678901234567890.10}}'
    body = f'{{"description": {json.dumps(MARKUP)}, "parametersSchema": {schema}}}'
    answer = await contract.client.put(f"{TYPES}/marked", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    await dashboard.open("/ui/types")
    await shows_as_text(dashboard, MARKUP)
    await dashboard.open("/ui/types?type=marked")
    await shows_as_text(dashboard, MARKUP, "12345678901234567890.10")


async def test_an_unknown_type_is_said_to_be_unknown(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/types?type=nobody")
    await dashboard.shows('Unknown job type "nobody".')
    await dashboard.browser.open("about:blank")
    assert all("404" in line for line in await dashboard.console_errors())
