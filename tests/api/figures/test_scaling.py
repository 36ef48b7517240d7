"""`/api/v1/scaling`: read from the database, without a worker, for autoscalers."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from duly.api.figures.scaling import ScalingBody
from tests.support import handlers as test_handlers
from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.response_checks import invalid_paths
from tests.support.service import Service, running_service

PATH = "/api/v1/scaling"
KEDA = Path(__file__).parents[3] / "deploy" / "keda" / "scaled-object.yaml"
# Of the trigger `metrics-api` in KEDA 2.13.
KEDA_FIELDS = {"url", "valueLocation", "targetValue", "activationTargetValue", "authMode", "unsafeSsl"}
NOTHING = {
    "waiting": 0,
    "running": 0,
    "oldestWaitSeconds": 0.0,
    "arrivalRate": 0.0,
    "desiredSlots": 0,
    "drainSeconds": 0.0,
}
RAN = """
insert into minute_figures (tenant_id, queue, minute, ran, run_seconds, submitted)
values (1, $1, date_trunc('minute', now()) - interval '2 minutes', 10, $2::float8 * 10, 10)
"""


@pytest.fixture(scope="module")
async def api(server: Server, databases_of: Callable[[Server], TestDatabases]) -> AsyncIterator[Service]:
    """Returns a service without a worker, whose jobs wait."""
    test_handlers.forget()
    async with databases_of(server).lent() as url, running_service(url, roles=("api",)) as running:
        yield running


async def signal(service: Service, **query: str) -> dict[str, Any]:
    await service.node.figures.flush()
    response = await service.client.get(PATH, params=query)
    assert response.status_code == 200, response.text
    ScalingBody.model_validate_json(response.content, strict=True)
    body: dict[str, Any] = response.json()
    return body


async def submit(service: Service, count: int, queue: str, **members: Any) -> None:
    jobs = [{"type": "echo", "parameters": 1, "queue": queue, **members}] * count
    response = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    assert response.status_code == 202, response.text


async def test_nothing_needs_no_slots(api: Service) -> None:
    assert await signal(api, queue="unused") == NOTHING
    assert await signal(api, type="unused") == NOTHING


async def test_what_waits_is_to_be_drained_within_the_target(api: Service) -> None:
    await submit(api, 12, "drained")
    await api.sql(RAN, "drained", 30.0)
    found = await signal(api, queue="drained", targetSeconds="86400")
    assert (found["waiting"], found["running"], found["drainSeconds"]) == (12, 0, None)
    assert found["oldestWaitSeconds"] > 0
    assert found["arrivalRate"] > 0
    # Arrivals of 12 jobs in 60 to 120 seconds that take 30 seconds keep 3 to 6 slots busy.
    assert 3 <= found["desiredSlots"] <= 7
    assert (await signal(api, queue="drained"))["desiredSlots"] >= found["desiredSlots"] + 5


async def test_jobs_of_a_paused_queue_wait_and_need_no_slots(api: Service) -> None:
    await submit(api, 5, "paused")
    assert (await signal(api, queue="paused"))["desiredSlots"] > 0
    await api.client.post("/api/v1/queues/paused/pause")
    found = await signal(api, queue="paused")
    assert (found["waiting"], found["desiredSlots"]) == (5, 0)


async def test_a_limit_is_never_exceeded(api: Service) -> None:
    await submit(api, 50, "limited")
    await api.sql(RAN, "limited", 3600.0)
    assert (await signal(api, queue="limited"))["desiredSlots"] >= 50
    await api.client.put("/api/v1/queues/limited/limits", json={"concurrency": 4})
    assert (await signal(api, queue="limited"))["desiredSlots"] == 4


async def test_a_type_is_counted_over_all_queues_or_in_one(api: Service) -> None:
    for queue in ("typed-1", "typed-2"):
        response = await api.client.post("/api/v1/jobs", json={"type": "sleep", "queue": queue, "parameters": {}})
        assert response.status_code == 202, response.text
    both, one = await signal(api, type="sleep"), await signal(api, type="sleep", queue="typed-1")
    assert (both["waiting"], one["waiting"]) == (2, 1)
    assert both["arrivalRate"] == pytest.approx(2 / 60, abs=0.001)
    assert one["arrivalRate"] == pytest.approx(1 / 60, abs=0.001)
    assert (await signal(api, type="echo", queue="typed-1"))["waiting"] == 0


async def test_running_attempts_keep_their_slots(contract: Service) -> None:
    job_id = (await contract.submit("wait-for-gate", {"name": "kept"}, queue="kept"))["jobId"]
    await test_handlers.has_entered("kept").wait()
    found = await signal(contract, queue="kept")
    assert (found["running"], found["waiting"]) == (1, 0)
    assert found["desiredSlots"] >= 1
    assert found["drainSeconds"] == 0
    test_handlers.gate("kept").set()
    await contract.ended(job_id)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"targetSeconds": "0"}, "targetSeconds"),
        ({"targetSeconds": "nan"}, "targetSeconds"),
        ({"targetSeconds": "86401"}, "targetSeconds"),
        ({"queue": ""}, "queue"),
        ({"type": "no such name"}, "type"),
        ({"tenant": "default"}, "tenant"),
    ],
)
async def test_a_wrong_query_is_refused(api: Service, query: dict[str, str], path: str) -> None:
    assert invalid_paths(await api.client.get(PATH, params=query)) == [path]


async def test_the_keda_example_finds_its_number_in_a_response(api: Service) -> None:
    documents = {each["kind"]: each for each in yaml.safe_load_all(KEDA.read_text())}
    [trigger] = documents["ScaledObject"]["spec"]["triggers"]
    metadata = trigger["metadata"]
    url = httpx.URL(metadata["url"])
    response = await api.client.get(url.path, params=url.params)
    assert response.status_code == 200, response.text
    # A path of names, by GJSON; the value must be a number.
    value = response.json()
    for name in metadata["valueLocation"].split("."):
        value = value[name]
    assert isinstance(value, int)
    assert float(metadata["targetValue"]) > 0
    assert trigger["type"] == "metrics-api"
    assert set(metadata) <= KEDA_FIELDS
    authentication = documents["TriggerAuthentication"]
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    assert [each["parameter"] for each in authentication["spec"]["secretTargetRef"]] == ["token"]
