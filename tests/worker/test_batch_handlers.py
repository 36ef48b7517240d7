"""A batch handler gets many jobs in one call; each job keeps its own outcome, retries and events."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.api.queues.job_type_models import JobTypeBody
from duly.handlers.registry import Registry
from tests.support import batch_handlers as support
from tests.support import handlers as test_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually, running_service
from tests.support.timeouts import time_out
from tests.worker.test_watchdog import named as blockers_in

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.batch_handlers")


@pytest.fixture(autouse=True)
def remembering_nothing() -> Iterator[None]:
    """Opens the gate of plain functions at the end, so that no thread outlives its test."""
    support.forget()
    yield
    support.thread_gate.set()


@pytest.fixture
async def batching(start_service: StartService) -> Service:
    return await start_service(handlers=HANDLERS)


async def submit_each(service: Service, type_: str, items: list[dict[str, Any]], **members: Any) -> list[str]:
    """The jobs' ids, in the order of the items."""
    accepted = await asyncio.gather(*(service.submit(type_, item, **members) for item in items))
    return [job["jobId"] for job in accepted]


async def ended_each(service: Service, ids: list[str]) -> list[dict[str, Any]]:
    return list(await asyncio.gather(*(service.ended(job_id) for job_id in ids)))


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in names]


async def entered(name: str) -> None:
    await asyncio.wait_for(has_entered(name).wait(), 60)


async def until_running(service: Service, ids: list[str]) -> None:
    for job_id in ids:
        await service.until(job_id, lambda view: view["status"] == "running")


async def test_each_job_of_a_call_has_its_own_end(batching: Service) -> None:
    hows = {"good": "return", "later": "retry", "bad": "fail", "broken": "error"}
    ids = await submit_each(batching, "batch-ends", [{"name": name, "how": how} for name, how in hows.items()])
    good, later, bad, broken = ids

    view = await batching.ended(good)
    assert (view["status"], view["result"]) == ("completed", {"name": "good", "together": 4})
    assert support.calls == [sorted(hows)]
    view = await batching.ended(bad)
    assert (view["status"], view["error"]["code"], view["attempt"]) == ("failed", "CUSTOMER_UNKNOWN", 1)
    for job_id, message in ((later, "not yet"), (broken, "ValueError: it broke")):
        view = await batching.until(job_id, lambda view: view["waitingFor"] == "retry")
        assert (view["status"], view["attempt"]) == ("pending", 1)
        events = await batching.events(job_id)
        assert [event["eventType"] for event in events] == ["JobSubmitted", "JobStarted", "JobRetryScheduled"]
        assert events[2]["data"]["error"]["message"] == message
    assert await batching.event_types(good) == ["JobSubmitted", "JobStarted", "JobCompleted"]
    assert await batching.event_types(bad) == ["JobSubmitted", "JobStarted", "JobFailed"]


async def test_a_job_that_is_retried_joins_a_later_call(batching: Service) -> None:
    ids = await submit_each(batching, "batch-again", [{"name": "once"}, {"name": "twice", "how": "retry"}])
    once, twice = await ended_each(batching, ids)
    assert (once["attempt"], once["result"]) == (1, 1)
    assert (twice["attempt"], twice["result"]) == (2, 2)
    assert sorted(name for call in support.calls for name in call) == ["once", "twice", "twice"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("error", "ValueError: it broke"),
        ("exit", "SystemExit: a handler must not do this"),
        ("cancel", "RuntimeError: the handler cancelled itself"),
    ],
)
async def test_what_the_call_raises_fails_each_of_its_jobs_by_its_own_attempts(
    batching: Service, how: str, message: str
) -> None:
    last, more = await asyncio.gather(
        batching.submit("batch-raise", {"name": "last", "how": how}, maxAttempts=1),
        batching.submit("batch-raise", {"name": "more", "how": how}),
    )
    view = await batching.ended(last["jobId"])
    assert (view["status"], view["error"]["code"], view["error"]["message"]) == ("failed", "TASK_FAILED", message)
    await batching.until(more["jobId"], lambda view: view["waitingFor"] == "retry")
    assert support.calls == [["last", "more"]]


