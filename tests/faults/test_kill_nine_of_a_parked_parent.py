"""`kill -9` at every await of the park of a parent and of its return: its steps are done once, and it continues."""

import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from duly.domain.job import WaitReason
from tests.support.fault_point_services import FaultPointService, FaultPointServices, fault_point_services
from tests.support.fault_points import PARENT_MODULES
from tests.support.service import Service, eventually, running_service
from tests.support.transfer_handlers import TABLE

# The behavior of a process does not depend on the server's version.
pytestmark = [
    pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session"),
    pytest.mark.timeout(1_200),  # some ten services are killed in turn
]
HANDLERS = "tests.support.transfer_handlers"
WORKER = "worker,sweeper"
PARKED = f"select from scheduled where job_id = $1 and reason = {WaitReason.CHILDREN:d}"
CHILD = "select job_id::text from jobs where parent_id = $1"
LOSE_NODES = "update nodes set heartbeat_at = now() - interval '1 hour' where node_id <> $1"
SUMS = "select sum(amount), count(*) from moves where token like $1"


@dataclass
class Scene:
    """A service that takes requests, and workers that die."""

    service: Service
    dying: FaultPointServices

    async def worker(self, dies_at: str = "") -> FaultPointService:
        return await self.dying.start(
            self.service.database_url, dies_at=dies_at, DULY_ROLES=WORKER, DULY_HANDLERS=HANDLERS
        )

    async def submit(self) -> str:
        job = await self.service.submit("transfer-with-receipt", {"url": self.service.database_url})
        return str(job["jobId"])

    async def go_on(self, job_id: str, node: FaultPointService | None = None) -> None:
        """Ends the child once the job waits for it, and waits for its end; stops where the node dies."""

        async def over() -> bool:
            if node is not None and not node.alive:
                return True
            if (await self.service.job(job_id))["status"] == "completed":
                return True
            if await self.service.sql(PARKED, UUID(job_id)):
                [(child,)] = await self.service.sql(CHILD, UUID(job_id))
                await self.service.client.post(f"/api/v1/jobs/{child}/cancel")
            return False

        await eventually(over)

    async def finish(self, job_id: str) -> None:
        """Lets another worker end the job, after the lease of the dead one."""
        async with running_service(
            self.service.database_url, handlers=(HANDLERS,), roles=("worker", "sweeper")
        ) as heir:
            await self.service.sql(LOSE_NODES, heir.node.node_id)
            await heir.node.sweeper.repair(heir.node.node_id, lease_seconds=15)
            await self.go_on(job_id)

    async def is_exact(self, job_id: str) -> None:
        view = await self.service.job(job_id)
        assert (view["status"], view["result"]) == ("completed", 0)
        types = await self.service.event_types(job_id)
        assert (types.count("JobStepCompleted"), types.count("JobParked"), types.count("JobResumed")) == (2, 1, 1)
        [sums] = await self.service.sql(SUMS, f"duly-{job_id}-%")
        assert tuple(sums) == (0, 2)


@pytest.fixture
async def scene(database_url: str, tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        running_service(database_url, handlers=(HANDLERS,), roles=("api",)) as service,
        fault_point_services(tmp_path) as dying,
    ):
        await service.sql(TABLE)
        yield Scene(service, dying)


async def test_wherever_a_worker_is_killed_the_parent_continues(scene: Scene) -> None:
    node = await scene.worker()
    job_id = await scene.submit()
    await scene.go_on(job_id)
    await scene.is_exact(job_id)
    node.stop()
    assert await node.ended() == 0
    points = [line for line in node.passed if line.endswith(" 1") and line.startswith(PARENT_MODULES)]
    functions = {point.split(":")[1].split()[0] for point in points}
    assert {"park_for_children_if_held", "resume_waiting_parents", "_resume"} <= functions, points
    for point in points:
        node = await scene.worker(point)
        job_id = await scene.submit()
        await scene.go_on(job_id, node)
        node.stop()
        assert await node.ended() == -signal.SIGKILL, point
        await scene.finish(job_id)
        await scene.is_exact(job_id)
