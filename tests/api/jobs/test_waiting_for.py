"""`waitingFor` of pending jobs, and the members that connect a job to others."""

from typing import Any

from tests.support import handlers as test_handlers
from tests.support.service import Service

LATER = "2100-01-01T00:00:00.000Z"
PAUSE = "insert into queues (tenant_id, queue, paused_at) values (1, 'default', now())"


async def _waits_for(service: Service, job_id: str) -> tuple[str, str | None]:
    view = await service.job(job_id)
    [listed] = [job for job in (await _listed(service)) if job["jobId"] == job_id]
    assert listed == view
    return view["status"], view["waitingFor"]


async def _listed(service: Service) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await service.client.get("/api/v1/jobs")).json()["items"]
    return items


async def test_a_job_that_may_start_waits_for_a_worker_or_for_its_paused_queue(start_service: Any) -> None:
    service = await start_service(worker_slots=1)
    first = (await service.submit("wait-for-gate"))["jobId"]
    await test_handlers.has_entered("default").wait()
    second = (await service.submit("echo"))["jobId"]

    assert await _waits_for(service, first) == ("running", None)
    assert await _waits_for(service, second) == ("pending", "worker")
    await service.sql(PAUSE)
    assert await _waits_for(service, first) == ("running", None)
    assert await _waits_for(service, second) == ("pending", "paused")
    await service.sql("update queues set paused_at = null")
    assert await _waits_for(service, second) == ("pending", "worker")

    test_handlers.gate("default").set()
    assert (await service.ended(second))["waitingFor"] is None
    assert (await service.ended(first))["waitingFor"] is None


async def test_a_job_waits_for_its_time_or_its_next_attempt(service: Service) -> None:
    later = (await service.submit("echo", runAt=LATER))["jobId"]
    again = (await service.submit("raise-later"))["jobId"]
    await service.until(again, lambda view: view["attempt"] == 1 and view["status"] == "pending")

    assert await _waits_for(service, later) == ("pending", "time")
    assert await _waits_for(service, again) == ("pending", "retry")


async def test_a_job_waits_for_those_it_depends_on(service: Service) -> None:
    first = (await service.submit("echo", runAt=LATER))["jobId"]
    second = await service.submit("echo", runAt=LATER, uniqueKey=service.key_beside(first, "second"))
    parents = [first, second["jobId"]]
    child = (await service.submit("echo", dependsOn=parents))["jobId"]

    assert await _waits_for(service, child) == ("pending", "dependencies")
    view = await service.job(child)
    assert view["dependsOn"] == parents
    assert (view["sequence"], view["attempt"], view["startedAt"]) == (0, 0, None)
    assert (await service.job(parents[0]))["dependsOn"] == []


async def test_a_job_waits_for_the_one_with_its_concurrency_key(service: Service) -> None:
    first = (await service.submit("wait-for-gate", concurrencyKey="one"))["jobId"]
    await test_handlers.has_entered("default").wait()
    second = (await service.submit("echo", concurrencyKey="one"))["jobId"]

    assert await _waits_for(service, second) == ("pending", "concurrency")
    test_handlers.gate("default").set()
    assert (await service.ended(second))["status"] == "completed"
    await service.ended(first)


async def test_a_job_whose_parameters_were_replaced_shows_the_newest_always(service: Service) -> None:
    options = {"uniqueKey": "draft", "debounceSeconds": 3600, "debounceMaxSeconds": 7200}
    job_id = (await service.submit("wait-for-gate", {"name": "first"}, **options))["jobId"]
    assert (await service.job(job_id))["parameters"] == {"name": "first"}
    for name in ("second", "third"):
        response = await service.submit("wait-for-gate", {"name": name}, **options)
        assert response["jobId"] == job_id
        view = await service.job(job_id)
        assert (view["parameters"], view["waitingFor"]) == ({"name": name}, "time")

    await service.sql("update scheduled set run_at = now()")
    await service.node.sweeper.release()
    await test_handlers.has_entered("third").wait()
    assert (await service.job(job_id))["parameters"] == {"name": "third"}
    test_handlers.gate("third").set()
    view = await service.ended(job_id)
    assert (view["parameters"], view["result"]) == ({"name": "third"}, "let go")
    assert [job["parameters"] for job in await _listed(service)] == [{"name": "third"}]


async def test_a_job_with_a_unique_key_that_was_never_replaced_shows_its_own_parameters(service: Service) -> None:
    view = await service.run("echo", {"text": "only"}, uniqueKey="draft")
    assert view["parameters"] == {"text": "only"}


async def test_a_job_of_a_batch_names_it(service: Service) -> None:
    response = await service.client.post("/api/v1/jobs/batch", json={"jobs": [{"type": "echo"}]})
    batch = response.json()
    assert (await service.ended(batch["jobIds"][0]))["batchId"] == batch["batchId"]
    assert (await service.run("echo"))["batchId"] is None