async def test_retry_and_fail_may_be_raised_for_all(batching: Service) -> None:
    ids = await submit_each(batching, "batch-raise", [{"name": name, "how": "fail"} for name in "ab"])
    assert [view["error"]["code"] for view in await ended_each(batching, ids)] == ["CUSTOMER_UNKNOWN"] * 2
    for job_id in await submit_each(batching, "batch-raise", [{"name": name, "how": "retry"} for name in "ab"]):
        await batching.until(job_id, lambda view: view["waitingFor"] == "retry")


async def test_exceptions_that_end_a_process_end_only_their_job_when_returned(batching: Service) -> None:
    hows = {"exits": "exit", "cancels": "cancel", "stays": "return", "too": "return"}
    items = [{"name": name, "how": how} for name, how in hows.items()]
    views = await ended_each(batching, await submit_each(batching, "batch-ends", items, maxAttempts=1))
    assert [view["status"] for view in views] == ["failed", "failed", "completed", "completed"]
    assert [view["error"]["message"] for view in views[:2]] == [
        "SystemExit: 3",
        "RuntimeError: the handler cancelled itself",
    ]


async def test_returning_none_is_a_null_for_each(batching: Service) -> None:
    views = await ended_each(batching, await submit_each(batching, "batch-returns", named("a", "b")))
    assert [(view["status"], view["result"]) for view in views] == [("completed", None)] * 2


async def test_a_tuple_is_as_good_as_a_list(batching: Service) -> None:
    ids = await submit_each(batching, "batch-returns", [{"name": name, "how": "tuple"} for name in "ab"])
    assert sorted(view["result"] for view in await ended_each(batching, ids)) == [1, 2]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("short", "the handler returned 1 items for 2 jobs"),
        ("long", "the handler returned 3 items for 2 jobs"),
        ("dict", "the handler returned dict, not a list with one item for each of its 2 jobs"),
        ("text", "the handler returned str, not a list with one item for each of its 2 jobs"),
    ],
)
async def test_what_cannot_be_shared_out_fails_all(batching: Service, how: str, message: str) -> None:
    ids = await submit_each(batching, "batch-returns", [{"name": name, "how": how} for name in "ab"])
    for view in await ended_each(batching, ids):
        assert (view["status"], view["attempt"]) == ("failed", 1)
        assert (view["error"]["code"], view["error"]["message"]) == ("RESULT_INVALID", message)


async def test_a_result_that_does_not_fit_fails_its_job_alone(batching: Service) -> None:
    hows = ["unfit", "nan", "return", "return"]
    ids = await submit_each(batching, "batch-ends", [{"name": str(n), "how": how} for n, how in enumerate(hows)])
    views = await ended_each(batching, ids)
    assert [view["status"] for view in views] == ["failed", "failed", "completed", "completed"]
    assert [view["error"]["code"] for view in views[:2]] == ["RESULT_INVALID"] * 2


async def test_parameters_that_do_not_fit_fail_their_job_before_the_call(start_service: StartService) -> None:
    accepting = await start_service(handlers=HANDLERS, roles=("api",))
    ids = await submit_each(accepting, "batch-ends", named("a", "b", "c", "d", "changed"))
    support.outlawed.add("changed")
    service = await start_service(handlers=HANDLERS)
    *good, changed = await ended_each(service, ids)
    assert [view["status"] for view in good] == ["completed"] * 4
    assert (changed["status"], changed["attempt"]) == ("failed", 1)
    assert "parameters.name: Value error, this name is outlawed" in changed["error"]["message"]
    assert support.calls == [["a", "b", "c", "d"]]


async def test_each_context_tells_of_its_own_job(batching: Service) -> None:
    with capture_logs() as logs:
        ids = await submit_each(batching, "batch-tells", named("a", "b", "c"))
        await ended_each(batching, ids)
    places = set()
    for name, job_id in zip("abc", ids, strict=True):
        events = await batching.events(job_id)
        assert [event["eventType"] for event in events[2:]] == ["JobProgressed", "JobCompleted"]
        places.add(events[2]["data"]["progress"])
        assert events[2]["data"]["message"] == f"{name} is number {events[2]['data']['progress']:g}"
    assert places == {0, 1, 2}
    told = {line["job_id"]: line["fields"]["item"] for line in logs if line.get("action") == "job_log"}
    assert told == dict(zip(ids, "abc", strict=True))


