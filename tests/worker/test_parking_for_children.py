"""Handlers with steps that wait for child jobs: parked as a row, without a slot, until the last of these has ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from duly.domain.job import Mark, WaitReason
from duly.store.ties.unique_keys_and_dependencies import watch_parents
from duly.worker import child_jobs
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually, running_service
from tests.support.step_parents import done

HANDLERS = ("tests.support.handlers", "tests.support.step_parents", "tests.support.parent_handlers")
PARKED = "select reason, run_at = 'infinity', attempt from scheduled where job_id = $1"
WAITS = "select count(*)::int from dependencies where child_id = $1"


@pytest.fixture(autouse=True)
def parks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_jobs, "PARK_AFTER_SECONDS", 0.0)


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    """A service with one slot."""
    async with running_service(database_url, handlers=HANDLERS, worker_slots=1) as service:
        yield service


async def submit(service: Service, type_: str, name: str, *gates: str, **members: Any) -> str:
    jobs = members.pop("jobs", [])
    return str((await service.submit(type_, {"name": name, "gates": gates, "jobs": jobs}, **members))["jobId"])


async def until_parked(service: Service, job_id: str) -> None:
    rows: list[Any] = await eventually(lambda: service.sql(PARKED, UUID(job_id)))
    assert [tuple(row) for row in rows] == [(WaitReason.CHILDREN, True, 0)]


async def waits_of(service: Service, job_id: str) -> int:
    return int((await service.sql(WAITS, UUID(job_id)))[0][0])


def in_memory(service: Service) -> tuple[int, int]:
    """Returns the numbers of attempts that wait in memory, and of all attempts."""
    worker = service.node.worker
    return len(worker.pool._parked), len(worker.pool._attempts)


@pytest.mark.parametrize("type_", ["stepped-parent", "stepped-parent-thread"])
async def test_a_parent_waits_for_its_children_without_slot_and_memory(service: Service, type_: str) -> None:
    gates = [f"{type_}-{n}" for n in range(3)]
    job_id = await submit(service, type_, type_, *gates, maxAttempts=1)
    await until_parked(service, job_id)
    view = await service.job(job_id)
    assert (view["status"], view["waitingFor"], view["runAt"], view["attempt"]) == ("pending", "dependencies", None, 0)
    why = (await service.client.get(f"/api/v1/jobs/{job_id}/why")).json()
    assert why["message"].startswith("It depends on 3 jobs that have not ended")
    await has_entered(gates[0]).wait()  # the first child has the only slot
    assert in_memory(service) == (0, 1)
    for one in gates:
        gate(one).set()
    view = await service.ended(job_id)
    assert view["result"] == {"results": gates, "attempt": 1, "steps": [1, 1]}
    types = await service.event_types(job_id)
    parked = ["JobStarted", "JobStepCompleted", "JobParked", "JobResumed"]
    assert types == ["JobSubmitted", *parked, "JobStarted", "JobStepCompleted", "JobCompleted"]
    assert done[type_, "called"] == 2
    data = {event["eventType"]: event["data"] for event in await service.events(job_id)}
    jobs = {row[0] for row in await service.sql("select job_id::text from jobs where parent_id = $1", UUID(job_id))}
    assert set(data["JobParked"].pop("jobs")) == jobs
    assert data["JobParked"] == {"attempt": 0, "until": None, "signals": [], "children": 3}
    assert data["JobResumed"] == {"attempt": 0, "reason": "children"}


async def test_a_child_that_fails_is_an_error_of_the_parents_wait(service: Service) -> None:
    failing = {"type": "fail-with", "parameters": {"reason": "no paint", "code": "NO_PAINT"}, "delay_seconds": 3600}
    job_id = await submit(service, "stepped-parent", "failing", jobs=[failing])
    await until_parked(service, job_id)
    await service.sql("update scheduled set run_at = now() where reason = 0")
    await service.node.sweeper.release()
    view = await service.ended(job_id)
    assert (view["status"], view["result"]["results"]) == ("completed", ["NO_PAINT"])


@pytest.mark.parametrize("place", ["before", "after"])
async def test_a_child_that_ends_in_the_instant_of_the_park_resumes_the_parent(
    service: Service, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Ends the child after its parent was removed from `running`, before or after it is marked as a dependency."""
    cancellations = []

    async def cancel(child: UUID) -> None:
        await service.client.post(f"/api/v1/jobs/{child}/cancel")

    async def watched(connection: Any, parents: Any) -> Any:
        if place == "before":
            await cancel(parents[0][1])
        found = await watch_parents(connection, parents)
        if place == "after":  # it waits for the commit of the park
            cancellations.append(asyncio.create_task(cancel(parents[0][1])))
        return found

    monkeypatch.setattr("duly.store.ties.waiting_parents.watch_parents", watched)
    jobs = [{"type": "echo", "delay_seconds": 3600}]
    job_id = await submit(service, "stepped-parent", f"instant-{place}", jobs=jobs)
    view = await service.ended(job_id)
    assert (view["status"], view["result"]["results"]) == ("completed", ["CANCELLED"])
    types = await service.event_types(job_id)
    assert types[3:5] == ["JobParked", "JobResumed"]
    await asyncio.gather(*cancellations)


