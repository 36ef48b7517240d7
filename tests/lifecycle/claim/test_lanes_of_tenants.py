"""Queues and job types of one name in two tenants: pauses, limits and breakers of one leave the other's jobs alone."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support import flow_control_handlers
from tests.support.handlers import gate, has_entered
from tests.support.keys import ALL, OWN, bearer, make_key, make_tenant
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.flow_control_handlers")
BREAKERS = "select tenant_id, type, state from breakers"


class Tenant:
    """Client of one tenant of a service."""

    def __init__(self, service: Service, headers: dict[str, str]) -> None:
        self.service = service
        self.headers = headers

    async def call(self, method: str, path: str, **request: Any) -> Any:
        answer = await self.service.client.request(method, f"/api/v1/{path}", headers=self.headers, **request)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def submit(self, job_type: str, parameters: Any = None, **members: Any) -> str:
        body = {"type": job_type, "parameters": parameters or {}, **members}
        job_id: str = (await self.call("POST", "jobs", json=body))["jobId"]
        return job_id

    async def status(self, job_id: str) -> str:
        status: str = (await self.call("GET", f"jobs/{job_id}"))["status"]
        return status

    async def ended(self, job_id: str) -> str:
        """Returns the status of a job once it has ended."""
        ends = ("completed", "failed", "cancelled")

        async def look() -> str | None:
            status = await self.status(job_id)
            return status if status in ends else None

        status: str = await eventually(look)
        return status


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    flow_control_handlers.forget_counts()


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(handlers=HANDLERS, api_key=OWN)


@pytest.fixture
async def mine(service: Service) -> Tenant:
    return Tenant(service, bearer(OWN))


@pytest.fixture
async def theirs(service: Service) -> Tenant:
    await make_tenant(service, "acme")
    return Tenant(service, bearer((await make_key(service, *ALL[:-1], tenant="acme"))["key"]))


async def test_a_paused_queue_holds_back_the_jobs_of_its_tenant_only(mine: Tenant, theirs: Tenant) -> None:
    await mine.call("POST", "queues/mail/pause")
    waiting = [await mine.submit("echo", queue="mail") for _ in range(3)]
    for _ in range(3):  # eagerly started or claimed
        assert await theirs.ended(await theirs.submit("echo", queue="mail")) == "completed"
    assert [await mine.status(job_id) for job_id in waiting] == ["pending"] * 3
    assert (await theirs.call("GET", "queues/mail"))["paused"] is False
    await mine.call("POST", "queues/mail/resume")
    assert [await mine.ended(job_id) for job_id in waiting] == ["completed"] * 3


async def test_a_limit_counts_the_jobs_of_its_tenant_only(mine: Tenant, theirs: Tenant) -> None:
    await mine.call("PUT", "queues/mail/limits", json={"concurrency": 1})
    await mine.call("PUT", "job-types/wait-for-gate/limits", json={"concurrency": 1})
    running = await mine.submit("wait-for-gate", {"name": "first"}, queue="mail")
    await has_entered("first").wait()
    waiting = await mine.submit("wait-for-gate", {"name": "second"}, queue="mail")
    names = [f"theirs-{number}" for number in range(3)]
    others = [await theirs.submit("wait-for-gate", {"name": name}, queue="mail") for name in names]
    for name in names:  # all at once, under the same names of queue and type
        await has_entered(name).wait()
    assert await mine.status(waiting) == "pending"
    for name in ("first", "second", *names):
        gate(name).set()
    assert {await mine.ended(job_id) for job_id in (running, waiting)} == {"completed"}
    assert {await theirs.ended(job_id) for job_id in others} == {"completed"}


async def test_a_breaker_opens_for_the_tenant_whose_jobs_fail(service: Service, mine: Tenant, theirs: Tenant) -> None:
    flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
    for _ in range(3):
        assert await mine.ended(await mine.submit("guarded")) == "failed"

    async def state(tenant: Tenant) -> str:
        breaker = (await tenant.call("GET", "job-types/guarded"))["breaker"]
        return str(breaker["state"])

    async def is_open() -> bool:
        return await state(mine) == "open"

    await eventually(is_open)
    flow_control_handlers.trouble.clear()
    held_back = await mine.submit("guarded")
    assert await state(theirs) == "closed"
    assert await theirs.ended(await theirs.submit("guarded")) == "completed"
    assert await mine.status(held_back) == "pending"
    assert "guarded" in str(await mine.call("GET", f"jobs/{held_back}/why"))
    await service.sql("update breakers set probe_at = now() - interval '1 second' where state <> 0")
    await service.sql("update control set version = version + 1")
    assert await mine.ended(held_back) == "completed"

    async def is_closed() -> bool:
        return [tuple(row) for row in await service.sql(BREAKERS)] == [(1, "guarded", 0)]

    await eventually(is_closed)


async def test_a_queue_shows_the_jobs_of_its_tenant_only(mine: Tenant, theirs: Tenant) -> None:
    await mine.call("POST", "queues/mail/pause")
    await theirs.call("POST", "queues/mail/pause")
    for _ in range(5):
        await theirs.submit("echo", queue="mail")
    await mine.submit("echo", queue="mail")
    shown = await mine.call("GET", "queues/mail")
    assert (shown["depth"], shown["scheduled"], shown["running"]) == (1, 0, 0)


async def test_rates_are_those_of_a_tenants_own_queues(service: Service, mine: Tenant, theirs: Tenant) -> None:
    for _ in range(3):
        assert await theirs.ended(await theirs.submit("echo", queue="private")) == "completed"
    assert await mine.ended(await mine.submit("echo", queue="mail")) == "completed"
    await service.node.heartbeat.step()

    async def rates(tenant: Tenant) -> dict[str, bool]:
        listed = (await tenant.call("GET", "queues"))["items"]
        return {queue["queue"]: queue["outPerSecond"] > 0 for queue in listed}

    assert await rates(mine) == {"default": False, "mail": True}
    assert await rates(theirs) == {"default": False, "private": True}


async def test_a_backlog_limit_counts_the_jobs_of_its_tenant_only(mine: Tenant, theirs: Tenant) -> None:
    await mine.call("POST", "queues/mail/pause")
    await theirs.call("POST", "queues/mail/pause")
    await mine.call("PUT", "limits", json={"backlogs": {"mail": 2}})
    for _ in range(5):
        await theirs.submit("echo", queue="mail")
    await mine.submit("echo", queue="mail")
