"""The views of schedules: due times across a clock change, runs, and every action on a schedule."""

import json
from typing import Any

from tests.support.dashboard import Dashboard
from tests.support.dashboard_checks import MARKUP, confirm, is_usable, press_in_row, shows_as_text
from tests.support.service import Service, eventually

SCHEDULES = "/api/v1/schedules"
# Ten months, which have a clock change in Berlin.
MONTHLY = {"cron": "30 2 1 * *", "timezone": "Europe/Berlin"}


async def made(service: Service, name: str, **members: Any) -> dict[str, Any]:
    body = {"name": name, **MONTHLY, "submission": {"type": "echo"}, **members}
    answer = await service.client.post(SCHEDULES, json=body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def read(service: Service, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.client.get(f"{SCHEDULES}/{name}")).json()
    return found


async def test_the_next_ten_due_times_are_in_their_zone_across_a_clock_change(
    contract: Service, dashboard: Dashboard
) -> None:
    await made(contract, "berlin")
    due = (await contract.client.get(f"{SCHEDULES}/berlin/due-times")).json()["items"]
    offsets = {each["localTime"][-6:] for each in due}
    assert offsets == {"+01:00", "+02:00"}
    await dashboard.browser.devtools("Emulation.setTimezoneOverride", timezoneId="Pacific/Auckland")
    try:
        await dashboard.open("/ui/schedules/berlin")
        await dashboard.shows("Next 10 due times", "clock change: ")
        rows = await dashboard.run(
            """const tables = [...document.querySelectorAll('table')]
            const table = tables.find(one => one.caption.textContent.includes('due times'))
            return [...table.tBodies[0].rows].map(row => [...row.cells].slice(0, 3).map(cell => cell.innerText))"""
        )
    finally:
        await dashboard.browser.devtools("Emulation.setTimezoneOverride", timezoneId="")
    assert [(day[4:], time[:15]) for day, time, _ in rows] == [
        (each["localTime"][:10], f"02:30:00 {each['localTime'][-6:]}") for each in due
    ]
    assert [utc for _, _, utc in rows] == [each["dueAt"].replace(".000Z", "Z") for each in due]
    await is_usable(dashboard, "schedule")


async def test_a_run_by_request_appears_with_its_status(contract: Service, dashboard: Dashboard) -> None:
    await made(contract, "running", submission={"type": "fail", "maxAttempts": 1})
    await dashboard.open("/ui/schedules/running")
    await dashboard.shows("It has not run within the last 30 days.")
    await dashboard.press("Run now")
    await confirm(dashboard, "Run now")
    await dashboard.shows_each("submitted.", "failed")
    job_id = (await read(contract, "running"))["lastJob"]["jobId"]
    await dashboard.shows(job_id)


async def test_a_schedule_is_paused_and_resumed_in_the_list(contract: Service, dashboard: Dashboard) -> None:
    await made(contract, "pausing")
    await dashboard.open("/ui/schedules")
    await press_in_row(dashboard, "pausing", "Pause")
    await confirm(dashboard, "Pause")
    await dashboard.shows("Schedule “pausing” paused.")
    assert (await read(contract, "pausing"))["paused"] is True
    await press_in_row(dashboard, "pausing", "Resume")
    await confirm(dashboard, "Resume")
    await dashboard.shows("Schedule “pausing” resumed.")
    assert (await read(contract, "pausing"))["paused"] is False
    await is_usable(dashboard, "schedules")


async def errors(dashboard: Dashboard) -> dict[str, str]:
    """Returns the errors in the open dialog by the label of their field, once there are any."""
    found: dict[str, str] = await dashboard.browser.until(
        """const found = [...document.querySelectorAll('dialog .field.invalid')].map(one =>
            [one.querySelector('label').innerText, one.querySelector('.error').innerText])
        const old = found.some(([_, text]) => text.includes('is not JSON'))
        return found.length > 0 && !old && Object.fromEntries(found)"""
    )
    return found


async def test_a_schedule_is_created_after_the_errors_at_its_fields(contract: Service, dashboard: Dashboard) -> None:
    await dashboard.open("/ui/schedules")
    await dashboard.press("Create a schedule")
    await dashboard.fill("Name", "created")
    await dashboard.fill("Cron expression", "61 * * * *")
    await dashboard.fill("Time zone", "Europe/Berlim")
    await dashboard.fill("Job type", "price")
    await dashboard.fill("Parameters (JSON)", "{")
    await dashboard.press("Create", exact=True)
    await dashboard.shows("is not JSON")
    await dashboard.fill("Parameters (JSON)", '{"amount": "much"}')
    await dashboard.press("Create", exact=True)
    assert await errors(dashboard) == {"Parameters (JSON)": "amount Input should be a valid decimal"}
    assert await dashboard.axe() == []
    await dashboard.fill("Parameters (JSON)", "")
    await dashboard.fill("Job type", "echo")
    await dashboard.press("Create", exact=True)
    await dashboard.shows("is not an IANA time zone")
    found = await errors(dashboard)
    assert (list(found), "Europe/Berlin" in found["Time zone"]) == (["Cron expression", "Time zone"], True)
    await dashboard.screenshot("schedule-form")
    assert all("422" in line for line in await dashboard.console_errors())
    await dashboard.fill("Cron expression", "30 6 * * *")
    await dashboard.fill("Time zone", "Europe/Berlin")
    await dashboard.fill("Parameters (JSON)", '{"n": 12345678901234567890.10}')
    await dashboard.fill("Other options of the job", '{"priority": 5}')
    await dashboard.press("Create", exact=True)
    await dashboard.shows_each("Schedule “created” created.", "12345678901234567890.10")
    text = (await contract.client.get(f"{SCHEDULES}/created")).text
    assert '"n":12345678901234567890.10' in text
    assert json.loads(text)["submission"]["priority"] == 5


async def test_a_change_sends_only_what_differs(contract: Service, dashboard: Dashboard) -> None:
    submission = {
        "type": "echo",
        "parameters": {"n": 1},
        "callbackUrl": "http://127.0.0.1:9/",
        "callbackSecret": "kept",
    }
    before = await made(contract, "changing", submission=submission)
    [[template]] = await contract.sql("select submission::text from schedules where name = 'changing'")
    await dashboard.open("/ui/schedules/changing")
    await dashboard.press("Change")
    await dashboard.fill("Cron expression", "0 7 * * *")
    await dashboard.press("Save")
    await dashboard.shows_each("Schedule “changing” changed.", "07:00:00")
    after = await read(contract, "changing")
    assert (after["cron"], after["submission"]) == ("0 7 * * *", before["submission"])
    [[kept]] = await contract.sql("select submission::text from schedules where name = 'changing'")
    assert json.loads(kept)["job"] == json.loads(template)["job"]  # with its secret
    await dashboard.press("Change")
    await dashboard.fill("Parameters (JSON)", '{"n": 2}')
    await dashboard.press("Save")

    async def changed() -> bool:
        return bool((await read(contract, "changing"))["submission"]["parameters"] == {"n": 2})

    await eventually(changed)


async def test_a_schedule_is_deleted_after_a_question(contract: Service, dashboard: Dashboard) -> None:
    await made(contract, "deleting")
    await dashboard.open("/ui/schedules/deleting")
    await dashboard.press("Delete")
    await confirm(dashboard, "Delete")
    await dashboard.shows_each("Schedule “deleting” deleted.", "All schedules")
    assert (await contract.client.get(f"{SCHEDULES}/deleting")).status_code == 404
    await dashboard.console_errors(besides=["404"])  # of a read that was under way


async def test_markup_in_a_submission_and_in_an_error_stays_text(contract: Service, dashboard: Dashboard) -> None:
    await made(contract, "marked", submission={"type": "echo", "parameters": {"text": MARKUP}})
    error = {"code": "INVALID", "message": MARKUP, "details": {"reason": MARKUP, "retryable": False}}
    due = "2026-01-27T06:30:00.000Z"
    await contract.sql(
        "update schedules set last_error = $1::text::json where name = 'marked'", json.dumps({**error, "dueAt": due})
    )
    await dashboard.open("/ui/schedules/marked")
    await shows_as_text(dashboard, MARKUP, json.dumps(MARKUP))
    await dashboard.open("/ui/schedules")
    await shows_as_text(dashboard, MARKUP)
    await dashboard.browser.open("about:blank")
    await contract.client.delete(f"{SCHEDULES}/marked")


async def test_an_unknown_schedule_is_said_to_be_unknown(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/schedules/nobody")
    await dashboard.shows('There is no schedule called "nobody".')
    await dashboard.browser.open("about:blank")
    assert all("404" in line for line in await dashboard.console_errors())
