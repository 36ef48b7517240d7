"""`POST /api/v1/jobs/{jobId}/cancel`: at once for waiting jobs, through the handler for running ones."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import psutil

from duly.api.contract.response_models import JobBody
from duly.domain.job import DEFAULT_TENANT, Flow, NewJob
from tests.support.handlers import gate, has_entered, thread_entered, thread_gate
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import Service, eventually
from tests.support.service_process import gone

LATER = "2100-01-01T00:00:00.000Z"


async def _cancel(service: Service, job_id: str) -> httpx.Response:
    response = await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    if response.is_success:
        JobBody.model_validate_json(response.content, strict=True)
        assert response.json()["jobId"] == job_id
    return response


async def _running(service: Service, type_: str, name: str) -> str:
    job_id: str = (await service.submit(type_, {"name": name}))["jobId"]
    await asyncio.wait_for(has_entered(name).wait(), 60)
    await service.until(job_id, lambda view: view["status"] == "running")
    return job_id


def _is_cancelled(view: dict[str, Any]) -> None:
    assert (view["status"], view["result"], view["waitingFor"]) == ("cancelled", None, None)
    assert view["error"]["code"] == "CANCELLED"
    assert view["error"]["details"]["retryable"] is False
    assert view["completedAt"]


async def test_a_scheduled_job_is_cancelled_at_once(service: Service) -> None:
    accepted = await service.submit("echo", runAt=LATER)
    response = await _cancel(service, accepted["jobId"])

    assert response.status_code == 200
    assert response.json() == await service.job(accepted["jobId"])
    assert response.headers["ETag"] == '"1"'
    _is_cancelled(response.json())
    assert await service.event_types(accepted["jobId"]) == ["JobSubmitted", "JobCancelled"]


async def test_a_job_between_attempts_is_cancelled_at_once(service: Service) -> None:
    accepted = await service.submit("raise-later")
    await service.until(accepted["jobId"], lambda view: view["waitingFor"] == "retry")

    response = await _cancel(service, accepted["jobId"])
    assert response.status_code == 200
    _is_cancelled(response.json())


async def test_a_job_that_waits_for_a_slot_is_cancelled_at_once_and_never_runs(service: Service) -> None:
    for node in service.nodes:
        node.worker.pool.stop_claiming()
    accepted = [await service.submit("echo") for _ in range(3)]
    responses = [await _cancel(service, job["jobId"]) for job in accepted]

    for job, response in zip(accepted, responses, strict=True):
        assert response.status_code == 200
        _is_cancelled(await service.job(job["jobId"]))
        assert await service.event_types(job["jobId"]) == ["JobSubmitted", "JobCancelled"]


async def test_a_job_that_waits_for_others_is_cancelled_at_once(service: Service) -> None:
    parent = await _running(service, "wait-for-gate", "parent")
    child = (await service.submit("echo", dependsOn=[parent]))["jobId"]
    grandchild = (await service.submit("echo", dependsOn=[child]))["jobId"]

    assert (await _cancel(service, child)).status_code == 200
    _is_cancelled(await service.job(child))
    assert (await service.ended(grandchild))["error"]["code"] == "DEPENDENCY_FAILED"
    gate("parent").set()
    assert (await service.ended(parent))["status"] == "completed"
    assert await service.event_types(child) == ["JobSubmitted", "JobCancelled"]


async def test_a_job_that_waits_for_its_concurrency_key_is_cancelled_and_passed_over(service: Service) -> None:
    holder = (await service.submit("wait-for-gate", {"name": "holder"}, concurrencyKey="k"))["jobId"]
    waiting, last = [(await service.submit("echo", concurrencyKey="k"))["jobId"] for _ in range(2)]
    assert (await service.job(waiting))["waitingFor"] == "concurrency"

    assert (await _cancel(service, waiting)).status_code == 200
    _is_cancelled(await service.job(waiting))
    gate("holder").set()
    assert (await service.ended(last))["status"] == "completed"
    assert (await service.ended(holder))["status"] == "completed"


async def test_a_running_job_passes_its_concurrency_key_on_once_it_is_cancelled(service: Service) -> None:
    job = await service.submit("stubborn", {"name": "keyed"}, concurrencyKey="k")
    await asyncio.wait_for(has_entered("keyed").wait(), 60)
    waiting = (await service.submit("echo", concurrencyKey="k"))["jobId"]

    assert (await _cancel(service, job["jobId"])).status_code == 202
    await asyncio.wait_for(has_entered("keyed:cancelled").wait(), 60)
    assert (await service.job(waiting))["waitingFor"] == "concurrency"
    gate("keyed").set()
    assert (await service.ended(waiting))["status"] == "completed"
    _is_cancelled(await service.job(job["jobId"]))


async def test_a_cancelled_job_frees_its_unique_key(service: Service) -> None:
    first = (await service.submit("echo", uniqueKey="u", runAt=LATER))["jobId"]
    await _cancel(service, first)

    second = await service.submit("echo", uniqueKey="u")
    assert second["jobId"] != first
    assert "deduplicated" not in second


async def test_a_running_job_is_told_and_ends_as_cancelled(service: Service) -> None:
    job_id = await _running(service, "wait-for-gate", "told")
    response = await _cancel(service, job_id)

    assert response.status_code == 202
    assert response.json()["status"] in {"running", "cancelled"}
    _is_cancelled(await asyncio.wait_for(service.ended(job_id), 60))
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobCancelRequested", "JobCancelled"]


async def test_a_handler_that_swallows_its_cancellation_still_ends_as_cancelled(service: Service) -> None:
    job_id = await _running(service, "stubborn", "mule")
    assert (await _cancel(service, job_id)).status_code == 202
    await asyncio.wait_for(has_entered("mule:cancelled").wait(), 60)
    assert (await service.job(job_id))["status"] == "running"

    again = await _cancel(service, job_id)
    assert (again.status_code, again.json()["status"]) == (202, "running")
    gate("mule").set()
    view = await service.ended(job_id)
    _is_cancelled(view)
    assert (await service.event_types(job_id)).count("JobCancelRequested") == 1


async def test_a_job_is_told_on_whichever_node_it_runs(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    api, worker = await start_service(roles=("api", "sweeper")), await start_service()
    job_id = await _running(api, "wait-for-gate", "far")
    assert (await _cancel(api, job_id)).status_code == 202

    _is_cancelled(await asyncio.wait_for(worker.ended(job_id), 60))
    types = await api.event_types(job_id)
    assert types == ["JobSubmitted", "JobStarted", "JobCancelRequested", "JobCancelled"]


async def test_a_handler_that_blocks_its_process_is_killed(service: Service) -> None:
    job_id = (await service.submit("process-tell-pid"))["jobId"]
    told = await service.until(job_id, lambda view: view["progressMessage"] is not None)
    process = psutil.Process(int(told["progressMessage"]))

    assert (await _cancel(service, job_id)).status_code == 202
    _is_cancelled(await service.ended(job_id))
    await gone([process])


async def test_a_thread_that_does_not_look_is_left_behind(service: Service) -> None:
    thread_gate.clear()
    thread_entered.clear()
    job_id = (await service.submit("plain-step"))["jobId"]
    await service.until(job_id, lambda view: view["progress"] == 33)
    try:
        assert (await _cancel(service, job_id)).status_code == 202
        _is_cancelled(await service.ended(job_id))
    finally:
        thread_gate.set()


async def _child(service: Service, parent: str, type_: str = "echo", **members: Any) -> str:
    """Returns a job that this one submitted."""
    node = service.node_of(parent)
    job = NewJob(
        tenant_id=DEFAULT_TENANT,
        job_id=node.clock.ids.new(),
        type=type_,
        queue="default",
        priority=0,
        parameters=json.dumps(members.pop("parameters", {})),
        timeout_seconds=60,
        max_attempts=3,
        flow=Flow(parent_id=UUID(parent)),
        **members,
    )
    return str((await node.submitter.submit(job)).job_id)


async def test_what_a_job_submitted_is_cancelled_with_it_down_to_the_last(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service, other = await start_service(), await start_service(handlers=("tests.support.process_handlers",))
    parent = await _running(service, "wait-for-gate", "root")
    waiting = await _child(service, parent, delay_seconds=3600)
    running = await _child(service, parent, "stubborn", parameters={"name": "branch"})
    await asyncio.wait_for(has_entered("branch").wait(), 60)
    leaf = await _child(service, waiting, delay_seconds=3600)
    far = await _child(service, running, "wait-for-gate", parameters={"name": "leaf"})
    await asyncio.wait_for(has_entered("leaf").wait(), 60)
    done = await _child(service, parent)
    await service.ended(done)
    stranger = (await service.submit("echo", runAt=LATER))["jobId"]

    assert (await _cancel(other, parent)).status_code == 202
    for job_id in (waiting, leaf):
        _is_cancelled(await service.job(job_id))
    for job_id in (parent, far):
        _is_cancelled(await service.ended(job_id))
    await asyncio.wait_for(has_entered("branch:cancelled").wait(), 60)
    gate("branch").set()
    _is_cancelled(await service.ended(running))
    assert (await service.job(done))["status"] == "completed"
    assert (await service.job(stranger))["status"] == "pending"


async def test_children_of_a_job_that_never_ran_are_cancelled_too(service: Service) -> None:
    parent = (await service.submit("echo", runAt=LATER))["jobId"]
    children = [await _child(service, parent, delay_seconds=3600) for _ in range(3)]

    assert (await _cancel(service, parent)).status_code == 200
    for job_id in children:
        _is_cancelled(await service.job(job_id))


async def test_a_job_that_has_ended_cannot_be_cancelled(service: Service) -> None:
    cancelled = (await service.submit("echo", runAt=LATER))["jobId"]
    await _cancel(service, cancelled)
    completed, failed = [(await service.run(type_))["jobId"] for type_ in ("echo", "fail")]

    for job_id in (completed, failed, cancelled):
        before = await service.job(job_id)
        error = refused(await _cancel(service, job_id), 409, "JOB_ALREADY_ENDED")
        assert error["details"]["retryable"] is False
        assert await service.job(job_id) == before


async def test_a_job_that_does_not_exist_cannot_be_cancelled(service: Service) -> None:
    for job_id in ("0199c1f0-0000-7000-8000-000000000000", "nonsense"):
        refused(await _cancel(service, job_id), 404, "NOT_FOUND")


async def test_a_misspelt_query_does_not_pass_in_silence(service: Service) -> None:
    accepted = await service.submit("echo", runAt=LATER)

    response = await service.client.post(f"/api/v1/jobs/{accepted['jobId']}/cancel?force=true")
    assert invalid_paths(response) == ["force"]
    assert (await service.job(accepted["jobId"]))["status"] == "pending"


async def test_a_cancellation_and_a_claim_at_the_same_moment_never_lose_a_job(service: Service) -> None:
    async def submit_and_cancel() -> tuple[int, str]:
        job_id = (await service.submit("progress", {"steps": 3}))["jobId"]
        return (await _cancel(service, job_id)).status_code, job_id

    for status, job_id in await asyncio.gather(*(submit_and_cancel() for _ in range(50))):
        view = await service.ended(job_id)
        assert (status, view["status"]) in {(200, "cancelled"), (202, "cancelled"), (409, "completed")}


RETRY = """
with gone as (delete from running where job_id = $1 returning *),
recorded as (
    insert into events (tenant_id, job_id, sequence, kind, attempt, source)
    select tenant_id, job_id, sequence + 1, 3, attempt, 'test' from gone
)
insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, reason, queue, type)
select tenant_id, job_id, now() + interval '1 hour', token, sequence + 1, timeout_seconds, priority, attempt, crashes,
       callback_events, 1, queue, type
