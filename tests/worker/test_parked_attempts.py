"""A handler that waits for its children has no slot, and can be stopped like any other attempt."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from duly.lifecycle.read import wait
from duly.lifecycle.run import child_jobs
from duly.lifecycle.submit.queue_limit import insert_within_limit
from duly.worker import parked_attempts
from tests.support import handlers as support
from tests.support import parent_handlers
from tests.support.service import Service, eventually
from tests.support.timeouts import time_out

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.parent_handlers")
DEAD_NODE = """
insert into nodes (node_id, name, version, roles, job_types, heartbeat_at)
values ($1, 'dead', '0', '{}', '{}', now() - interval '1 hour')
"""
BY_AND_BY = {"type": "echo", "delay_seconds": 3600}


@pytest.fixture(autouse=True)
def no_children_yet() -> None:
    parent_handlers.submitted.clear()


def gated(name: str) -> dict[str, Any]:
    return {"type": "wait-for-gate", "parameters": {"name": name}}


async def begin(service: Service, type_: str, name: str, *jobs: dict[str, Any], **parameters: Any) -> str:
    """Submits a parent and waits until it has submitted its children, or is about to."""
    accepted = await service.submit(type_, {"name": name, "jobs": list(jobs), **parameters})
    await asyncio.wait_for(support.has_entered(name).wait(), 60)
    job_id: str = accepted["jobId"]
    return job_id


async def waits(service: Service, attempts: int = 1) -> None:
    """Returns once this number of attempts are parked."""

    async def look() -> bool:
        return len(service.node.worker.parked_attempts) == attempts

    await eventually(look)


async def waits_in(service: Service, attempt: int) -> None:
    """Returns once the only parked attempt is the one of this number."""

    async def look() -> bool:
        return [each.claimed.attempt for each in service.node.worker.parked_attempts.waiting_parts] == [attempt]

    await eventually(look)


async def all_over(service: Service) -> None:
    """Returns True if nothing is kept of finished waits."""
    assert (
        len(service.node.worker.parked_attempts),
        service.node.worker.parked_attempts.returning,
        len(service.node.hub.followed),
    ) == (0, 0, 0)


async def children_of(service: Service, parent: str) -> list[str]:
    rows = await service.sql("select job_id::text from jobs where parent_id = $1 order by job_id", UUID(parent))
    return [row[0] for row in rows]


@pytest.mark.parametrize("type_", ["tree", "tree-in-threads"])
async def test_with_one_slot_parents_children_and_their_children_end(start_service: StartService, type_: str) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    view = await service.run(type_, {"depth": 3, "width": 2})
    assert (view["status"], view["result"]) == ("completed", 15)
    await all_over(service)


async def test_a_hundred_parents_share_one_slot_with_their_children(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    parameters = {"jobs": [{"type": "echo", "parameters": {"n": 1}}]}
    accepted = [await service.submit("parent", parameters) for _ in range(100)]
    for one in accepted:
        view = await service.ended(one["jobId"])
        assert (view["status"], view["attempt"], view["result"]) == ("completed", 1, [{"n": 1}])
    await all_over(service)


async def test_a_handler_that_waits_for_two_at_once_does_not_hold_the_slot_that_one_needs(
    start_service: StartService,
) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    jobs = [{"type": "sleep", "parameters": {"seconds": n / 100, "steps": 1}} for n in range(1, 6)]
    view = await service.run("parent-at-once", {"jobs": jobs})
    assert (view["status"], len(view["result"])) == ("completed", 5)
    await all_over(service)


@pytest.mark.parametrize("slots", [1, 2, 5])
async def test_the_parents_of_one_call_wait_each_for_its_own(start_service: StartService, slots: int) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=slots)
    accepted = [
        await service.submit("parents", {"name": f"p{n}", "jobs": [{"type": "echo", "parameters": {"n": n}}]})
        for n in range(7)
    ]
    views = [await service.ended(one["jobId"]) for one in accepted]
    assert [view["result"] for view in views] == [{"n": n} for n in range(7)]
    await all_over(service)


async def test_no_more_run_at_once_than_there_are_slots_however_many_wait(start_service: StartService) -> None:
    support.most_at_once.update(now=0, most=0)
    service = await start_service(handlers=HANDLERS, worker_slots=3)
    types = ["counted-parent", "counted-parent-in-thread"] * 10
    for one in [await service.submit(type_) for type_ in types]:
        assert (await service.ended(one["jobId"]))["status"] == "completed"
    assert support.most_at_once == {"now": 0, "most": 3}


async def test_while_a_handler_waits_others_have_its_slot(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    parent = await begin(service, "parent", "parent", BY_AND_BY)
    await waits(service)
    assert (await service.run("echo"))["status"] == "completed"
    await service.node.worker.pool.watch()
    figures = (await service.client.get("/metrics")).text
    assert "\nduly_worker_slots_busy 0.0\n" in figures
    assert "\nduly_worker_waiting 1.0\n" in figures
    assert (await service.job(parent))["status"] == "running"
    await service.client.post(f"/api/v1/jobs/{parent}/cancel")
    assert (await service.ended(parent))["status"] == "cancelled"
    await all_over(service)


async def test_who_can_go_on_gets_the_next_slot_before_what_is_ready(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    parent = await begin(service, "parent", "parent", BY_AND_BY, catch=True)
    await waits(service)
    await service.submit("wait-for-gate", {"name": "slot"})
    await asyncio.wait_for(support.has_entered("slot").wait(), 60)
    for n in range(3):
        last = await service.submit("in-order", {"n": n})
    [child] = await children_of(service, parent)
    await service.client.post(f"/api/v1/jobs/{child}/cancel")

    async def could_go_on() -> bool:
        return service.node.worker.parked_attempts.returning == 1

    await eventually(could_go_on)
    support.gate("slot").set()
    assert (await service.ended(parent))["result"]["code"] == "CANCELLED"
    await service.ended(last["jobId"])
    assert support.calls["in-order"] == [-1, 0, 1, 2]
    await all_over(service)


async def test_who_gives_up_its_wait_goes_on(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    view = await service.run("impatient-parent", {"jobs": [BY_AND_BY]})
    assert view["result"] == "went on without it"
    await all_over(service)


async def test_an_end_that_no_hint_told_of_is_seen_nonetheless(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wait, "LOOK_SECONDS", 0.2)
    service = await start_service(handlers=HANDLERS)
    service.node.wakeups.local.changed = lambda _: None
    view = await service.run("parent", {"jobs": [{"type": "sleep", "parameters": {"seconds": 0.3}}]})
    assert view["status"] == "completed"


async def test_a_wait_outlives_its_connections(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS)
    parent = await begin(service, "parent", "parent", gated("child"), {"type": "echo"})
    await waits(service)
    cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'duly' and datname = $1"
    await service.sql(cut, service.database_url.rpartition("/")[2].partition("?")[0])
    support.gate("child").set()
    assert (await service.ended(parent))["result"] == ["let go", {}]


async def test_the_timeout_runs_while_it_waits_and_the_next_attempt_finds_the_child(
    start_service: StartService,
) -> None:
    service = await start_service(handlers=HANDLERS)
    parameters = {"name": "hurried", "jobs": [gated("slow")]}
    parent = (await service.submit("parent", parameters, timeoutSeconds=600, maxAttempts=2))["jobId"]
    await asyncio.wait_for(support.has_entered("slow").wait(), 60)
    for attempt in (1, 2):
        await waits_in(service, attempt)
        await time_out(service, parent)
    view = await service.ended(parent)
    assert (view["status"], view["attempt"], view["error"]["code"]) == ("failed", 2, "TIMED_OUT")
    first, second = parent_handlers.submitted["hurried"]
    assert first == second == await children_of(service, view["jobId"])
    assert (await service.job(first[0]))["status"] == "running"  # a parent's failure is not its children's
    support.gate("slow").set()
    assert (await service.ended(first[0]))["result"] == "let go"
    await all_over(service)


@pytest.mark.parametrize("type_", ["parent", "parent-thread", "parents", "parent-of-many"])
async def test_cancelling_a_parent_that_waits_cancels_its_children(start_service: StartService, type_: str) -> None:
    service = await start_service(handlers=HANDLERS)
    parent = await begin(service, type_, "parent", gated("child"), BY_AND_BY)
    await asyncio.wait_for(support.has_entered("child").wait(), 60)
    await waits(service)
    assert (await service.client.post(f"/api/v1/jobs/{parent}/cancel")).status_code == 202
    assert (await service.ended(parent))["status"] == "cancelled"
    found = await children_of(service, parent)
    assert found
    for child in found:
        assert (await service.ended(child))["status"] == "cancelled"

    async def nobody_waits() -> bool:
        return len(service.node.worker.parked_attempts) + len(service.node.hub.followed) == 0

    await eventually(nobody_waits)

    async def all_are_free() -> bool:  # the thread of a plain function may be unwound a moment later
        return service.node.worker.pool._slots.free == 100

    await eventually(all_are_free)


async def test_children_that_run_on_another_node_are_cancelled_too(start_service: StartService) -> None:
    first = await start_service(handlers=HANDLERS)
    parent = await begin(first, "parent-when-let", "parent", gated("far"))
    first.node.worker.pool.stop_claiming()
    second = await start_service(handlers=HANDLERS)
    support.gate("parent").set()
    await asyncio.wait_for(support.has_entered("far").wait(), 60)
    [row] = await first.sql("select node_id, job_id::text from running where job_id <> $1", UUID(parent))
    assert row[0] == second.node.node_id
    await first.client.post(f"/api/v1/jobs/{parent}/cancel")
    assert (await first.ended(parent))["status"] == "cancelled"
    assert (await second.ended(row[1]))["status"] == "cancelled"


async def test_a_child_that_runs_on_another_node_is_waited_for(start_service: StartService) -> None:
    first = await start_service(handlers=HANDLERS)
    parent = await begin(first, "parent-when-let", "parent", gated("far"))
    first.node.worker.pool.stop_claiming()
    second = await start_service(handlers=HANDLERS)
    support.gate("parent").set()
    await asyncio.wait_for(support.has_entered("far").wait(), 60)
    support.gate("far").set()
    assert (await second.ended(parent))["result"] == "let go"


async def test_a_handler_that_is_being_cancelled_submits_no_more(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS)
    parent = await begin(service, "parent-after-its-cancellation", "parent", {"type": "echo"})
    await service.client.post(f"/api/v1/jobs/{parent}/cancel")
    await asyncio.wait_for(support.has_entered("parent:over").wait(), 60)
    assert (await service.ended(parent))["status"] == "cancelled"
    assert support.calls == {'job.submit("echo"): the job is being cancelled': [1]}
    assert await children_of(service, parent) == []


async def test_a_child_that_was_recorded_while_its_parent_was_being_cancelled_is_cancelled(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start_service(handlers=HANDLERS)
    parent = await begin(service, "parent-when-let", "parent", BY_AND_BY)

    async def cancelled_meanwhile(*arguments: Any, **named: Any) -> Any:
        answers = await insert_within_limit(*arguments, **named)
        await service.node.canceller.cancel(1, UUID(parent))  # it sees no child: that is not committed yet
        return answers

    monkeypatch.setattr(child_jobs, "insert_within_limit", cancelled_meanwhile)
    support.gate("parent").set()
    assert (await service.ended(parent))["status"] == "cancelled"
    [child] = await eventually(lambda: children_of(service, parent))  # the child's transaction ends after the parent's
    assert (await service.ended(child))["status"] == "cancelled"


async def test_an_attempt_that_lost_its_job_submits_nothing_and_is_interrupted(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS)
    parent = await begin(service, "parent-when-let", "lost", {"type": "echo", "parameters": {"n": 1}})
    dead = uuid4()
    await service.sql(DEAD_NODE, dead)
    await service.sql("update running set node_id = $1 where job_id = $2", dead, UUID(parent))
    await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)

    async def run_again() -> bool:
        return support.calls["lost"] == [1, 2]

    await eventually(run_again)
    support.gate("lost").set()
    view = await service.ended(parent)
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 2, {"n": 1})

    async def interrupted() -> Any:
        return support.calls.get("lost: CancelledError")

    assert await eventually(interrupted) == [1]
    assert len(await children_of(service, parent)) == 1


@pytest.mark.parametrize("type_", ["parent", "parent-thread"])
async def test_where_too_many_wait_one_runs_again_later_and_is_not_charged(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, type_: str
) -> None:
    monkeypatch.setattr(parked_attempts, "AGAIN_SECONDS", 0.02)
    service = await start_service(handlers=HANDLERS, waiting_attempts=1)
    first = await begin(service, type_, "first", gated("first-child"))
    await waits(service)
    second = await begin(service, type_, "second", gated("second-child"))

    async def sent_back() -> bool:
        return "JobRequeued" in await service.event_types(second)

    await eventually(sent_back)
    support.gate("first-child").set()
    support.gate("second-child").set()
    for parent in (first, second):
        view = await service.ended(parent)
        assert (view["status"], view["attempt"], view["result"]) == ("completed", 1, ["let go"])
        assert len(await children_of(service, parent)) == 1
    [event] = [event for event in await service.events(second) if event["eventType"] == "JobRequeued"][:1]
    assert event["data"]["reason"] == "too many attempts on the node wait for other jobs"
    await all_over(service)


async def test_plain_functions_that_wait_are_fewer_for_each_keeps_a_thread(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parked_attempts, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(parked_attempts, "MOST_THREADS", 1)
    service = await start_service(handlers=HANDLERS)
    await begin(service, "parent-thread", "first", gated("child"))
    await begin(service, "parent", "other", gated("child"))
    await waits(service, 2)
    second = await begin(service, "parent-thread", "second", gated("child"))

    async def sent_back() -> bool:
        return "JobRequeued" in await service.event_types(second)

    await eventually(sent_back)
    support.gate("child").set()
    assert (await service.ended(second))["status"] == "completed"


async def test_a_shutdown_does_not_wait_for_those_who_wait(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, shutdown_grace_seconds=100)
    parent = await begin(service, "parent", "parent", BY_AND_BY)
    await waits(service)
    await asyncio.wait_for(service.node.drain(), 60)
    assert [tuple(row) for row in await service.sql("select attempt, token from ready")] == [(0, 1)]
    other = await start_service(handlers=HANDLERS)
    await other.sql("update scheduled set run_at = now()")
    view = await other.ended(parent)
    assert (view["status"], view["attempt"], view["result"]) == ("completed", 1, [{}])
    first, second = parent_handlers.submitted["parent"]
    assert first == second


async def test_a_shutdown_lets_a_child_and_then_its_parent_end(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, shutdown_grace_seconds=100)
    parent = await begin(service, "parent", "parent", gated("child"))
    await asyncio.wait_for(support.has_entered("child").wait(), 60)
    await waits(service)
    draining = asyncio.create_task(service.node.drain())
    while not service.node.draining:
        await asyncio.sleep(0)
    support.gate("child").set()
    await asyncio.wait_for(draining, 60)
    [row] = await service.sql("select kind from events where job_id = $1 order by sequence desc limit 1", UUID(parent))
    assert row[0] in {6, 10}  # its child's end may come too late for it


async def test_waiting_for_a_slot_does_not_count_to_the_timeout(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=1)
    parent = await begin(service, "parent", "returns", BY_AND_BY)
    await waits(service)
    held = (await service.submit("wait-for-gate", {"name": "held"}))["jobId"]
    await asyncio.wait_for(support.has_entered("held").wait(), 60)
    [child] = await children_of(service, parent)
    await service.client.post(f"/api/v1/jobs/{child}/cancel")

    async def its_deadline_stands_still() -> bool:
        [[hours]] = await service.sql(
            "select extract(epoch from deadline - started_at)::float8 / 3600 from running where job_id = $1",
            UUID(parent),
        )
        return bool(hours > 20)

    await eventually(its_deadline_stands_still)
    attempt = service.node.worker.pool._attempts[UUID(parent)]
    support.gate("held").set()
    await service.ended(held)
    await service.ended(parent)
    assert attempt.deadline - asyncio.get_running_loop().time() < 2 * 3600
    await all_over(service)
