"""Views of batches and of one batch."""

from typing import Any

from tests.support.dashboard import Dashboard
from tests.support.dashboard_checks import confirm, is_usable, shows_as_text
from tests.support.dashboard_handlers import HOSTILE
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

LATER: dict[str, Any] = {"type": "echo", "delaySeconds": 3600}


async def submit(service: Service, *jobs: dict[str, Any], **members: Any) -> str:
    answer = await service.client.post("/api/v1/jobs/batch", json={"jobs": list(jobs), **members})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["batchId"])


async def batch_of(service: Service, batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = (await service.client.get(f"/api/v1/batches/{batch_id}")).json()
    return batch


async def figures(dashboard: Dashboard) -> dict[str, str]:
    """Returns the numbers of a batch's jobs by their label."""
    found: dict[str, str] = await dashboard.run(
        """return Object.fromEntries([...document.querySelectorAll('.stat')].map(
            one => [one.querySelector('dt').innerText, one.querySelector('dd').innerText]))"""
    )
    return found


async def test_without_a_batch_the_list_says_so(dashboard: Dashboard, contract: Service) -> None:
    if not (await contract.client.get("/api/v1/batches")).json()["items"]:
        await dashboard.open("/ui/batches")
        await dashboard.shows("No batch was submitted yet.")


async def test_batches_are_listed_and_lead_to_their_jobs(contract: Service, dashboard: Dashboard) -> None:
    batch_id = await submit(contract, LATER, LATER, name="nightly run")
    await dashboard.open("/ui/batches")
    await dashboard.shows("nightly run", "pending")
    await is_usable(dashboard, "batches")
    await dashboard.follow("nightly run")
    await dashboard.shows(batch_id, "Jobs", "Pending")
    assert (await figures(dashboard))["Pending"] == "2"
    await is_usable(dashboard, "batch")
    await dashboard.run("document.querySelector('.stat a[href*=pending]').click()")
    await dashboard.shows(f"batch: {batch_id}")
    await dashboard.browser.until("return document.querySelectorAll('tbody tr').length === 2")


async def test_a_batch_is_followed_to_its_end_and_to_the_job_that_follows(
    contract: Service, dashboard: Dashboard
) -> None:
    jobs: list[dict[str, Any]] = [{"type": "wait-for-gate", "parameters": {"name": "batch"}}, {"type": "fail"}]
    batch_id = await submit(contract, *jobs, then={"type": "echo"})
    await has_entered("batch").wait()
    await dashboard.open(f"/ui/batches/{batch_id}")

    async def counts(**expected: str) -> bool:
        return expected.items() <= (await figures(dashboard)).items()

    await eventually(lambda: counts(Jobs="2", Running="1", Failed="1"))
    await dashboard.shows("50 %", "wait-for-gate", "CUSTOMER_UNKNOWN")
    gate("batch").set()
    await eventually(lambda: counts(Running="0", Completed="1", Failed="1"))
    await dashboard.shows("100 %", "Then")
    then_id = str((await batch_of(contract, batch_id))["thenJobId"])
    await dashboard.follow(then_id)
    await dashboard.shows(f"echo …{then_id[-12:]}", "State")


async def test_a_batch_is_cancelled_after_a_confirmation(contract: Service, dashboard: Dashboard) -> None:
    batch_id = await submit(contract, LATER, LATER, LATER)
    await dashboard.open(f"/ui/batches/{batch_id}")
    await dashboard.press("Cancel batch")
    await dashboard.shows("3 jobs of 3 did not end yet.")
    await confirm(dashboard, "Cancel batch")
    await dashboard.shows("Batch cancelled.")
    assert (await batch_of(contract, batch_id))["cancelled"] == 3
    await dashboard.browser.until("return !document.querySelector('main').innerText.includes('Cancel batch')")


async def test_a_hostile_name_is_shown_as_text(contract: Service, dashboard: Dashboard) -> None:
    batch_id = await submit(contract, LATER, name=HOSTILE)
    for path in ("/ui/batches", f"/ui/batches/{batch_id}"):
        await dashboard.open(path)
        await shows_as_text(dashboard, HOSTILE)
        assert await dashboard.run("return window.harmed ?? null") is None


async def test_an_unknown_batch_is_not_found(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/batches/none")
    await dashboard.shows("Batch not found.")
    assert [line for line in await dashboard.console_errors() if "404" not in line] == []
