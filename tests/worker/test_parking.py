"""Handlers that sleep or wait for signals: parked without a slot, and called again when the time has come."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from duly.domain.job import Mark, WaitReason
from duly.domain.steps import StepKind, StepStatus
from tests.support import step_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually, running_service

HANDLERS = ("tests.support.handlers", "tests.support.step_handlers")
PARKED = "select reason, run_at = 'infinity', attempt from scheduled where job_id = $1"


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with running_service(database_url, handlers=HANDLERS) as service:
        yield service


async def submit(service: Service, type_: str, parameters: Any, **members: Any) -> str:
    return str((await service.submit(type_, parameters, **members))["jobId"])


async def until_parked(service: Service, job_id: str) -> list[Any]:
    rows: list[Any] = await eventually(lambda: service.sql(PARKED, UUID(job_id)))
    return [tuple(row) for row in rows]


async def send(service: Service, job_id: str, name: str = "approval", body: Any = None) -> int:
    answer = await service.client.post(f"/api/v1/jobs/{job_id}/signals/{name}", json=body or {"choice": "yes"})
    return answer.status_code


async def pass_time(service: Service, job_id: str) -> None:
    """Lets the waits of a parked job end now."""
    await service.sql("update steps set until = now() where job_id = $1 and until is not null", UUID(job_id))
    await service.sql("update scheduled set run_at = now() where job_id = $1", UUID(job_id))
    await service.node.sweeper.release()


@pytest.mark.parametrize("type_", ["sleeps", "sleeps-thread"])
async def test_a_handler_sleeps_and_continues(service: Service, type_: str) -> None:
    view = await service.run(type_, {"name": type_, "steps": 2, "seconds": 0.05})
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 1, [1, 1])
    once = ["JobStarted", "JobStepCompleted", "JobParked", "JobResumed"]
    types = await service.event_types(view["jobId"])
    assert types == ["JobSubmitted", *once, *once, "JobStarted", "JobCompleted"]
    assert [count for (name, _), count in step_handlers.done.items() if name == type_] == [1, 1]


async def test_a_parked_job_has_no_slot_and_survives_a_restart(database_url: str) -> None:
    async with running_service(database_url, handlers=HANDLERS, worker_slots=1) as service:
        job_id = await submit(service, "approved", {"name": "restart"})
        assert await until_parked(service, job_id) == [(WaitReason.SIGNAL, True, 0)]
        assert (await service.run("echo", {}))["status"] == "completed"
    async with running_service(database_url, handlers=HANDLERS) as service:
        assert await send(service, job_id) == 202
        assert (await service.ended(job_id))["result"] == {"choice": "yes", "attempt": 1}
    assert step_handlers.done["restart", "0"] == 1


@pytest.mark.parametrize("type_", ["approved", "approved-thread"])
async def test_a_signal_resumes_the_handler(service: Service, type_: str) -> None:
    job_id = await submit(service, type_, {"name": type_}, maxAttempts=1)
    await until_parked(service, job_id)
    assert (await service.job(job_id))["waitingFor"] == "signal"
    assert await send(service, job_id) == 202
    view = await service.ended(job_id)
    assert view["result"] == {"choice": "yes", "attempt": 1}
    assert [row[0] for row in await service.sql("select status from steps where kind = $1", StepKind.SIGNAL)] == [
        StepStatus.COMPLETED
    ]


async def test_a_signal_before_the_wait_is_kept(service: Service) -> None:
    job_id = await submit(service, "asks-in-time", {"name": "before"}, delaySeconds=3600)
    assert await send(service, job_id) == 202
    gate("before").set()
    await service.sql("update scheduled set run_at = now() where job_id = $1", UUID(job_id))
    await service.node.sweeper.release()
    view = await service.ended(job_id)
    assert view["result"] == {"choice": "yes"}
    assert "JobParked" not in await service.event_types(job_id)


async def test_a_signal_during_the_attempt_is_found_at_the_wait(service: Service) -> None:
    job_id = await submit(service, "asks-in-time", {"name": "during"})
    await has_entered("during").wait()
    assert await send(service, job_id) == 202
    gate("during").set()
    assert (await service.ended(job_id))["result"] == {"choice": "yes"}


async def test_a_signal_in_the_instant_of_parking_wakes_the_job(service: Service) -> None:
    """The signal arrives after the handler looked for it and before its job is parked."""
    look = service.node.worker.step_reader.read_waits

    async def looked(tenant_id: int, job_id: UUID) -> Any:
        found = await look(tenant_id, job_id)
        if not found:
            assert await send(service, str(job_id)) == 202
        return found

    service.node.worker.step_reader.read_waits = looked  # type: ignore[method-assign]  # the instant of the test
    job_id = await submit(service, "approved", {"name": "instant"})
    view = await service.ended(job_id)
    assert view["result"] == {"choice": "yes", "attempt": 1}
    types = await service.event_types(job_id)
    assert types[3:] == ["JobSignalled", "JobResumed", "JobStarted", "JobCompleted"]
    assert await service.sql("select from ready where marks & $1 <> 0", int(Mark.SIGNALLED)) == []


async def test_a_signal_that_does_not_arrive_times_out(service: Service) -> None:
    job_id = await submit(service, "approved", {"name": "late", "timeout": 3600})
    assert await until_parked(service, job_id) == [(WaitReason.SIGNAL, False, 0)]
    await pass_time(service, job_id)
    view = await service.ended(job_id)
    assert view["result"] == {"timedOut": "approval", "attempt": 1}
    [data] = [event["data"] for event in await service.events(job_id) if event["eventType"] == "JobResumed"]
    assert data == {"attempt": 0, "reason": "timeout", "timers": [], "signals": ["approval"]}


async def test_a_wait_that_timed_out_stays_so(service: Service) -> None:
    job_id = await submit(service, "approved", {"name": "stays", "timeout": 3600})
    await until_parked(service, job_id)
    await service.client.post("/api/v1/queues/default/pause")
    await pass_time(service, job_id)
    assert await send(service, job_id) == 202
    await service.client.post("/api/v1/queues/default/resume")
    assert (await service.ended(job_id))["result"] == {"timedOut": "approval", "attempt": 1}


async def test_an_uncaught_timeout_ends_the_job_without_a_retry(service: Service) -> None:
    job_id = await submit(service, "approved-or-fails", {"timeout": 3600})
    await until_parked(service, job_id)
    await pass_time(service, job_id)
    view = await service.ended(job_id)
    assert (view["status"], view["attempt"]) == ("failed", 1)
    assert view["error"]["message"] == 'Signal "approval" did not arrive in time.'


async def test_a_body_that_does_not_fit_the_model_fails_the_job(service: Service) -> None:
    job_id = await submit(service, "approved", {"name": "misfit"})
    await until_parked(service, job_id)
    assert await send(service, job_id, body={"choice": 7}) == 202
    view = await service.ended(job_id)
    assert (view["error"]["code"], view["attempt"]) == ("SIGNAL_INVALID", 1)
    assert view["error"]["message"].endswith("body.choice: Input should be a valid string")


async def test_waits_and_steps_at_once_park_together(service: Service) -> None:
    job_id = await submit(service, "waits-together", {"name": "gathered", "seconds": 3600})
    await has_entered("gathered").wait()
    assert await send(service, job_id, "first", {"n": 1}) == 202
    assert await service.sql(PARKED, UUID(job_id)) == []  # a step is in flight
    gate("gathered").set()
    assert await until_parked(service, job_id) == [(WaitReason.SIGNAL, False, 0)]
    assert await send(service, job_id, "second", {"n": 2}) == 202
    assert await until_parked(service, job_id) == [(WaitReason.TIMER, False, 0)]
    await pass_time(service, job_id)
    assert (await service.ended(job_id))["result"] == [{"n": 1}, {"n": 2}, None, "done"]
    assert step_handlers.done["gathered", "slow"] == 1


async def test_a_step_that_fails_beside_a_wait_does_not_park_the_job(service: Service) -> None:
    view = await service.run("fails-beside-a-wait", {"name": "beside"})
    assert (view["result"], view["attempt"]) == (["broken", 1], 1)
    assert "JobParked" not in await service.event_types(view["jobId"])


async def test_the_deadline_of_a_wait_is_that_of_the_first_time(service: Service) -> None:
    job_id = await submit(service, "waits-together", {"name": "deadline", "seconds": 3600})
    gate("deadline").set()
    await until_parked(service, job_id)
    [(first,)] = await service.sql("select run_at from scheduled")
    await send(service, job_id, "first")
    await eventually(lambda: service.sql("select from scheduled where sequence > 6"))
    assert [row[0] for row in await service.sql("select run_at from scheduled")] == [first]
    await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    await service.ended(job_id)


async def test_a_parked_job_is_cancelled_at_once(service: Service) -> None:
    job_id = await submit(service, "approved", {"name": "cancelled"})
    await until_parked(service, job_id)
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    assert (await service.job(job_id))["status"] == "cancelled"


async def test_a_cancel_request_in_the_instant_of_parking_ends_the_job(service: Service) -> None:
    look = service.node.worker.step_reader.read_waits

    async def looked(tenant_id: int, job_id: UUID) -> Any:
        found = await look(tenant_id, job_id)
        # As another node records it, which has not reached this one.
        await service.sql("update running set cancel_requested_at = now(), sequence = sequence + 1")
        await service.sql(
            "insert into events (tenant_id, job_id, sequence, kind, attempt, source) "
            "select tenant_id, job_id, sequence, 5, attempt, 'api' from running"
        )
        return found

    service.node.worker.step_reader.read_waits = looked  # type: ignore[method-assign]  # the instant of the test
    view = await service.run("approved", {"name": "cancelled instant"})
    assert view["status"] == "cancelled"
    assert (await service.event_types(view["jobId"]))[-2:] == ["JobCancelRequested", "JobCancelled"]


async def test_a_parked_job_keeps_its_concurrency_key(service: Service) -> None:
    first = await submit(service, "approved", {"name": "first"}, concurrencyKey="one")
    await until_parked(service, first)
    second = await submit(service, "approved", {"name": "second"}, concurrencyKey="one")
    assert (await service.job(second))["waitingFor"] == "concurrency"
    await send(service, first)
    await service.ended(first)
    await until_parked(service, second)
    await send(service, second)
    assert (await service.ended(second))["status"] == "completed"


async def test_many_jobs_park_and_resume_together(service: Service) -> None:
    job_ids = await asyncio.gather(
        *(submit(service, "sleeps", {"name": f"many {n}", "steps": 1, "seconds": 0.01}) for n in range(50))
    )
    views = await asyncio.gather(*(service.ended(job_id) for job_id in job_ids))
    assert [(view["status"], view["attempt"], view["result"]) for view in views] == [("completed", 1, [1])] * 50
