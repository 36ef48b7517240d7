"""`/why`: cause, sentence and figures for every reason for which a job waits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from duly.domain.ids import new_job_id
from tests.support import flow_control_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


async def why(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    response = await service.client.get(f"/api/v1/jobs/{job['jobId']}/why")
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    assert told["jobId"] == job["jobId"]
    return told


async def hold(service: Service, name: str, **members: Any) -> dict[str, Any]:
    job = await service.submit("wait-for-gate", {"name": name}, **members)
    async with asyncio.timeout(60):
        await has_entered(name).wait()
    return job


async def test_it_waits_for_its_time(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    job = await service.submit("echo", runAt="2100-01-01T00:00:00.000Z")
    told = await why(service, job)
    assert (told["cause"], told["waitingFor"]) == ("SCHEDULED", "time")
    assert told["data"] == {"runAt": "2100-01-01T00:00:00.000Z"}
    assert told["message"] == "It is scheduled to start at 2100-01-01T00:00:00.000Z."


async def test_it_waits_for_its_next_attempt(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("raise-later")
    view = await service.until(job["jobId"], lambda view: view["waitingFor"] == "retry")
    told = await why(service, job)
    assert (told["cause"], told["data"]["errorCode"], told["data"]["runAt"]) == ("RETRY", "TASK_FAILED", view["runAt"])
    assert "Attempt 1 of 3 ended with TASK_FAILED" in told["message"]


async def test_it_waits_for_jobs_that_it_depends_on(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    parents = [await service.submit("echo") for _ in range(2)]
    told = await why(service, await service.submit("echo", dependsOn=[parent["jobId"] for parent in parents]))
    assert (told["cause"], told["data"]["unmet"]) == ("DEPENDENCIES", 2)
    assert told["data"]["dependsOn"] == [{"jobId": parent["jobId"], "status": "pending"} for parent in parents]
    assert parents[0]["jobId"] in told["message"]


async def test_it_waits_for_its_concurrency_key(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    jobs = [await service.submit("echo", concurrencyKey="k") for _ in range(3)]
    told = await why(service, jobs[2])
    assert told["cause"] == "CONCURRENCY_KEY"
    assert told["data"] == {"concurrencyKey": "k", "heldBy": jobs[0]["jobId"], "before": 1}
    assert jobs[0]["jobId"] in told["message"]


async def test_its_queue_is_paused(start_service: StartService) -> None:
    service = await start_service()
    await service.client.post("/api/v1/queues/resting/pause")
    told = await why(service, await service.submit("echo", queue="resting"))
    assert (told["cause"], told["waitingFor"], told["data"]["queue"]) == ("QUEUE_PAUSED", "paused", "resting")


async def test_no_worker_knows_its_type(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    told = await why(service, await service.submit("echo"))
    assert (told["cause"], told["data"]) == ("NO_WORKER", {"type": "echo"})


async def test_its_queue_or_type_has_reached_its_concurrency(start_service: StartService) -> None:
    service = await start_service()
    for address, scope in (("queues/small", "queue"), ("job-types/wait-for-gate", "job type")):
        await service.client.put(f"/api/v1/{address}/limits", json={"concurrency": 1})
        held = await hold(service, scope, queue="small" if scope == "queue" else "default")
        told = await why(
            service,
            await service.submit("wait-for-gate", {"name": scope}, queue=(await service.job(held["jobId"]))["queue"]),
        )
        assert (told["cause"], told["data"]["running"]) == ("CONCURRENCY_LIMIT", 1)
        assert told["data"]["limit"]["of"] == scope
        gate(scope).set()
        await service.ended(told["jobId"])
        await service.client.delete(f"/api/v1/{address}/limits")


async def test_its_queue_has_used_up_its_rate(start_service: StartService) -> None:
    service = await start_service()
    await service.client.put("/api/v1/queues/slow/limits", json={"rate": {"count": 1, "seconds": 3600}})
    await service.run("echo", queue="slow")
    told = await why(service, await service.submit("echo", queue="slow"))
    assert told["cause"] == "RATE_LIMIT"
    assert told["data"]["limit"] == {"of": "queue", "name": "slow"}
    assert told["data"]["nextStartAt"] > (await service.job(told["jobId"]))["createdAt"]


async def test_the_circuit_of_its_type_is_open(start_service: StartService) -> None:
    service = await start_service(handlers=("tests.support.handlers", "tests.support.flow_control_handlers"))
    flow_control_handlers.forget_counts()
    flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
    for _ in range(3):
        await service.run("guarded")
    await eventually(lambda: service.sql("select from breakers where state = 1"))
    told = await why(service, await service.submit("guarded"))
    assert (told["cause"], told["data"]["errorCode"]) == ("CIRCUIT_OPEN", "UPSTREAM_DOWN")
    assert told["data"]["probeAt"] in told["message"]
    flow_control_handlers.forget_counts()


async def test_others_go_first(start_service: StartService) -> None:
    service = await start_service(worker_slots=1)
    await hold(service, "only")
    for _ in range(2):
        await service.submit("echo")
    job = await service.submit("echo")
    await service.submit("echo", priority=5)
    await service.submit("echo", priority=-5)
    told = await why(service, job)
    assert told["cause"] == "BUSY"
    assert told["data"] == {"ahead": 3, "aheadIsAtLeast": False, "workers": 1}
    assert told["message"].startswith("3 jobs ahead of it in queue")
    gate("only").set()


async def test_it_is_next(start_service: StartService) -> None:
    service = await start_service(worker_slots=1)
    await hold(service, "only")
    told = await why(service, await service.submit("echo"))
    assert (told["cause"], told["data"]["ahead"]) == ("NEXT", 0)
    gate("only").set()


async def test_it_has_expired(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    job = await service.submit("echo", expiresInSeconds=0.01)
    await service.sql("select pg_sleep(0.05)")
    assert (await why(service, job))["cause"] == "EXPIRED"


async def test_it_runs_and_is_asked_to_stop(start_service: StartService) -> None:
    service = await start_service()
    job = await service.submit("stubborn", {"name": "deaf"})
    async with asyncio.timeout(60):
        await has_entered("deaf").wait()
    told = await why(service, job)
    assert (told["cause"], told["data"]["node"]) == ("RUNNING", service.node.name)
    await service.client.post(f"/api/v1/jobs/{job['jobId']}/cancel")
    told = await why(service, job)
    assert told["cause"] == "CANCEL_REQUESTED"
    assert told["data"]["cancelRequestedAt"] in told["message"]
    gate("deaf").set()
    await service.ended(job["jobId"])


@pytest.mark.parametrize(
    ("type_", "status", "code"), [("echo", "completed", None), ("fail", "failed", "CUSTOMER_UNKNOWN")]
)
async def test_it_has_ended(start_service: StartService, type_: str, status: str, code: str | None) -> None:
    service = await start_service()
    told = await why(service, await service.run(type_))
    assert (told["cause"], told["status"], told["data"]["errorCode"]) == ("ENDED", status, code)


async def test_a_job_that_does_not_exist_is_not_explained(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    for unknown in (new_job_id(), "nonsense"):
        assert (await service.client.get(f"/api/v1/jobs/{unknown}/why")).status_code == 404
