"""`kill -9` of a node loses the figures that it had not written, and no others; several processes count together."""

import pytest

from tests.support.service import eventually
from tests.support.service_process import Processes, ServiceProcess

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

FIGURES = {"step": "3600"}


async def completed(service: ServiceProcess) -> int:
    response = await service.client.get("/api/v1/figures", params=FIGURES)
    assert response.status_code == 200, response.text
    return sum(response.json()["series"]["completed"])


async def test_figures_that_were_written_survive_a_kill(database_url: str, processes: Processes) -> None:
    first = await processes.serve(database_url)
    for _ in range(3):
        await first.run("quick")

    async def written() -> bool:
        return await completed(first) == 3

    await eventually(written)
    first.kill()
    second = await processes.serve(database_url)
    assert await completed(second) == 3
    assert await second.stop() == 0


async def test_nodes_add_up_their_figures_and_are_listed_with_their_slots(
    database_url: str, processes: Processes
) -> None:
    api = await processes.serve(database_url, "--role", "api")
    worker = await processes.serve(database_url, "--role", "worker", "--slots", "7")
    nodes = (await api.client.get("/api/v1/nodes")).json()["items"]
    assert [(node["roles"], node["slots"]) for node in nodes] == [(["api"], 0), (["worker"], 7)]
    await api.run("quick")
    assert await worker.stop() == 0
    assert await api.stop() == 0

    reader = await processes.serve(database_url, "--role", "api")
    series = (await reader.client.get("/api/v1/figures", params=FIGURES)).json()["series"]
    assert {name: sum(series[name]) for name in ("submitted", "started", "completed")} == {
        "submitted": 1,
        "started": 1,
        "completed": 1,
    }
