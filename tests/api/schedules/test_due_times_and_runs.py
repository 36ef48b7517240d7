"""`/api/v1/schedules/{name}/due-times` and `/runs`: next due times by the clock of the zone, and what was run."""

from datetime import UTC, datetime
from typing import Any

import pytest

from duly.api.schedules.models import DueTimesBody, ScheduleRunPage
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

PATH = "/api/v1/schedules"
NEW_YEAR = "0 0 1 1 *"
ECHO: dict[str, Any] = {"type": "echo"}


async def made(service: Service, name: str, cron: str = NEW_YEAR, **members: Any) -> None:
    body = {"name": name, "cron": cron, "submission": ECHO, **members}
    response = await service.client.post(PATH, json=body)
    assert response.status_code == 201, response.text


async def due_times(service: Service, name: str, **query: Any) -> dict[str, Any]:
    response = await service.client.get(f"{PATH}/{name}/due-times", params=query)
    assert response.status_code == 200, response.text
    DueTimesBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


async def runs(service: Service, name: str, **query: Any) -> dict[str, Any]:
    response = await service.client.get(f"{PATH}/{name}/runs", params=query)
    assert response.status_code == 200, response.text
    ScheduleRunPage.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


@pytest.mark.parametrize(
    ("name", "cron", "after", "local"),
    [
        (
            "time-of-day-in-spring",
            "30 2 * * *",
            "2027-03-26T12:00:00.000Z",
            ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
        ),
        (
            "time-of-day-in-autumn",
            "30 2 * * *",
            "2027-10-30T12:00:00.000Z",
            ["2027-10-31T02:30:00+02:00", "2027-11-01T02:30:00+01:00", "2027-11-02T02:30:00+01:00"],
        ),
        (
            "interval-in-autumn",
            "0 */1 * * *",
            "2027-10-30T23:30:00.000Z",
            ["2027-10-31T02:00:00+02:00", "2027-10-31T02:00:00+01:00", "2027-10-31T03:00:00+01:00"],
        ),
    ],
)
async def test_due_times_keep_the_wall_clock_across_a_clock_change(
    contract: Service, name: str, cron: str, after: str, local: list[str]
) -> None:
    await made(contract, name, cron, timezone="Europe/Berlin")
    body = await due_times(contract, name, count=3, after=after)
    assert body["timezone"] == "Europe/Berlin"
    assert [each["localTime"] for each in body["items"]] == local
    moments = [datetime.fromisoformat(each["dueAt"]) for each in body["items"]]
    assert moments == [datetime.fromisoformat(each) for each in local]
    assert all(each["dueAt"].endswith("Z") for each in body["items"])


async def test_there_are_ten_from_now_on_and_the_first_is_the_next_run(contract: Service) -> None:
    await made(contract, "from-now-on", "0 9 1 * *")
    shown = (await contract.client.get(f"{PATH}/from-now-on")).json()
    items = (await due_times(contract, "from-now-on"))["items"]
    assert (len(items), items[0]["dueAt"]) == (10, shown["nextRunAt"])
    moments = [datetime.fromisoformat(each["dueAt"]) for each in items]
    assert moments == sorted(moments) and moments[0] > datetime.now(UTC)


async def test_a_paused_schedule_shows_the_times_that_it_would_have(contract: Service) -> None:
    await made(contract, "paused-with-times", "0 9 1 * *", paused=True)
    body = await due_times(contract, "paused-with-times", count=1)
    assert (body["paused"], len(body["items"])) == (True, 1)


async def test_due_times_end_where_no_year_has_any(contract: Service) -> None:
    await made(contract, "ends")
    assert (await due_times(contract, "ends", after="2199-12-31T00:00:00.000Z", count=1))["items"] == [
        {"dueAt": "2200-01-01T00:00:00.000Z", "localTime": "2200-01-01T00:00:00+00:00"}
    ]


async def test_runs_show_the_state_of_their_jobs_newest_first_page_by_page(contract: Service) -> None:
    await made(contract, "with-runs")
    assert await runs(contract, "with-runs") == {"items": [], "nextCursor": None}
    jobs = [(await contract.client.post(f"{PATH}/with-runs/run")).json()["jobId"] for _ in range(3)]
    for job_id in jobs:
        await contract.ended(job_id)
    first = await runs(contract, "with-runs", limit=2)
    second = await runs(contract, "with-runs", limit=2, cursor=first["nextCursor"])
    assert [each["jobId"] for each in first["items"] + second["items"]] == jobs[::-1]
    assert second["nextCursor"] is None
    newest = first["items"][0]
    job = (await contract.client.get(f"/api/v1/jobs/{jobs[-1]}")).json()
    assert newest == {
        "dueAt": newest["dueAt"],
        "jobId": jobs[-1],
        "status": "completed",
        "startedAt": job["startedAt"],
        "completedAt": job["completedAt"],
    }
    assert newest["dueAt"] == (await contract.client.get(f"{PATH}/with-runs")).json()["lastRunAt"]


async def test_a_skipped_due_time_has_no_job_and_a_deleted_job_no_status(contract: Service) -> None:
    await made(contract, "skipped")
    job_id = (await contract.client.post(f"{PATH}/skipped/run")).json()["jobId"]
    await contract.ended(job_id)
    await contract.drop(job_id)
    await contract.sql(
        "insert into schedule_runs (tenant_id, name, due_at) values (1, 'skipped', now() + interval '1 second')"
    )
    skipped, deleted = (await runs(contract, "skipped"))["items"]
    nothing = {"status": None, "startedAt": None, "completedAt": None}
    assert skipped == {"dueAt": skipped["dueAt"], "jobId": None, **nothing}
    assert deleted == {"dueAt": deleted["dueAt"], "jobId": job_id, **nothing}


@pytest.mark.parametrize("of", ["due-times", "runs"])
async def test_an_unknown_schedule_has_neither(contract: Service, of: str) -> None:
    for name in ("nobody", "a%00b"):
        refused(await contract.client.get(f"{PATH}/{name}/{of}"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("of", "query"),
    [
        *(("due-times", query) for query in ({"count": 0}, {"count": 101}, {"after": "noon"}, {"limit": 1})),
        *(("runs", query) for query in ({"limit": 0}, {"cursor": "x"}, {"count": 1})),
    ],
)
async def test_an_invalid_query_is_refused(contract: Service, of: str, query: dict[str, Any]) -> None:
    await contract.client.put(f"{PATH}/queried", json={"cron": NEW_YEAR, "submission": ECHO})
    assert invalid_paths(await contract.client.get(f"{PATH}/queried/{of}", params=query)) == list(query)
