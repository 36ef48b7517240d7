"""`GET /api/v1/batches`: pages of batches, newest first."""

from typing import Any

from duly.api.contract.response_models import BatchPage
from tests.support.handlers import gate, has_entered
from tests.support.response_checks import invalid_paths
from tests.support.service import Service, eventually

PATH = "/api/v1/batches"


async def submit(service: Service, *types: str, **members: Any) -> str:
    jobs = [{"type": type_, "delaySeconds": 3600} for type_ in types]
    response = await service.client.post("/api/v1/jobs/batch", json={"jobs": jobs, **members})
    return str(response.json()["batchId"])


async def page(service: Service, **query: Any) -> dict[str, Any]:
    response = await service.client.get(PATH, params=query)
    assert response.status_code == 200, response.text
    BatchPage.model_validate_json(response.content, strict=True)
    result: dict[str, Any] = response.json()
    return result


async def test_pages_lead_through_all_batches_newest_first(contract: Service) -> None:
    made = [await submit(contract, "echo", name=f"n-{n}") for n in range(5)]
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while len(seen) < 5:
        found = await page(contract, **query)
        seen += [batch["batchId"] for batch in found["items"]]
        query["cursor"] = found["nextCursor"]
    assert seen[:5] == made[::-1]


async def test_a_batch_in_the_list_is_the_batch_read_by_itself(contract: Service) -> None:
    jobs = [{"type": "wait-for-gate", "parameters": {"name": "listed"}}, {"type": "echo"}, {"type": "fail"}]
    made = await contract.client.post("/api/v1/jobs/batch", json={"jobs": jobs})
    batch_id = made.json()["batchId"]
    await has_entered("listed").wait()

    async def both_ended() -> bool:
        batch = (await contract.client.get(f"{PATH}/{batch_id}")).json()
        return bool(batch["completed"] + batch["failed"] == 2)

    await eventually(both_ended)
    item = (await page(contract, limit=1))["items"][0]
    assert (item["running"], item["completed"], item["failed"]) == (1, 1, 1)
    assert item == (await contract.client.get(f"{PATH}/{batch_id}")).json()
    gate("listed").set()


async def test_a_wrong_cursor_or_parameter_is_refused(contract: Service) -> None:
    for query, path in (({"cursor": "x"}, "cursor"), ({"limit": 0}, "limit"), ({"name": "x"}, "name")):
        assert invalid_paths(await contract.client.get(PATH, params=query)) == [path]
