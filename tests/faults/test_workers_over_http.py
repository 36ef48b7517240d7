"""Faults around workers over HTTP: killed API nodes, a database that restarts, and errors thrown anywhere."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from duly.lifecycle.leases import ends, heartbeats, polls
from tests.support.injected_faults import Faults, installed
from tests.support.lease_worker import LEASES, claim, claim_one, post
from tests.support.service import Service, eventually
from tests.support.service_process import Processes, ServiceProcess

StartService = Callable[..., Awaitable[Service]]
# The behavior of a process does not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
API = ("--role", "api", "--role", "sweeper")
LEASE_SECONDS = 5


async def leased(service: ServiceProcess, job_id: str) -> bool:
    return bool(await service.sql("select from leases where job_id = $1", job_id))


async def test_an_attempt_goes_on_when_the_node_that_leased_it_is_killed(
    database_url: str, processes: Processes
) -> None:
    first, second = await processes.serve(database_url, *API), await processes.serve(database_url, *API)
    job = await first.submit("quick")
    lease = await claim_one(first, "quick", leaseSeconds=60)
    await first.lose()
    assert (await post(second, lease, "heartbeat", {"progress": 50})).status_code == 200

    async def node_is_gone() -> bool:
        return len(await second.sql("select from nodes")) == 1

    await eventually(node_is_gone)  # its own attempts are lost now
    assert (await post(second, lease, "complete", {"result": 1})).status_code == 200
    assert await second.event_types(job["jobId"]) == [*("JobSubmitted", "JobStarted", "JobProgressed", "JobCompleted")]


async def test_a_job_whose_response_died_with_its_node_runs_again_once_its_lease_has_expired(
    database_url: str, processes: Processes
) -> None:
    first, second = await processes.serve(database_url, *API), await processes.serve(database_url, *API)
    body = {"types": ["quick"], "waitSeconds": 60, "leaseSeconds": LEASE_SECONDS}
    waiting = asyncio.create_task(first.client.post(LEASES, json=body))
    job = await second.submit("quick")
    await eventually(lambda: leased(second, job["jobId"]))
    first.kill()
    await asyncio.wait({waiting})  # with an error, or a response that was faster than the kill; both are ignored
    again = await claim_one(second, "quick", waitSeconds=60)
    assert (again["job"]["jobId"], again["attempt"]) == (job["jobId"], 2)
    await post(second, again, "complete")


async def test_a_waiting_claim_survives_broken_connections_of_the_database(start_service: StartService) -> None:
    service = await start_service(roles=("api", "sweeper"))
    waiting = asyncio.create_task(claim(service, waitSeconds=60))

    async def parked() -> bool:
        return len(service.node.leases.polls) == 1

    await eventually(parked)
    for _ in range(3):
        await service.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        await asyncio.sleep(0)
    key = {"Idempotency-Key": "after-the-storm"}

    async def accepted() -> httpx.Response | None:
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo"}, headers=key)
        return answer if answer.status_code == 202 else None

    job = (await eventually(accepted)).json()
    [lease] = await asyncio.wait_for(waiting, 60)
    assert lease["job"]["jobId"] == job["jobId"]

    async def completed() -> bool:
        return (await post(service, lease, "complete")).status_code == 200

    await eventually(completed)


@pytest.fixture
def faults() -> Iterator[Faults]:
    with installed(polls, heartbeats, ends) as points:
        yield points


async def work(service: Service, job_id: str) -> dict[str, Any]:
    """Works on a job as a client does that repeats requests, until it has ended."""

    async def ended() -> dict[str, Any] | None:
        answer = await service.client.post(LEASES, json={"types": ["echo"], "waitSeconds": 0.5})
        for lease in answer.json().get("leases", ()) if answer.status_code == 200 else ():
            await answered(service, lease, "heartbeat", {"progress": 50, "logs": [{"message": "m"}]})
            await answered(service, lease, "complete", {"result": 1})
        view = await service.job(job_id)
        # A claim whose response was lost, and whose release failed as well, is found when its lease has expired.
        await service.sql("update leases set expires_at = now() where expires_at < now() + interval '29 seconds'")
        return view if view["status"] == "completed" else None

    view: dict[str, Any] = await eventually(ended)
    return view


async def answered(service: Service, lease: dict[str, Any], verb: str, body: Any) -> None:
    """Sends a request until its response is final."""

    async def final() -> bool:
        return (await post(service, lease, verb, body)).status_code in {200, 409}

    await eventually(final)


async def test_an_error_anywhere_loses_no_job(start_service: StartService, faults: Faults) -> None:
    service = await start_service(roles=("api", "sweeper"))
    with capture_logs():
        for _ in range(2):
            await work(service, (await service.submit("echo"))["jobId"])
        skipped = ("__init__", "close", "restrictions_changed", "__len__")
        points = [point for point in sorted(faults.passed) if not point.split(":")[1].endswith(skipped)]
        assert len(points) > 40
        for point in points:
            job = await service.submit("echo")
            faults.armed = point
            view = await work(service, job["jobId"])
            assert view["result"] == 1, point
            faults.armed = None
            types = await service.event_types(job["jobId"])
            assert types.count("JobCompleted") == 1, (point, types)
