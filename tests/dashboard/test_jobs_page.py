"""View of the jobs: filters, pages, live rows, bulk actions and submitting."""

from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support.dashboard import PHONE, Dashboard
from tests.support.dashboard_handlers import HOSTILE
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

_numbers = count(1)
LATER: dict[str, Any] = {"delaySeconds": 3600}


@pytest.fixture
def queue() -> str:
    """Returns a queue that only this test's jobs have."""
    return f"queue-{next(_numbers)}"


async def submit(service: Service, queue: str, type_: str = "echo", **members: Any) -> str:
    return str((await service.submit(type_, queue=queue, **members))["jobId"])


async def listed(service: Service, **query: Any) -> list[dict[str, Any]]:
    answer = await service.client.get("/api/v1/jobs", params=query)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def shown_ids(dashboard: Dashboard) -> list[str]:
    """Returns the ids of the rows, in their order."""
    ids: list[str] = await dashboard.run("return [...document.querySelectorAll('tbody .id')].map(one => one.title)")
    return ids


async def row_of(dashboard: Dashboard, job_id: str) -> str:
    """Returns the text of a job's row."""
    found: str = await dashboard.run(
        "return document.querySelector(`tbody .id[title='${arguments[0]}']`)?.closest('tr').innerText ?? ''", job_id
    )
    return found


async def row_shows(dashboard: Dashboard, job_id: str, text: str) -> None:
    async def shown() -> bool:
        return text in await row_of(dashboard, job_id)

    await eventually(shown)


async def rows(dashboard: Dashboard, number: int) -> None:
    await dashboard.browser.until("return document.querySelectorAll('tbody tr').length === arguments[0]", number)


async def address(dashboard: Dashboard) -> str:
    query: str = await dashboard.run("return decodeURIComponent(window.location.search)")
    return query


