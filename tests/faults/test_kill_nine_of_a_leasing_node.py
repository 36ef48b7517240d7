"""`kill -9` at every await of leases over HTTP: a worker that repeats its requests at another node loses no job."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.fault_point_services import FaultPointService, FaultPointServices, fault_point_services
from tests.support.fault_points import MODULES
from tests.support.lease_worker import LEASES
from tests.support.service import NO_TLS, Service, eventually

# The behavior of a process does not depend on the server's version.
pytestmark = [
    pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session"),
    pytest.mark.timeout(1_200),  # some sixty services are killed in turn, which takes minutes on a busy machine
]
StartService = Callable[..., Any]
LEASE_MODULES = tuple(name for name in MODULES if ".leases" in name)
REPORT = {"progress": 50, "message": "half", "checkpoint": {"row": 1}, "logs": [{"message": "m"}]}
CHILDREN = {"jobs": [{"type": "echo", "queue": "children"}]}
DEFAULT = {"queues": ["default"], "max": 2}
FINAL = {200, 202, 409}
TRIES = 5


@dataclass
class Scene:
    """A service that stays, and API nodes that die while they serve a worker."""

    service: Service
    dying: FaultPointServices
    folder: Path

    @asynccontextmanager
    async def worker(self, dies_at: str) -> AsyncIterator["tuple[FaultPointService, Worker]"]:
        """Yields a node that dies at this point, and a worker that asks it first."""
        address = self.folder / f"url-{self.dying.started}"
        node = await self.dying.start(
            self.service.database_url, dies_at=dies_at, DULY_ROLES="api", FAULT_URL=str(address)
        )

        async def listens() -> bool:
            return address.exists() or not node.alive

        await eventually(listens)
        url = address.read_text() if address.exists() else self.service.url
        async with httpx.AsyncClient(base_url=url, timeout=60, verify=NO_TLS) as client:
            yield node, Worker(self.service, client)


@dataclass
class Worker:
    """Worker that repeats each request until its response is final, at another node after the death of its own."""

    service: Service
    client: httpx.AsyncClient

    async def post(self, path: str, body: Any) -> Any:
        """Returns the content of the final response."""

        async def final() -> httpx.Response | None:
            try:
                answer = await self.client.post(LEASES + path, json=body)
            except httpx.TransportError:
                self.client = self.service.client
                return None
            return answer if answer.status_code in FINAL else None

        return (await eventually(final)).json()

    async def work(self) -> str:
        """Submits a job while a claim waits for it, and works until it has ended. Returns its id."""
        waiting = asyncio.create_task(self.claim(wait_seconds=2))
        job_id: str = (await self.service.submit("echo"))["jobId"]
        leases = await waiting

        async def ended() -> bool:
            nonlocal leases
            await asyncio.gather(*map(self.run, leases))
            if (await self.service.job(job_id))["status"] == "completed":
                return True
            # A claim whose response was lost is found when its lease has expired.
            await self.service.sql("update leases set expires_at = now() where job_id = $1", UUID(job_id))
            leases = await self.claim(wait_seconds=0.5)
            return False

        await eventually(ended)
        return job_id

    async def claim(self, *, wait_seconds: float) -> list[dict[str, Any]]:
        claimed = await self.post("", {"types": ["echo"], **DEFAULT, "waitSeconds": wait_seconds})
        leases: list[dict[str, Any]] = claimed["leases"]
        return leases

    async def run(self, lease: dict[str, Any]) -> None:
        path = f"/{lease['leaseId']}"
        await self.post(f"{path}/heartbeat", REPORT)
        await self.post("/heartbeat", {"leaseIds": [lease["leaseId"]]})
        await self.post(f"{path}/jobs", CHILDREN)
        await self.post("/complete", {"leases": [{"leaseId": lease["leaseId"], "result": 1}]})
        await self.post(f"{path}/complete", {"result": 1})


@pytest.fixture
async def scene(start_service: StartService, tmp_path: Path) -> AsyncIterator[Scene]:
    service = await start_service(roles=("api", "sweeper"))
    async with fault_point_services(tmp_path) as dying:
        yield Scene(service, dying, tmp_path)


async def test_wherever_a_node_is_killed_a_worker_ends_its_job_once_with_its_children(scene: Scene) -> None:
    async with scene.worker("") as (node, worker):
        for _ in range(2):
            await ended_once(scene.service, await worker.work())
        node.stop()
        assert await node.ended() == 0
        points = [line for line in node.passed if line.endswith(" 1") and line.startswith(LEASE_MODULES)]
    assert {point.partition(":")[0] for point in points} == set(LEASE_MODULES)
    assert len(points) > 40
    for point in points:
        async with scene.worker(point) as (node, worker):
            for _ in range(TRIES):  # on a slow machine, a job may come before the claim that is to wait for it
                await ended_once(scene.service, await worker.work())
                if not node.alive:
                    break
            node.stop()
            assert await node.ended() == -signal.SIGKILL, point


async def ended_once(service: Service, job_id: str) -> None:
    view = await service.job(job_id)
    assert (view["status"], view["result"]) == ("completed", 1)
    types = await service.event_types(job_id)
    assert types.count("JobCompleted") == 1
    children = await service.sql("select from jobs where parent_id = $1", UUID(job_id))
    assert len(children) == 1
