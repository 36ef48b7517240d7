"""`/api/v1/figures`: series for plots, and `/api/v1/nodes`."""

from typing import Any

import pytest

from duly import __version__
from duly.api.figures import nodes
from duly.api.figures.figures import FiguresBody
from duly.api.figures.nodes import NodeList
from tests.support.response_checks import invalid_paths
from tests.support.service import Service, eventually

PATH = "/api/v1/figures"
NOTHING = dict.fromkeys(("submitted", "started", "completed", "failed", "cancelled", "retried"), 0)
DRAINING_NODE = """
insert into nodes (node_id, name, version, roles, job_types, draining)
values (gen_random_uuid(), 'other', '0', '{}', '{}', true) returning node_id
"""


async def figures(service: Service, **query: str) -> dict[str, Any]:
    """Returns the response, after the service has written what it counted."""
    for node in service.nodes:
        await node.figures.flush()
    response = await service.client.get(PATH, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    FiguresBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


def sums(body: dict[str, Any]) -> dict[str, int]:
    return {name: sum(body["series"][name]) for name in NOTHING}


async def reach(service: Service, wanted: dict[str, int], **query: str) -> None:
    """Returns once the figures have these sums: a job is counted after its end is visible."""

    async def look() -> bool:
        return sums(await figures(service, **query)) == wanted

    await eventually(look)


async def test_jobs_are_counted_by_queue_and_in_all(contract: Service) -> None:
    before = sums(await figures(contract))
    await contract.run("echo", 1, queue="one")
    await contract.run("raise", {"succeed_on": 2}, queue="two")
    await contract.run("fail", queue="two")
    waiting = await contract.submit("echo", 1, queue="two", delaySeconds=3600)
    await contract.client.post(f"/api/v1/jobs/{waiting['jobId']}/cancel")
    one = {"submitted": 1, "started": 1, "completed": 1, "failed": 0, "cancelled": 0, "retried": 0}
    two = {"submitted": 3, "started": 3, "completed": 1, "failed": 1, "cancelled": 1, "retried": 1}
    await reach(contract, one, queue="one")
    await reach(contract, two, queue="two", step="300")
    await reach(contract, {name: before[name] + one[name] + two[name] for name in one}, step="3600")


async def test_waits_and_run_times_are_shown_for_steps_that_have_some(contract: Service) -> None:
    await contract.run("echo", 1, queue="timed")
    await reach(contract, {**NOTHING, "submitted": 1, "started": 1, "completed": 1}, queue="timed", step="3600")
    series = (await figures(contract, queue="timed", step="3600"))["series"]
    for name in ("waitP50Seconds", "waitP99Seconds", "runP50Seconds", "runP99Seconds"):
        found = [value for value in series[name] if value is not None]
        assert len(found) == 1
        assert 0 <= found[0] < 600


async def test_a_sample_shows_what_waits_and_runs(contract: Service) -> None:
    await contract.client.post("/api/v1/queues/held/pause")
    for _ in range(3):
        await contract.submit("echo", 1, queue="held")
    await contract.submit("echo", 1, queue="held", delaySeconds=3600)
    for node in contract.nodes:
        await node.figures.sample()
    series = (await figures(contract, queue="held", step="3600"))["series"]
    assert max(series["waiting"]) == 3
    assert max(series["scheduled"]) == 1
    assert max(series["running"]) == 0
    assert max(series["oldestWaitSeconds"]) > 0
    assert max((await figures(contract, step="3600"))["series"]["waiting"]) >= 3
    await contract.client.post("/api/v1/queues/held/resume")
    await reach(contract, {**NOTHING, "submitted": 4, "started": 3, "completed": 3}, queue="held", step="3600")


async def test_the_default_is_the_last_hour_by_minutes_with_the_current_one(contract: Service) -> None:
    body = await figures(contract)
    assert (body["queue"], body["stepSeconds"]) == (None, 60)
    assert {len(values) for values in body["series"].values()} <= {61, 62}
    assert body["since"] < body["until"]
    assert body["since"].endswith(":00.000Z")


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z", "step": "300"}, 288),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-03T00:00:00Z", "step": "60"}, 2_880),
        ({"since": "2026-01-01T00:00:01Z", "until": "2026-01-01T00:00:02Z", "step": "3600"}, 1),
    ],
)
async def test_a_period_without_figures_has_zeros(contract: Service, query: dict[str, str], steps: int) -> None:
    series = (await figures(contract, **query))["series"]
    assert series["submitted"] == [0] * steps
    assert series["waitP99Seconds"] == [None] * steps


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"step": "61"}, "step"),
        ({"step": "x"}, "step"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}, "since"),
        ({"queue": ""}, "queue"),
        ({"queue": "no such name"}, "queue"),
        ({"type": "echo"}, "type"),
    ],
)
async def test_a_wrong_query_is_refused(contract: Service, query: dict[str, str], path: str) -> None:
    assert invalid_paths(await contract.client.get(PATH, params=query)) == [path]


async def test_nodes_are_listed_with_their_slots(contract: Service) -> None:
    response = await contract.client.get("/api/v1/nodes")
    NodeList.model_validate_json(response.content, strict=True)
    [node] = response.json()["items"]
    assert node["nodeId"] in {str(each.node_id) for each in contract.nodes}
    assert (node["version"], node["state"], node["slots"]) == (
        __version__,
        "ready",
        sum(each.settings.worker_slots for each in contract.nodes),
    )
    assert set(node["roles"]) == {"api", "worker", "dispatcher", "sweeper"}


async def test_a_node_that_is_draining_or_late_says_so(contract: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    [[node_id]] = await contract.sql_in_one(DRAINING_NODE)

    async def states() -> list[str]:
        return [node["state"] for node in (await contract.client.get("/api/v1/nodes")).json()["items"]]

    assert await states() == ["ready", "draining"]
    monkeypatch.setattr(nodes, "LATE_SHARE", 0)
    assert await states() == ["late", "late"]
    await contract.sql_in_one("delete from nodes where node_id = $1", node_id)
