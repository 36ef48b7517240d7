"""Plain functions run in threads: they report by plain calls, and one that hangs keeps its slot but not its job."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.support import handlers as support
from tests.support.service import Service, eventually
from tests.support.timeouts import time_out

StartService = Callable[..., Awaitable[Service]]


@pytest.fixture(autouse=True)
def gate() -> Iterator[threading.Event]:
    """Yields the gate of `plain-block`; opened at the end, so that no thread outlives its test."""
    support.thread_gate.clear()
    support.thread_entered.clear()
    yield support.thread_gate
    support.thread_gate.set()


async def blocked_thread(service: Service) -> str:
    """Submits a job that blocks its thread, and waits until it does."""
    support.thread_entered.clear()
    job_id: str = (await service.submit("plain-block"))["jobId"]
    assert await asyncio.to_thread(support.thread_entered.wait, 60)
    return job_id


async def timed_out(service: Service, job_id: str) -> dict[str, Any]:
    await time_out(service, job_id)
    return await service.ended(job_id)


async def test_a_plain_function_runs_beside_the_loop_and_tells_its_progress(service: Service) -> None:
    view = await service.run("plain", {"a": 1})
    assert (view["status"], view["result"]) == ("completed", {"thread": True, "a": 1})
    events = await service.events(view["jobId"])
    assert [event["eventType"] for event in events] == ["JobSubmitted", "JobStarted", "JobProgressed", "JobCompleted"]
    assert (events[2]["data"]["progress"], events[2]["data"]["message"]) == (50, "half way")


async def test_progress_is_recorded_when_the_call_returns(service: Service) -> None:
    """The words of a plain function are in the ledger before it goes on."""
    job_id = (await service.submit("plain-step"))["jobId"]
    await asyncio.to_thread(support.thread_entered.wait, 60)
    view = await service.job(job_id)
    assert (view["progress"], view["progressMessage"]) == (33, "a third")
    support.thread_gate.set()
    await service.ended(job_id)


async def test_a_timeout_is_recorded_while_the_thread_still_runs(service: Service, gate: threading.Event) -> None:
    view = await timed_out(service, await blocked_thread(service))
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")
    assert not gate.is_set()


async def test_a_hung_thread_keeps_its_slot_until_it_ends(start_service: StartService, gate: threading.Event) -> None:
    service = await start_service(worker_slots=1)
    assert (await timed_out(service, await blocked_thread(service)))["error"]["code"] == "TIMED_OUT"
    next_job = (await service.submit("echo", {"n": 1}))["jobId"]
    # A round of claiming passes, and finds no slot.
    looked = await service.client.get(f"/api/v1/jobs/{next_job}", params={"wait": 1})
    assert looked.json()["status"] == "pending"
    gate.set()
    assert (await service.ended(next_job))["status"] == "completed"


async def test_two_hung_threads_keep_two_slots_and_give_both_back(
    start_service: StartService, gate: threading.Event
) -> None:
    service = await start_service(worker_slots=2)
    for job_id in [await blocked_thread(service) for _ in range(2)]:
        assert (await timed_out(service, job_id))["error"]["code"] == "TIMED_OUT"
    executors = service.node.worker.pool._executors
    assert executors.abandoned_threads == 2
    gate.set()

    async def given_back() -> bool:
        return executors.abandoned_threads == 0

    await eventually(given_back)
    assert (await service.run("plain", {}))["status"] == "completed"


async def test_a_plain_function_sees_that_it_should_stop(service: Service) -> None:
    job_id = (await service.submit("plain-until-cancelled"))["jobId"]
    await asyncio.to_thread(support.thread_entered.wait, 60)
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    assert (await service.ended(job_id))["status"] == "cancelled"
    assert await asyncio.to_thread(support.thread_gate.wait, 60)  # the handler sets it when it has seen


async def test_an_attempt_stopped_before_its_thread_began_leaves_no_slot_behind(service: Service) -> None:
    pool = service.node.worker.pool
    for _ in range(20):
        job_id = (await service.submit("plain", {}))["jobId"]
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
        await service.ended(job_id)

    async def quiet() -> bool:
        return not pool._attempts and pool._executors.abandoned_threads == 0

    await eventually(quiet)


async def test_a_plain_function_that_exits_fails_only_its_own_attempt(service: Service) -> None:
    view = await service.run("plain-exit", maxAttempts=1)
    assert (view["status"], view["error"]["message"]) == ("failed", "SystemExit: 5")
    assert (await service.run("plain", {}))["status"] == "completed"
