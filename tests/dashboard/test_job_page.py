"""View of one job: its history, contents and logs, what it waits for, and every action on it."""

from typing import Any

import pytest

from tests.support.dashboard import PHONE, Dashboard
from tests.support.dashboard_checks import is_usable
from tests.support.dashboard_handlers import HOSTILE
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually
from tests.support.webhook_receiver import Receiver

LATER: dict[str, Any] = {"delaySeconds": 3600}


async def opened(dashboard: Dashboard, job_id: str, *texts: str) -> str:
    """Opens a job, waits until the page shows these texts, and returns the id."""
    await dashboard.open(f"/ui/jobs/{job_id}")
    await dashboard.shows("State", *texts)
    return job_id


async def submit(service: Service, type_: str, parameters: Any = None, **members: Any) -> str:
    return str((await service.submit(type_, parameters, **members))["jobId"])


async def parked_order(service: Service, name: str) -> str:
    """Returns an order that waits for its approval."""
    job_id = await submit(service, "order", {"name": name})
    await service.until(job_id, lambda job: job["waitingFor"] == "signal")
    return job_id


async def table(dashboard: Dashboard, caption: str) -> list[list[str]]:
    """Returns the texts of the cells of the table with this caption."""
    cells: list[list[str]] = await dashboard.run(
        """const found = [...document.querySelectorAll('table')].find(
            one => one.caption.textContent.startsWith(arguments[0]))
        const words = cell => cell.innerText.trim().replace(/\\s+/g, ' ')
        return [...found?.tBodies[0].rows ?? []].map(row => [...row.cells].map(words))""",
        caption,
    )
    return cells


async def timeline(dashboard: Dashboard) -> list[str]:
    words: list[str] = await dashboard.run(
        "return [...document.querySelectorAll('.timeline .words')].map(one => one.innerText)"
    )
    return words


async def test_the_history_is_told_in_words_with_its_attempts(contract: Service, dashboard: Dashboard) -> None:
    job = await contract.run("raise", {})
    await opened(dashboard, job["jobId"], "Attempts", "Timeline", "TASK_FAILED", "Exception")
    assert [row[:2] for row in await table(dashboard, "Attempts")] == [[str(n), "✕ failed"] for n in (1, 2, 3)]
    words = await timeline(dashboard)
    assert words[0] == "Submitted to the queue “default”."
    assert words[1] == "Attempt 1 started."
    assert words[2].startswith("Attempt 1 failed, and a retry follows: ")
    assert words[-1].startswith("Failed: ")
    assert len(words) == len(await contract.events(job["jobId"]))
    await dashboard.shows("+", "tests/support/handlers.py:")
    await dashboard.press("Event 1: JobStarted")
    await dashboard.shows('"attempt": 1')
    await is_usable(dashboard, "job")
    await dashboard.resize(800, 900)  # narrower than the table of attempts
    await dashboard.browser.until("return document.querySelector('.table-box[tabindex]') !== null")
    assert await dashboard.axe() == []


async def test_parameters_and_results_keep_every_digit(contract: Service, dashboard: Dashboard) -> None:
    exact = '{"big":12345678901234567890123,"fraction":0.10,"tiny":1e-400}'
    answer = await contract.client.post(
        "/api/v1/jobs",
        content=f'{{"type":"echo","parameters":{exact}}}',
        headers={"Content-Type": "application/json"},
    )
    job_id = answer.json()["jobId"]
    await contract.ended(job_id)
    await opened(dashboard, job_id, "12345678901234567890123", '"fraction": 0.10', '"tiny": 1e-400')


async def test_progress_and_the_end_appear_while_the_page_is_open(contract: Service, dashboard: Dashboard) -> None:
    job_id = await submit(contract, "tell-at-gates", {"name": "live", "steps": 2})
    await has_entered("live-1").wait()
    await opened(dashboard, job_id, "live", "running", "Attempt 1 started.")
    gate("live-1").set()
    await dashboard.shows("step 1", "Progress 1 %: step 1")
    gate("live-2").set()
    await dashboard.shows("Completed.", "told", "(2 reports)")
    assert [row[1] for row in await table(dashboard, "Attempts")] == ["✓ completed"]