async def test_one_that_is_cancelled_ends_at_once_and_the_others_go_on(batching: Service) -> None:
    ids = await submit_each(batching, "batch-gate", named("a", "b", "c"))
    await entered("gate")
    assert (await batching.client.post(f"/api/v1/jobs/{ids[1]}/cancel")).status_code == 202
    assert (await batching.ended(ids[1]))["status"] == "cancelled"
    assert not has_entered("gate:went-on").is_set()
    gate("gate").set()
    first, _, last = await ended_each(batching, ids)
    assert [(view["status"], view["result"]) for view in (first, last)] == [("completed", "b")] * 2
    assert not has_entered("gate:cancelled").is_set()


async def test_one_that_times_out_ends_at_once_and_the_others_go_on(batching: Service) -> None:
    late = (await batching.submit("batch-gate", {"name": "late"}, timeoutSeconds=4))["jobId"]
    ids = await submit_each(batching, "batch-gate", named("a", "b"))
    view = await batching.ended(late)
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")
    assert support.calls == [["a", "b", "late"]]
    gate("gate").set()
    views = await ended_each(batching, ids)
    assert [(view["status"], view["result"]) for view in views] == [("completed", "late")] * 2


async def test_when_all_are_stopped_the_call_is_cancelled(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=3)
    ids = await submit_each(service, "batch-gate", named("a", "b", "c"))
    await entered("gate")
    for job_id in ids[:2]:
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
        await service.ended(job_id)
    assert not has_entered("gate:cancelled").is_set()
    await service.client.post(f"/api/v1/jobs/{ids[2]}/cancel")
    assert (await service.ended(ids[2]))["status"] == "cancelled"
    await entered("gate:cancelled")
    gate("gate").set()
    views = await ended_each(service, await submit_each(service, "batch-gate", named("d", "e", "f")))
    assert [view["status"] for view in views] == ["completed"] * 3


async def test_a_call_that_will_not_stop_keeps_one_slot_until_it_ends(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=2)
    first, last = await submit_each(service, "batch-stubborn", named("a", "b"))
    await entered("stubborn")
    try:
        for job_id in (first, last):
            await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert (await service.ended(first))["status"] == "cancelled"
        await entered("stubborn:cancelled")
        assert [str(job_id) for job_id in service.node.worker.pool._attempts] == [last]
        assert (await service.run("echo"))["status"] == "completed"
        assert (await service.job(last))["status"] == "running"
    finally:
        gate("stubborn").set()
    assert (await service.ended(last))["status"] == "cancelled"


async def test_the_first_waits_for_more_until_the_slots_are_full(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=4)
    linger_for_an_hour(service, "batch-fills")
    first = await submit_each(service, "batch-fills", named("a"))
    await until_running(service, first)
    more = await submit_each(service, "batch-fills", named("b", "c"))
    await until_running(service, more)
    assert support.calls == []
    last = await submit_each(service, "batch-fills", named("d"))
    await ended_each(service, first + more + last)
    assert support.calls == [["a", "b", "c", "d"]]


def linger_for_an_hour(service: Service, job_type: str) -> None:
    """Lets the calls of a type begin only when they are full. A registration may not ask for that."""
    handlers = dict(service.node.registry)
    batch = handlers[job_type].batch
    assert batch is not None
    handlers[job_type] = replace(handlers[job_type], batch=replace(batch, linger_seconds=3600.0))
    service.node.registry.replace(Registry(handlers.values()))


async def test_the_first_waits_no_longer_than_it_lingers(batching: Service) -> None:
    assert (await batching.run("batch-lingers", {"name": "alone"}))["status"] == "completed"
    assert support.calls == [["alone"]]


async def test_one_stopped_while_it_lingers_is_not_in_the_call(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=3)
    gone = (await submit_each(service, "batch-fills", named("gone")))[0]
    await until_running(service, [gone])
    await service.client.post(f"/api/v1/jobs/{gone}/cancel")
    assert (await service.ended(gone))["status"] == "cancelled"
    await ended_each(service, await submit_each(service, "batch-fills", named("a", "b", "c")))
    assert support.calls == [["a", "b", "c"]]