async def test_children_that_end_together_resume_their_parent_once(database_url: str) -> None:
    gates = [f"together-{n}" for n in range(10)]
    # A slot for each job: the children of the first parents run before the others are submitted, on a slow machine.
    async with running_service(database_url, handlers=HANDLERS, worker_slots=64) as service:
        parents = [await submit(service, "stepped-parent", f"together-{n}", *gates) for n in range(5)]
        for parent in parents:
            await until_parked(service, parent)
        for one in gates:
            gate(one).set()
        for parent in parents:
            assert (await service.ended(parent))["result"]["results"] == gates
            assert (await service.event_types(parent)).count("JobResumed") == 1


async def test_more_children_than_one_wait_names_are_waited_for_in_turn(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_jobs, "MOST_AWAITED", 2)
    gates = [f"turn-{n}" for n in range(3)]
    job_id = await submit(service, "stepped-parent", "turn", *gates)
    await until_parked(service, job_id)
    assert await waits_of(service, job_id) == 2
    for one in gates:
        gate(one).set()
    assert (await service.ended(job_id))["result"]["results"] == gates


async def test_cancelling_a_parked_parent_cancels_its_children(service: Service) -> None:
    job_id = await submit(service, "stepped-parent", "cancelled", "cancelled-1", "cancelled-2")
    await until_parked(service, job_id)
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 200
    assert (await service.job(job_id))["status"] == "cancelled"
    children = await service.sql("select job_id::text from jobs where parent_id = $1", UUID(job_id))
    assert [(await service.ended(child))["status"] for (child,) in children] == ["cancelled"] * 2
    assert await waits_of(service, job_id) == 0


async def test_steps_of_a_parent_that_is_cancelled_while_parked_are_compensated(service: Service) -> None:
    job_id = await submit(service, "compensated-parent", "compensated", "compensated")
    await until_parked(service, job_id)
    await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (await service.ended(job_id))["status"] == "cancelled"
    assert done["compensated", "undone"] == 1