async def test_a_signal_that_is_awaited_is_sent_from_the_page(contract: Service, dashboard: Dashboard) -> None:
    job_id = await opened(dashboard, await parked_order(contract, "signal"), "Parked for the signal “approval”.")
    await dashboard.press("Send signal")
    await dashboard.shows("The job waits for approval.")
    await dashboard.fill("Body (JSON)", "{oops")
    await dashboard.shows("Not JSON")
    await dashboard.fill("Body (JSON)", '{"by": 98765432109876543210}')
    assert await dashboard.axe() == []
    await dashboard.press("Send", exact=True)
    await dashboard.shows_each("Signal “approval” sent.", "Resumed by the signal “approval”.", "Completed.")
    await dashboard.shows('"by": 98765432109876543210')
    assert (await contract.job(job_id))["status"] == "completed"

    async def all_steps() -> dict[str, list[str]] | None:  # the page reads them after the state
        steps = {row[0]: row for row in await table(dashboard, "Steps")}
        return steps if set(steps) == {"reserve", "approval", "charge"} else None

    steps = await eventually(all_steps)
    assert (steps["reserve"][2], steps["reserve"][6]) == ("✓ completed", "yes")
    await dashboard.press("show the result of reserve")
    await dashboard.shows('"seat": 12345678901234567890')


async def test_a_signal_of_another_name_is_kept_and_a_wrong_one_is_refused(
    contract: Service, dashboard: Dashboard
) -> None:
    job_id = await opened(dashboard, await submit(contract, "echo", **LATER), "waits for its time")
    await dashboard.press("Send signal")
    await dashboard.fill("Name", "Not Allowed")
    await dashboard.shows("must be of a-z")
    assert not await dashboard.enabled("Send")
    await dashboard.fill("Name", "early")
    await dashboard.press("Send", exact=True)
    await dashboard.shows("Signal “early” received.")
    await dashboard.press("Send signal")
    await dashboard.fill("Name", "early")
    await dashboard.fill("Body (JSON)", "false")
    await dashboard.press("Send", exact=True)
    await dashboard.browser.until("return document.querySelector('dialog [role=alert]') !== null")
    assert len(await dashboard.console_errors()) == 1  # the 409
    assert "JobSignalled" in await contract.event_types(job_id)


async def test_a_cancelled_order_shows_its_compensation(contract: Service, dashboard: Dashboard) -> None:
    job_id = await opened(dashboard, await parked_order(contract, "cancel"), "Cancel job")
    await dashboard.press("Cancel job")
    await dashboard.press("Keep as it is")
    assert (await contract.job(job_id))["status"] == "pending"
    await dashboard.press("Cancel job")
    await dashboard.answer("Cancel job")
    await dashboard.shows("Step “reserve” compensated.", "Cancelled")
    assert any(words.startswith("Compensation begins") for words in await timeline(dashboard))
    assert (await contract.ended(job_id))["status"] == "cancelled"
    await dashboard.browser.until("return !document.querySelector('.actions').innerText.includes('Cancel job')")


async def test_a_running_job_is_told_to_stop(contract: Service, dashboard: Dashboard) -> None:
    job_id = await submit(contract, "wait-for-gate", {"name": "stops"})
    await has_entered("stops").wait()
    await opened(dashboard, job_id, "Attempt 1 started.")
    await dashboard.press("Cancel job")
    await dashboard.shows("Its handler is told to stop.")
    await dashboard.press("Cancel job")
    await dashboard.shows_each("Cancellation requested.", "The job was cancelled")
    assert (await contract.ended(job_id))["status"] == "cancelled"


async def test_a_failed_job_is_retried_from_a_step_and_followed_again(contract: Service, dashboard: Dashboard) -> None:
    job = await contract.run("hostile", {"fails": True})
    await opened(dashboard, job["jobId"], "Retry job", "Step “answer” completed.")
    await dashboard.press("Retry job")
    await dashboard.fill("Forget steps from", "answer")
    assert await dashboard.axe() == []
    await dashboard.press("Retry", exact=True)
    await dashboard.shows_each("Job retried.", "Retried from the step “answer”.")

    async def failed_again() -> bool:
        return len([words for words in await timeline(dashboard) if words.startswith("Failed: ")]) == 2

    await eventually(failed_again)
    requeued = [event for event in await contract.events(job["jobId"]) if event["eventType"] == "JobRequeued"]
    assert [event["data"]["fromStep"] for event in requeued] == ["answer"]


async def test_a_held_job_is_retried(contract: Service, dashboard: Dashboard) -> None:
    job_id = await submit(contract, "raise-and-hold", {"name": "held"})
    await contract.until(job_id, lambda job: job["waitingFor"] == "held")
    await opened(dashboard, job_id, "waits for a retry by hand", "Held for a retry by hand")
    await dashboard.press("Retry job")
    await dashboard.press("Retry", exact=True)
    await dashboard.shows("Retried, with all attempts.")
    assert "JobRequeued" in await contract.event_types(job_id)