async def test_never_more_than_the_batch_are_in_a_call_and_all_are_in_one(start_service: StartService) -> None:
    accepting = await start_service(handlers=HANDLERS, roles=("api",))
    names = [f"job-{number:02}" for number in range(20)]
    ids = await submit_each(accepting, "batch-small", named(*names))
    await start_service(handlers=HANDLERS)
    await ended_each(accepting, ids)
    assert sorted(name for call in support.calls for name in call) == names
    assert max(len(call) for call in support.calls) == 3


async def test_calls_of_a_type_run_beside_each_other(batching: Service) -> None:
    ids = []
    for key in ("one", "two"):
        ids += await submit_each(batching, "batch-gate", [{"name": f"{key}-{n}", "gate": key} for n in range(3)])
        await entered(key)
    assert [len(call) for call in support.calls] == [3, 3]
    gate("one").set()
    gate("two").set()
    assert {view["status"] for view in await ended_each(batching, ids)} == {"completed"}


async def test_a_plain_function_gets_them_in_a_thread(batching: Service) -> None:
    items = [{"name": "a"}, {"name": "b", "how": "fail"}, {"name": "c"}]
    ids = await submit_each(batching, "batch-plain", items)
    first, bad, last = await ended_each(batching, ids)
    assert (first["result"], last["result"]) == ({"name": "a", "together": 3}, {"name": "c", "together": 3})
    assert bad["error"]["code"] == "CUSTOMER_UNKNOWN"
    for job_id in ids:
        told = (await batching.events(job_id))[2]
        assert (told["eventType"], told["data"]["message"]) == ("JobProgressed", "False")


async def test_a_thread_that_nobody_waits_for_keeps_one_slot_until_it_ends(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, worker_slots=2)
    ids = await submit_each(service, "batch-plain-block", named("a", "b"))
    assert await asyncio.to_thread(support.thread_entered.wait, 60)
    for job_id in ids:
        await time_out(service, job_id)
    assert [view["error"]["code"] for view in await ended_each(service, ids)] == ["TIMED_OUT"] * 2
    executors = service.node.worker.pool._executors
    assert executors.abandoned_threads == 1
    assert (await service.run("echo"))["status"] == "completed"
    support.thread_gate.set()

    async def given_back() -> bool:
        return executors.abandoned_threads == 0

    await eventually(given_back)


@pytest.mark.parametrize("names", [["lingers"], ["a", "b", "c"]], ids=["while it gathers", "while it runs"])
async def test_a_node_that_goes_down_gives_its_batch_back_uncharged(database_url: str, names: list[str]) -> None:
    async with running_service(database_url, handlers=HANDLERS) as service:
        ids = await submit_each(service, "batch-gate", named(*names))
        await until_running(service, ids)
        if len(names) == 3:
            await entered("gate")
    assert has_entered("gate:cancelled").is_set() is (len(names) == 3)
    rows = await service.sql("select attempt, token, crashes from ready")
    assert [tuple(row) for row in rows] == [(0, 1, 0)] * len(names)
    assert await service.sql("select from running") == []


async def test_a_batch_ends_within_the_grace(database_url: str) -> None:
    async with running_service(database_url, handlers=HANDLERS, shutdown_grace_seconds=20) as service:
        ids = await submit_each(service, "batch-gate", named("a", "b", "c"))
        await entered("gate")
        draining = asyncio.create_task(service.node.drain())
        await asyncio.wait([service.node.loops.task("claim")], timeout=60)
        gate("gate").set()
        await asyncio.wait_for(draining, 60)
        assert [(await service.job(job_id))["status"] for job_id in ids] == ["completed"] * 3


async def test_a_call_that_blocks_the_loop_is_named(batching: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        monkeypatch.setattr(test_handlers, "loop_may_go_on", lambda: bool(blockers_in(logs)))
        await batching.run("batch-block-loop", {"name": "blocks"})
    # Each node in this process names it, and those of other tests may still run. A machine may block it as well.
    assert {line["job_type"] for line in blockers_in(logs)} == {"batch-block-loop"}


async def test_its_job_type_shows_how_many_one_call_takes(batching: Service) -> None:
    answer = await batching.client.get("/api/v1/job-types/batch-lingers")
    JobTypeBody.model_validate_json(answer.content, strict=True)
    body = answer.json()
    assert body["batch"] == {"size": 100, "lingerSeconds": 0.05}
    assert body["parametersSchema"]["required"] == ["name"]
    assert (await batching.client.get("/api/v1/job-types/echo")).json()["batch"] is None