async def test_a_cancel_request_in_the_instant_of_the_park_ends_the_parent(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = service.node.worker.child_results.last_unended

    async def looked(*given: Any, **more: Any) -> Any:
        found = await look(*given, **more)
        # As another node records it, which has not reached this one.
        await service.sql(
            "update running set cancel_requested_at = now(), sequence = sequence + 1 where type = $1", TYPE
        )
        await service.sql(
            "insert into events (tenant_id, job_id, sequence, kind, attempt, source) "
            "select tenant_id, job_id, sequence, 5, attempt, 'api' from running where type = $1",
            TYPE,
        )
        return found

    monkeypatch.setattr(service.node.worker.child_results, "last_unended", looked)
    job_id = await submit(service, TYPE, "cancelled-instant", "cancelled-instant")
    assert (await service.ended(job_id))["status"] == "cancelled"
    assert "JobParked" not in await service.event_types(job_id)
    gate("cancelled-instant").set()


TYPE = "stepped-parent"


async def test_a_parked_parent_keeps_its_concurrency_key(service: Service) -> None:
    first = await submit(service, "stepped-parent", "key-1", "key-1", concurrencyKey="one")
    await until_parked(service, first)
    second = await submit(service, "stepped-parent", "key-2", concurrencyKey="one", jobs=[{"type": "echo"}])
    assert (await service.job(second))["waitingFor"] == "concurrency"
    gate("key-1").set()
    assert (await service.ended(first))["status"] == "completed"
    assert (await service.ended(second))["result"]["results"] == [{}]


async def test_a_parked_parent_survives_a_restart(database_url: str) -> None:
    async with running_service(database_url, handlers=HANDLERS, worker_slots=1) as service:
        job_id = await submit(service, "stepped-parent", "restart", "restart")
        await until_parked(service, job_id)
    gate("restart").set()
    async with running_service(database_url, handlers=HANDLERS, worker_slots=1) as service:
        view = await service.ended(job_id)
    assert view["result"] == {"results": ["restart"], "attempt": 1, "steps": [1, 1]}


async def test_several_waits_for_children_at_once_stay_in_memory_until_one_is_left(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, looks, both_wait = service.node.worker.child_results.last_unended, 0, asyncio.Event()

    async def looked(*given: Any, **more: Any) -> Any:
        """Lets no wait park the parent before the other has begun."""
        nonlocal looks
        looks += 1
        if looks == 2:
            both_wait.set()
        await both_wait.wait()
        return await look(*given, **more)

    monkeypatch.setattr(service.node.worker.child_results, "last_unended", looked)
    job_id = await submit(service, "stepped-parent-at-once", "at-once", "at-once-1", "at-once-2")
    await asyncio.wait_for(both_wait.wait(), 60)
    await asyncio.wait_for(has_entered("at-once-1").wait(), 60)
    async with asyncio.timeout(60):
        while in_memory(service) != (1, 2):
            await asyncio.sleep(0.02)
    assert await service.sql(PARKED, UUID(job_id)) == []
    gate("at-once-1").set()
    await until_parked(service, job_id)
    gate("at-once-2").set()
    assert (await service.ended(job_id))["result"]["results"] == ["at-once-1", "at-once-2"]


async def test_with_a_signal_beside_them_the_parent_parks_for_the_signal(service: Service) -> None:
    job_id = await submit(service, "stepped-parent-with-signal", "signal", "signal")
    await eventually(lambda: service.sql("select from scheduled where reason = $1", int(WaitReason.SIGNAL)))
    gate("signal").set()
    await service.client.post(f"/api/v1/jobs/{job_id}/signals/go", json=7)
    assert (await service.ended(job_id))["result"] == {"results": ["signal"], "answer": 7}


async def test_a_handler_without_steps_waits_in_memory(service: Service) -> None:
    child = {"type": "waits-at-a-gate", "parameters": {"gate": "plain"}}
    job_id = (await service.submit("parent", {"name": "plain", "jobs": [child]}))["jobId"]
    await has_entered("plain").wait()
    assert (await service.job(job_id))["status"] == "running"
    gate("plain").set()
    assert (await service.ended(job_id))["result"] == ["plain"]


async def test_a_child_of_a_parked_parent_may_be_a_dependency_of_others(service: Service) -> None:
    job_id = await submit(service, "stepped-parent", "shared", "shared")
    await until_parked(service, job_id)
    [(child, marks)] = await service.sql(
        "select job_id::text, marks from running union all select job_id::text, marks from ready"
    )
    assert marks & Mark.DEPENDED
    dependent = (await service.submit("echo", {}, dependsOn=[child]))["jobId"]
    gate("shared").set()
    views = await asyncio.gather(service.ended(job_id), service.ended(dependent))
    assert [view["status"] for view in views] == ["completed", "completed"]