from gone
"""


async def test_a_wish_that_meets_the_end_of_its_attempt_is_not_lost(service: Service) -> None:
    job_id = await _running(service, "wait-for-gate", "moves")
    # The attempt fails and is to be tried again, but that is not committed when the cancellation looks.
    async with service.connection(job_id) as connection, connection.transaction():
        await connection.execute(RETRY, UUID(job_id))
        cancelling = asyncio.create_task(_cancel(service, job_id))
        await eventually(lambda: _waits_for_a_lock(service))

    assert (await cancelling).status_code == 200
    _is_cancelled(await service.job(job_id))
    gate("moves").set()


async def _waits_for_a_lock(service: Service) -> bool:
    return bool(
        await service.sql(
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
    )


async def test_two_cancellations_at_once_are_both_answered(service: Service) -> None:
    waiting = (await service.submit("echo", runAt=LATER))["jobId"]
    running = await _running(service, "stubborn", "twice")

    responses = await asyncio.gather(*(_cancel(service, waiting) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409, 409]
    responses = await asyncio.gather(*(_cancel(service, running) for _ in range(5)))
    assert {response.status_code for response in responses} == {202}
    gate("twice").set()
    _is_cancelled(await service.ended(running))
    assert (await service.event_types(running)).count("JobCancelRequested") == 1