async def test_logs_are_followed_while_the_job_runs(contract: Service, dashboard: Dashboard) -> None:
    job_id = await submit(contract, "logs-at-gate", {"name": "logs"})
    await has_entered("logs").wait()
    await opened(dashboard, job_id, "before the gate")
    gate("logs").set()
    await dashboard.shows("after the gate")
    await dashboard.fill("Level", "error")
    await dashboard.shows("No log lines.")


async def test_deliveries_show_their_attempts_and_are_sent_again(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    receiver.statuses, receiver.answer_body = [410, 200], HOSTILE.encode()
    job = await contract.run("echo", callbackUrl=receiver.url)
    await opened(dashboard, job["jobId"], receiver.url, "job.completed", "410")
    await dashboard.press("attempts of job.completed")
    await dashboard.shows("Attempts of the delivery", HOSTILE)
    assert await dashboard.axe() == []
    await dashboard.press("Redeliver")
    await dashboard.shows_each("Delivery is sent again.", "delivered")
    assert receiver.hits == 2

    async def both_shown() -> bool:
        return [row[3] for row in await table(dashboard, "Attempts of the delivery")] == ["410", "200"]

    await eventually(both_shown)


async def test_relatives_are_linked(contract: Service, dashboard: Dashboard) -> None:
    parent = await contract.run("parent-job", {})
    await opened(dashboard, parent["jobId"], "Child jobs")
    await dashboard.browser.until("return document.querySelector('caption ~ tbody') !== null")
    assert [row[1] for row in await table(dashboard, "Child jobs")] == ["echo", "echo"]
    await dashboard.follow("echo")
    await dashboard.shows("Parent", "Batch")
    await dashboard.follow(f"…{parent['jobId'][-12:]}")
    await dashboard.shows("Child jobs")
    dependent = await submit(contract, "echo", dependsOn=[parent["jobId"]], labels={"a": "b"}, **LATER)
    await opened(dashboard, dependent, "Depends on", f"…{parent['jobId'][-12:]}")
    await dashboard.follow("a: b")
    await dashboard.shows("label: a:b")


@pytest.mark.parametrize("fails", [False, True])
async def test_hostile_text_is_shown_as_text(contract: Service, dashboard: Dashboard, fails: bool) -> None:
    body = {"type": "hostile", "parameters": {"x": HOSTILE, HOSTILE: 1, "fails": fails}, "labels": {"x": HOSTILE}}
    headers = {"X-Correlation-Id": "<b>correlation</b>"}
    answer = await contract.client.post("/api/v1/jobs", json=body, headers=headers)
    job_id = answer.json()["jobId"]
    await contract.ended(job_id)
    await opened(dashboard, job_id, "<b>correlation</b>", f"Progress 40 %: {HOSTILE}", "warning")
    if fails:
        await dashboard.shows("<b>CODE</b>", f"Failed: {HOSTILE}")
    for number in range(len(await contract.events(job_id))):
        await dashboard.press(f"Event {number}:")
    await dashboard.press("show the result of answer")
    await dashboard.browser.until("return document.querySelectorAll('pre').length > arguments[0]", 5)
    assert (
        await dashboard.run("return [window.harmed ?? null, document.querySelector('main img, main b')]") == [None] * 2
    )
    await dashboard.resize(*PHONE)
    assert await dashboard.too_wide() == []


async def test_an_unknown_job_is_not_found(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/jobs/none")
    await dashboard.shows("Job not found.")
    assert [line for line in await dashboard.console_errors() if "404" not in line] == []


async def test_the_keyboard_opens_and_closes_a_dialog_and_the_focus_returns(
    contract: Service, dashboard: Dashboard
) -> None:
    await opened(dashboard, await submit(contract, "echo", **LATER), "Cancel job")
    await dashboard.run("[...document.querySelectorAll('button')].find(one => one.innerText === 'Cancel job').focus()")
    await dashboard.browser.press("ENTER")
    await dashboard.browser.until("return document.querySelector('dialog[open]') !== null")
    await dashboard.browser.press("ESCAPE")
    await dashboard.browser.until("return document.querySelector('dialog') === null")
    await dashboard.browser.until("return document.activeElement.innerText === 'Cancel job'")
