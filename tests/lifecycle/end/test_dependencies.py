"""Dependencies: a job waits for those that it depends on, and fails if one of them does."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

from duly.domain.ids import new_job_id
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


async def test_a_job_starts_when_all_it_depends_on_have_completed(start_service: StartService) -> None:
    service = await start_service()
    parents = [await service.submit("wait-for-gate", {"name": name}) for name in ("a", "b")]
    child = await service.submit("echo", dependsOn=[parent["jobId"] for parent in parents])
    view = await service.job(child["jobId"])
    assert (view["status"], view["waitingFor"]) == ("pending", "dependencies")
    assert view["dependsOn"] == [parent["jobId"] for parent in parents]
    gate("a").set()
    await service.ended(parents[0]["jobId"])
    await eventually(lambda: counted(service, 1))
    assert (await service.job(child["jobId"]))["waitingFor"] == "dependencies"
    gate("b").set()
    assert (await service.ended(child["jobId"]))["status"] == "completed"


async def counted(service: Service, left: int) -> bool:
    return await service.sql("select waits_for from blocked") == [(left,)]


async def test_those_that_ended_before_are_not_waited_for(start_service: StartService) -> None:
    service = await start_service()
    parent = await service.run("echo")
    assert (await service.run("echo", dependsOn=[parent["jobId"]]))["status"] == "completed"


async def test_a_job_fails_where_one_it_depends_on_fails(start_service: StartService) -> None:
    service = await start_service()
    parent = await service.submit("wait-for-gate", {"name": "a"})
    child = await service.submit("echo", dependsOn=[parent["jobId"]])
    grandchild = await service.submit("echo", dependsOn=[child["jobId"]])
    in_any_case = await service.submit("echo", dependsOn=[child["jobId"]], onDependencyFailure="run")
    await service.client.post(f"/api/v1/jobs/{parent['jobId']}/cancel")
    for job, lost in ((child, parent), (grandchild, child)):
        view = await service.ended(job["jobId"])
        assert (view["status"], view["error"]["code"]) == ("failed", "DEPENDENCY_FAILED")
        assert lost["jobId"] in view["error"]["message"]
        assert (await service.event_types(job["jobId"])) == ["JobSubmitted", "JobFailed"]
    assert (await service.ended(in_any_case["jobId"]))["status"] == "completed"


async def test_one_that_has_failed_already_fails_the_job_at_once(start_service: StartService) -> None:
    service = await start_service()
    parent = await service.run("fail")
    child = await service.submit("echo", dependsOn=[parent["jobId"]])
    assert (await service.job(child["jobId"]))["error"]["code"] == "DEPENDENCY_FAILED"
    other = await service.run("echo", dependsOn=[parent["jobId"]], onDependencyFailure="run")
    assert other["status"] == "completed"


async def test_only_jobs_that_exist_may_be_named(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    for unknown in (str(new_job_id()), str(uuid4()), "nonsense"):
        answer = await service.client.post("/api/v1/jobs", json={"type": "echo", "dependsOn": [unknown]})
        assert answer.status_code == 422
        assert [error["path"] for error in answer.json()["error"]["details"]["errors"]] == ["dependsOn[0]"]
    assert await service.total("select count(*) from jobs") == 0


async def test_many_that_end_while_others_come_to_wait_for_them(start_service: StartService) -> None:
    """A parent that ends while its child is inserted is either seen as ended or wakes the child."""
    services = [await start_service(worker_slots=20) for _ in range(2)]

    async def family(number: int) -> str:
        one, other = services[number % 2], services[(number + 1) % 2]
        parents = await asyncio.gather(one.submit("echo"), other.submit("echo"))
        child = await other.submit("echo", {"n": number}, dependsOn=[parent["jobId"] for parent in parents])
        return str(child["jobId"])

    children = await asyncio.gather(*(family(number) for number in range(60)))
    for child in children:
        assert (await services[0].ended(child))["status"] == "completed"
    assert await services[0].sql("select * from blocked") == []
    assert await services[0].sql("select * from dependencies") == []


async def test_it_waits_for_its_time_and_its_key_too(start_service: StartService) -> None:
    service = await start_service()
    holder = await service.submit("wait-for-gate", {"name": "key"}, concurrencyKey="k")
    parent = await service.submit("wait-for-gate", {"name": "parent"})
    async with asyncio.timeout(60):
        await has_entered("parent").wait()
    child = await service.submit("echo", dependsOn=[parent["jobId"]], concurrencyKey="k", delaySeconds=0.2)
    assert (await service.job(child["jobId"]))["waitingFor"] == "dependencies"
    gate("parent").set()
    await service.until(child["jobId"], lambda view: view["waitingFor"] == "concurrency")
    gate("key").set()
    assert (await service.ended(child["jobId"]))["status"] == "completed"
    await service.ended(holder["jobId"])
