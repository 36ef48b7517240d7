"""Names: every name that a submission accepts works in paths and filters; others are refused."""

from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.domain.test_names import NOT_TAKEN, TAKEN
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service

LATER = "2100-01-01T00:00:00.000Z"
ENDS = ["a/limits", "a/b/pause", "a/resume", "x" * 129]


@pytest.mark.parametrize("name", TAKEN)
async def test_a_queue_that_is_taken_is_addressed_in_every_place(contract: Service, name: str) -> None:
    job_id = (await contract.submit("echo", queue=name, runAt=LATER))["jobId"]
    for address in (f"/api/v1/queues/{name}", f"/api/v1/queues/{quote(name, safe='')}"):
        assert (await contract.client.get(address)).json()["queue"] == name
        paused = await contract.client.post(f"{address}/pause")
        assert (paused.status_code, paused.json()["queue"], paused.json()["paused"]) == (200, name, True)
        assert (await contract.client.post(f"{address}/resume")).json()["queue"] == name
        assert (await contract.client.put(f"{address}/limits", json={"concurrency": 3})).status_code == 200
        assert {row["name"] for row in await contract.sql("select name from limits")} == {name}
        assert (await contract.client.delete(f"{address}/limits")).status_code == 204
    listed = await contract.client.get("/api/v1/jobs", params={"queue": name})
    assert job_id in [item["jobId"] for item in listed.json()["items"]]
    backlogs = await contract.client.put("/api/v1/limits", json={"backlogs": {name: 1_000}})
    assert backlogs.status_code == 200
    await contract.client.delete("/api/v1/limits")


@pytest.mark.parametrize("name", [*NOT_TAKEN, *ENDS])
async def test_a_queue_that_cannot_be_addressed_is_refused(contract: Service, name: str) -> None:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo", "queue": name})
    assert invalid_paths(response) == ["queue"]


@pytest.mark.parametrize("name", ["reports/", "a/limits"])
async def test_an_address_names_no_queue_that_submission_refuses(contract: Service, name: str) -> None:
    for response in (
        await contract.client.post(f"/api/v1/queues/{name}/pause"),
        await contract.client.put(f"/api/v1/queues/{name}/limits", json={"concurrency": 1}),
        await contract.client.delete(f"/api/v1/job-types/{name}/limits"),
    ):
        refused(response, 404, "NOT_FOUND")
    assert await contract.sql("select from limits") == []


async def test_a_job_of_an_earlier_release_in_such_a_queue_is_still_found_and_cancelled(contract: Service) -> None:
    job_id = (await contract.submit("echo", queue="old", runAt=LATER))["jobId"]
    for statement in (
        "update jobs set queue = 'old/' where queue = 'old'",
        "update scheduled set queue = 'old/' where queue = 'old'",
    ):
        await contract.sql(statement)
    listed = await contract.client.get("/api/v1/jobs", params={"queue": "old/"})
    assert [item["jobId"] for item in listed.json()["items"]] == [job_id]
    assert (await contract.client.post(f"/api/v1/jobs/{job_id}/cancel")).json()["status"] == "cancelled"


@pytest.mark.parametrize("name", ["a:b", ":", "a:", ":a"])
async def test_a_label_that_no_filter_can_name_is_refused(contract: Service, name: str) -> None:
    response = await contract.client.post("/api/v1/jobs", json={"type": "echo", "labels": {name: "x"}})
    assert response.status_code == 422
    assert name in response.json()["error"]["details"]["errors"][0]["path"]
    endpoint = {"url": "https://receiver.example/", "events": ["*"], "labels": {name: "x"}}
    assert (await contract.client.post("/api/v1/webhooks", json=endpoint)).status_code == 422


async def test_an_encoded_slash_separates_nothing(contract: Service) -> None:
    job_id = (await contract.submit("echo", queue="slash", runAt=LATER))["jobId"]
    for method, address in (
        ("GET", f"/api/v1/jobs%2F{job_id}"),
        ("GET", f"/api/v1%2fjobs/{job_id}"),
        ("GET", f"/api%2Fv1/jobs/{job_id}"),
        ("POST", f"/api/v1/jobs/{job_id}%2Fcancel"),
        ("GET", f"/api/v1/jobs/{job_id}%2fevents"),
        ("PUT", f"/api/v1/jobs%2F{job_id}"),
        ("POST", "/api/v1/jobs%2Fbatch"),
        ("GET", "/api/v1/queues%2Fslash"),
        ("POST", "/api/v1/queues/slash%2Fpause"),
        ("PUT", "/api/v1/queues/slash%2Flimits"),
        ("PUT", "/api/v1/queues/a%2Flimits/limits"),
        ("PUT", "/api/v1/job-types/echo%2Flimits"),
        ("POST", "/api/v1/schedules/a%2Frun"),
        ("GET", "/ws%2Fjobs"),
    ):
        refused(await contract.client.request(method, address, json={"type": "echo"}), 404, "NOT_FOUND")
    assert (await contract.job(job_id))["status"] == "pending"
    assert (await contract.client.get("/api/v1/queues/slash")).json()["paused"] is False


async def test_an_encoded_slash_leads_to_no_web_socket(contract: Service) -> None:
    with pytest.raises(InvalidStatus, match="404"):
        async with connect(contract.url.replace("http", "ws", 1) + "/ws%2Fjobs"):
            pass