async def test_filters_are_in_the_address_and_choose_the_rows(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    eu, other = [await submit(contract, queue, labels={"region": region}, **LATER) for region in ("eu", "us")]
    failed = await submit(contract, queue, "fail")
    await contract.ended(failed)
    await dashboard.open()
    await dashboard.press("Jobs", role="link", exact=True)
    await dashboard.fill("Queue", queue)
    await dashboard.press("Apply")
    await rows(dashboard, 3)
    assert await shown_ids(dashboard) == [failed, other, eu]
    assert await address(dashboard) == f"?queue={queue}"
    await dashboard.fill("Label", "region:eu")
    await dashboard.press("Apply")
    await rows(dashboard, 1)
    assert await shown_ids(dashboard) == [eu]
    await dashboard.press("Remove the filter label")
    await dashboard.press("failed", exact=True)
    await rows(dashboard, 1)
    assert await shown_ids(dashboard) == [failed]
    assert await address(dashboard) == f"?status=failed&queue={queue}"
    await dashboard.run("history.back()")
    await rows(dashboard, 3)
    assert await dashboard.axe() == []


@pytest.mark.parametrize(
    ("query", "chosen"),
    [
        ("type=echo&type=price", [True, False, True]),
        ("createdAfter={second}", [False, True, True]),
        ("createdBefore={second}", [True, False, False]),
        ("status=failed&status=pending", [True, True, True]),
        ("status=running", [False, False, False]),
    ],
)
async def test_a_filter_in_an_address_is_applied(
    contract: Service, dashboard: Dashboard, queue: str, query: str, chosen: list[bool]
) -> None:
    types = ("echo", "plain", "price")
    parameters: dict[str, Any] = {"price": {"amount": 1}}
    made = [await submit(contract, queue, type_, parameters=parameters.get(type_, {}), **LATER) for type_ in types]
    second = (await contract.job(made[1]))["createdAt"]
    await dashboard.open(f"/ui/jobs?queue={queue}&{query.format(second=second)}")
    expected = [job_id for job_id, matches in zip(made, chosen, strict=True) if matches]
    if expected:
        await rows(dashboard, len(expected))
    else:
        await dashboard.shows("No job matches these filters.")
    assert await shown_ids(dashboard) == expected[::-1]


async def test_the_id_of_a_job_opens_it_and_a_part_of_one_is_refused(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    job_id = await submit(contract, queue, **LATER)
    await dashboard.open("/ui/jobs")
    await dashboard.fill("Job id", job_id[:12])
    await dashboard.press("Apply")
    await dashboard.shows("must be the whole id of a job")
    await dashboard.fill("Job id", job_id.upper())
    await dashboard.press("Apply")
    await dashboard.shows(f"echo …{job_id[-12:]}", "waits for its time")


async def test_pages_lead_to_older_jobs_and_back(contract: Service, dashboard: Dashboard, queue: str) -> None:
    batch = {"jobs": [{"type": "echo", "queue": queue, **LATER}] * 60}
    ids = (await contract.client.post("/api/v1/jobs/batch", json=batch)).json()["jobIds"]
    await dashboard.open(f"/ui/jobs?queue={queue}")
    await rows(dashboard, 50)
    await dashboard.press("Older")
    await rows(dashboard, 10)
    assert await shown_ids(dashboard) == ids[:10][::-1]
    await dashboard.press("Newest")
    await rows(dashboard, 50)
    assert await shown_ids(dashboard) == ids[10:][::-1]


async def test_rows_change_in_place_and_newer_jobs_wait_for_a_press(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    ended = await contract.run("echo", queue=queue)
    running = await submit(contract, queue, "tell-at-gates", parameters={"name": queue, "steps": 2})
    await dashboard.open(f"/ui/jobs?queue={queue}")
    await rows(dashboard, 2)
    await dashboard.shows("live")
    await dashboard.run("window.read = window.fetch; window.fetch = () => new Promise(() => {})")  # only the stream
    gate(f"{queue}-1").set()
    await row_shows(dashboard, running, "1 %")
    newer = [await submit(contract, queue, **LATER) for _ in range(2)]
    await dashboard.shows("Show 2 newer jobs")
    gate(f"{queue}-2").set()
    await row_shows(dashboard, running, "completed")
    assert await shown_ids(dashboard) == [running, ended["jobId"]]
    await dashboard.run("window.fetch = window.read")
    await dashboard.press("Show 2 newer jobs")
    await rows(dashboard, 4)
    assert await shown_ids(dashboard) == [*newer[::-1], running, ended["jobId"]]


async def test_a_status_filter_counts_the_jobs_that_reach_it(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    name = f"gate-{queue}"
    running = await submit(contract, queue, "wait-for-gate", parameters={"name": name})
    await has_entered(name).wait()
    await dashboard.open(f"/ui/jobs?queue={queue}&status=completed")
    await dashboard.shows("live", "No job matches these filters.")
    gate(name).set()
    await dashboard.press("Show 1 more match")
    await rows(dashboard, 1)
    assert await shown_ids(dashboard) == [running]


async def test_all_matching_jobs_are_retried_after_a_preview(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    failed = [await submit(contract, queue, "fail") for _ in range(2)]
    other = await submit(contract, f"{queue}-other", "fail")
    for job_id in (*failed, other):
        await contract.ended(job_id)
    await dashboard.open(f"/ui/jobs?queue={queue}")
    await dashboard.press("Retry all")
    await dashboard.shows("2 jobs match", "(failed)")
    assert await dashboard.axe() == []
    await dashboard.press("Retry all")
    await dashboard.shows("2 jobs retried.")
    assert ["JobRequeued" in await contract.event_types(job_id) for job_id in (*failed, other)] == [True, True, False]


async def test_all_matching_jobs_are_cancelled_after_a_confirmation_only(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    waiting = [await submit(contract, queue, **LATER) for _ in range(3)]
    await dashboard.open("/ui/jobs")
    assert not await dashboard.enabled("Cancel all")  # every job
    await dashboard.open(f"/ui/jobs?queue={queue}")
    await dashboard.press("Cancel all")
    await dashboard.shows("3 jobs match")
    await dashboard.press("Keep as it is")
    assert {job["status"] for job in await listed(contract, queue=queue)} == {"pending"}
    await dashboard.press("Cancel all")
    await dashboard.shows("3 jobs match")
    await dashboard.press("Cancel all")
    await dashboard.shows("3 jobs cancelled.")
    assert {(await contract.job(job_id))["status"] for job_id in waiting} == {"cancelled"}


async def test_a_bulk_action_without_a_fitting_status_is_not_offered(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/jobs?status=running")
    assert not await dashboard.enabled("Retry all")
    assert await dashboard.enabled("Cancel all")


async def test_a_job_is_submitted_with_its_exact_parameters(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    exact = '{"big": 12345678901234567890123, "fraction": 0.10, "text": "ü"}'
    await dashboard.open("/ui/jobs")
    await dashboard.press("Submit job")
    await dashboard.fill("Job type", "echo")
    await dashboard.fill("Parameters (JSON)", "{oops")
    await dashboard.shows("Not JSON")
    assert not await dashboard.enabled("Submit")
    await dashboard.fill("Parameters (JSON)", exact)
    await dashboard.fill("Queue", queue)
    await dashboard.fill("Delay in seconds", "3600")
    await dashboard.fill("Labels", "region:eu\nnote:a:b")
    assert await dashboard.axe() == []
    await dashboard.press("Submit", exact=True)
    await dashboard.shows_each("Job submitted.", "waits for its time", "12345678901234567890123", '"fraction": 0.10')
    [job] = await listed(contract, queue=queue)
    answer = await contract.client.get(f"/api/v1/jobs/{job['jobId']}")
    assert '"fraction": 0.10' in answer.text.replace('":0', '": 0')
    assert job["labels"] == {"region": "eu", "note": "a:b"}


async def test_the_errors_of_a_submission_are_at_their_fields(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/jobs")
    await dashboard.press("Submit job")
    await dashboard.fill("Job type", "price")
    await dashboard.fill("Parameters (JSON)", '{"amount": "much"}')
    await dashboard.press("Submit", exact=True)
    await dashboard.browser.until("return document.querySelector('textarea[aria-invalid=true]') !== null")
    await dashboard.shows("parameters.amount")
    assert len(await dashboard.console_errors(besides=["422"])) == 0


async def test_hostile_text_is_shown_as_text(contract: Service, dashboard: Dashboard, queue: str) -> None:
    await submit(contract, queue, labels={"x": HOSTILE}, **LATER)
    for query in ({"queue": queue}, {"queue": HOSTILE}, {"type": HOSTILE}, {"label": f"x:{HOSTILE}"}):
        await dashboard.open(f"/ui/jobs?{urlencode(query)}")
        await dashboard.shows(
            "No job matches" if HOSTILE in (query.get("queue"), query.get("type")) else queue, HOSTILE
        )
        assert await dashboard.run("return [window.harmed ?? null, document.querySelector('main img')]") == [None, None]


async def test_pages_that_were_left_hold_no_connection(dashboard: Dashboard) -> None:
    """A browser opens six connections to a host, and each followed stream takes one."""
    for number in range(8):
        await dashboard.open(f"/ui/jobs?queue=left-{number}")
        await dashboard.shows("live")
    await dashboard.press("Retry all")
    await dashboard.shows("0 jobs match")


async def test_on_a_phone_the_list_fits_and_filters_are_folded(
    contract: Service, dashboard: Dashboard, queue: str
) -> None:
    await submit(contract, queue, labels={f"name-{n}": "a-rather-long-value-" * 4 for n in range(4)}, **LATER)
    await dashboard.resize(*PHONE)
    await dashboard.open(f"/ui/jobs?queue={queue}")
    await rows(dashboard, 1)
    assert await dashboard.too_wide() == []
    assert await dashboard.count("field", "Queue") == 0
    await dashboard.press("More filters")
    assert await dashboard.count("field", "Queue") == 1
    assert await dashboard.too_wide() == []
    assert await dashboard.axe() == []
    await dashboard.screenshot("jobs-phone")


async def test_the_keyboard_filters_and_opens_a_job(contract: Service, dashboard: Dashboard, queue: str) -> None:
    job_id = await submit(contract, queue, **LATER)
    await dashboard.open("/ui/jobs")
    await dashboard.run("document.querySelector('input[list=names-of-queue]').focus()")
    await dashboard.browser.press(*queue, "ENTER")
    await rows(dashboard, 1)
    await dashboard.run("document.querySelector('tbody a').focus()")
    await dashboard.browser.press("ENTER")
    await dashboard.shows(f"…{job_id[-12:]}", "State")
