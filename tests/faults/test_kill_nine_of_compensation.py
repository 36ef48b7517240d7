"""`kill -9` at every await of a compensation: each step is undone once, and sums stay exact."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.faults.test_kill_nine_of_steps import HANDLERS, LOSE_NODES, SUMS, Scene
from tests.support.fault_point_services import FaultPointService, fault_point_services
from tests.support.fault_points import COMPENSATION_MODULES
from tests.support.service import eventually, running_service
from tests.support.transfer_handlers import TABLE

# The behavior of a process does not depend on the server's version.
pytestmark = [
    pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session"),
    pytest.mark.timeout(1_200),  # some thirty services are killed in turn, which takes minutes on a busy machine
]
COMPENSATED = "select data ->> 'step' from events where job_id = $1 and kind = -3 order by sequence"


@pytest.fixture
async def scene(database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        running_service(database_url, handlers=(HANDLERS,), roles=("api",)) as service,
        fault_point_services(tmp_path) as dying,
    ):
        await service.sql(TABLE)
        yield Scene(service, dying)


async def submitted(scene: Scene) -> str:
    return str((await scene.service.submit("refused-transfer", {"url": scene.service.database_url}))["jobId"])


async def ended_or_dead(scene: Scene, job_id: str, node: FaultPointService) -> None:
    async def seen() -> bool:
        return not node.alive or (await scene.service.job(job_id))["status"] == "failed"

    await eventually(seen)


async def ended_elsewhere(scene: Scene, job_id: str) -> None:
    """Lets another worker end the job, after the lease of the dead one."""
    url = scene.service.database_url
    async with running_service(url, handlers=(HANDLERS,), roles=("worker", "sweeper")) as heir:
        await scene.service.sql(LOSE_NODES, heir.node.node_id)
        await heir.node.sweeper.repair(heir.node.node_id, lease_seconds=15)
        await scene.service.ended(job_id)


async def is_exact(scene: Scene, job_id: str) -> None:
    view = await scene.service.job(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "ACCOUNT_CLOSED")
    assert [row[0] for row in await scene.service.sql(COMPENSATED, UUID(job_id))] == ["credit", "debit"]
    [sums] = await scene.service.sql(SUMS, f"duly-{job_id}-%")
    assert tuple(sums) == (0, 4)


async def test_wherever_a_worker_is_killed_each_step_is_undone_once(scene: Scene) -> None:
    node = await scene.worker()
    job_id = await submitted(scene)
    await ended_or_dead(scene, job_id, node)
    await is_exact(scene, job_id)
    node.stop()
    assert await node.ended() == 0
    points = [line for line in node.passed if line.endswith(" 1") and line.startswith(COMPENSATION_MODULES)]
    assert {point.partition(":")[0] for point in points} == set(COMPENSATION_MODULES)
    for point in points:
        node = await scene.worker(point)
        job_id = await submitted(scene)
        await ended_or_dead(scene, job_id, node)
        node.stop()
        assert await node.ended() == -signal.SIGKILL, point
        await ended_elsewhere(scene, job_id)
        await is_exact(scene, job_id)
