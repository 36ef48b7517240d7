"""Circuit breakers: a type that keeps failing is not claimed on any node, then tried one job at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from duly import CircuitBreaker, HandlerError, Handlers
from duly.lifecycle.claim.claim import Claimant
from tests.support import flow_control_handlers
from tests.support.handlers import gate, has_entered
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.flow_control_handlers")


@pytest.fixture(autouse=True)
def _fresh_counts() -> None:
    flow_control_handlers.forget_counts()


@pytest.fixture
async def service(start_service: StartService) -> Service:
    return await start_service(handlers=HANDLERS)


async def breaker(service: Service, job_type: str = "guarded") -> Any:
    answer = await service.client.get(f"/api/v1/job-types/{job_type}")
    assert answer.status_code == 200, answer.text
    return answer.json()["breaker"]


async def is_state(service: Service, state: str, job_type: str = "guarded") -> bool:
    return bool((await breaker(service, job_type))["state"] == state)


async def counted(service: Service, failures: int, job_type: str = "guarded") -> bool:
    return bool((await breaker(service, job_type))["failures"] == failures)


async def opened(service: Service) -> None:
    """Three failures of a kind, and what they lead to, on all nodes that hear hints."""
    flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
    for _ in range(3):
        assert (await service.run("guarded"))["status"] == "failed"
    await eventually(lambda: is_state(service, "open"))


async def due(service: Service) -> None:
    """The breaker has been open for long enough."""
    await service.sql("update breakers set probe_at = now() - interval '1 second' where state <> 0")
    await service.sql("update control set version = version + 1")  # it is looked at again at once


async def test_it_opens_after_failures_of_one_kind_in_a_row_and_holds_the_type_back(service: Service) -> None:
    assert await breaker(service) == {"state": "closed", "failures": 0, "code": None, "openUntil": None}
    await opened(service)
    shown = await breaker(service)
    assert shown["failures"] == 3
    assert shown["openUntil"].endswith("Z")
    held_back = await service.submit("guarded")
    assert (await service.run("unguarded"))["status"] == "completed"
    assert (await service.job(held_back["jobId"]))["waitingFor"] == "worker"
    assert await service.sql("select from running") == []


async def test_every_attempt_counts_not_every_job(service: Service) -> None:
    job = await service.submit("guarded-retried")
    await eventually(lambda: counted(service, 1, "guarded-retried"))
    await service.make_due()
    await eventually(lambda: is_state(service, "open", "guarded-retried"))
    await service.make_due()
    view = await service.until(job["jobId"], lambda view: view["waitingFor"] == "worker")
    assert view["attempt"] == 2
    assert (await service.run("unguarded"))["status"] == "completed"
    assert (await service.job(job["jobId"]))["attempt"] == 2


async def test_a_success_begins_the_count_anew(service: Service) -> None:
    for _ in range(2):
        flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
        for _ in range(2):
            await service.run("guarded")
        await eventually(lambda: counted(service, 2))
        flow_control_handlers.trouble.clear()
        await service.run("guarded")
        await eventually(lambda: counted(service, 0))
    assert (await breaker(service))["state"] == "closed"


async def test_failures_of_different_kinds_do_not_add_up(service: Service) -> None:
    for code, failures in (("ONE", 1), ("ONE", 2), ("OTHER", 1), ("OTHER", 2), ("ONE", 1)):
        flow_control_handlers.trouble["guarded"] = code
        await service.run("guarded")
        await eventually(partial(counted, service, failures))
    assert (await breaker(service))["state"] == "closed"


async def test_with_codes_only_these_count(service: Service) -> None:
    async def fail(code: str) -> None:
        flow_control_handlers.trouble["guarded-by-code"] = code
        await service.run("guarded-by-code")

    await fail("UPSTREAM_DOWN")
    await eventually(lambda: counted(service, 1, "guarded-by-code"))
    await fail("CUSTOMER_UNKNOWN")
    await fail("CUSTOMER_UNKNOWN")
    await fail("UPSTREAM_DOWN")
    await eventually(lambda: is_state(service, "open", "guarded-by-code"))


async def test_failures_on_all_nodes_add_up_and_all_hold_back(start_service: StartService) -> None:
    one = await start_service(handlers=HANDLERS)
    other = await start_service(handlers=HANDLERS)
    flow_control_handlers.trouble["guarded"] = "UPSTREAM_DOWN"
    for service in (one, other, one):
        await service.run("guarded")
    await eventually(lambda: is_state(other, "open"))
    jobs = [await service.submit("guarded") for service in (one, other)]
    for service in (one, other):
        assert (await service.run("unguarded"))["status"] == "completed"
    for job in jobs:
        assert (await one.job(job["jobId"]))["status"] == "pending"


async def test_when_its_time_is_over_one_job_is_let_through_and_its_success_lets_all_go_on(
    start_service: StartService,
) -> None:
    services = [await start_service(handlers=HANDLERS) for _ in range(3)]
    await opened(services[0])
    flow_control_handlers.trouble.clear()
    names = [f"probe-{number}" for number in range(6)]
    jobs = [
        await services[number % 3].submit("guarded", {"name": name}, maxAttempts=1) for number, name in enumerate(names)
    ]
    await due(services[0])
    async with asyncio.timeout(60):
        await has_entered(names[0]).wait()
    assert await is_state(services[1], "half-open")
    await services[0].sql(  # it began long ago
        "update events set occurred_at = occurred_at - interval '1 minute' where job_id in (select job_id from running)"
    )
    await services[0].sql("update control set version = version + 1")
    for service in services:
        await service.node.worker.claimer.refresh()
        assert await service.node.worker.claimer.claim(9, by=Claimant(service.node.node_id, "test")) == []
    assert [has_entered(name).is_set() for name in names] == [True] + [False] * 5
    gate(names[0]).set()
    for name in names[1:]:
        gate(name).set()
    for job in jobs:
        assert (await services[0].ended(job["jobId"]))["status"] == "completed"
    assert await breaker(services[0]) == {"state": "closed", "failures": 0, "code": None, "openUntil": None}


async def test_never_do_two_run_on_trial(start_service: StartService) -> None:
    """Trial jobs are let through one after the other; each is cancelled, which decides nothing."""
    services = [await start_service(handlers=HANDLERS) for _ in range(3)]
    await opened(services[0])
    flow_control_handlers.most.clear()
    jobs = [await services[number % 3].submit("guarded", {"name": f"probe-{number}"}) for number in range(6)]
    await due(services[0])
    for number, job in enumerate(jobs):
        async with asyncio.timeout(60):
            await has_entered(f"probe-{number}").wait()
        await services[0].client.post(f"/api/v1/jobs/{job['jobId']}/cancel")
        assert (await services[0].ended(job["jobId"]))["status"] == "cancelled"
    assert flow_control_handlers.most["guarded"] == 1
    assert await is_state(services[0], "half-open")


async def test_the_failure_of_the_one_that_was_let_through_opens_it_again(service: Service) -> None:
    await opened(service)
    first = await service.submit("guarded")
    second = await service.submit("guarded")
    await due(service)
    assert (await service.ended(first["jobId"]))["status"] == "failed"
    await eventually(lambda: is_state(service, "open"))
    assert (await breaker(service))["failures"] == 4
    assert (await service.job(second["jobId"]))["status"] == "pending"


async def test_it_is_open_after_a_restart_too(start_service: StartService) -> None:
    first = await start_service(handlers=HANDLERS)
    await opened(first)
    second = await start_service(handlers=HANDLERS)
    job = await second.submit("guarded")
    assert (await second.run("unguarded"))["status"] == "completed"
    assert (await second.job(job["jobId"]))["status"] == "pending"


async def test_a_breaker_that_is_no_longer_declared_holds_nothing_back(service: Service) -> None:
    await service.sql(
        "insert into breakers (type, state, failures, code, opened_at, probe_at) "
        "values ('unguarded', 1, 9, 'OLD', now(), now() + interval '1 day')"
    )
    await service.sql("update control set version = version + 1")
    assert (await service.run("unguarded"))["status"] == "completed"


async def test_of_types_without_a_breaker_nothing_is_counted(service: Service) -> None:
    flow_control_handlers.trouble["unguarded"] = "UPSTREAM_DOWN"
    for _ in range(3):
        assert (await service.run("unguarded", maxAttempts=1))["status"] == "failed"
    assert await breaker(service, "unguarded") is None
    assert await service.sql("select from breakers") == []


async def test_metrics_and_the_list_of_types_show_it(service: Service) -> None:
    await opened(service)
    await service.node.worker.claimer.refresh()
    assert 'duly_breaker_open{type="guarded"} 1.0' in (await service.client.get("/metrics")).text
    listed = (await service.client.get("/api/v1/job-types", params={"limit": 200})).json()["items"]
    states = {each["type"]: each["breaker"] and each["breaker"]["state"] for each in listed}
    assert (states["guarded"], states["guarded-by-code"], states["echo"]) == ("open", "closed", None)
    flow_control_handlers.trouble.clear()
    job = await service.submit("guarded")
    await due(service)
    await service.ended(job["jobId"])
    await eventually(lambda: is_state(service, "closed"))
    await service.node.worker.claimer.refresh()
    assert 'duly_breaker_open{type="guarded"} 0.0' in (await service.client.get("/metrics")).text


def test_what_is_no_breaker_is_refused() -> None:
    handlers = Handlers()
    with pytest.raises(HandlerError, match="CircuitBreaker"):
        handlers.register("any", breaker=5)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="failures"):
        CircuitBreaker(failures=0)


@pytest.mark.parametrize("members", [{"onExhausted": "hold"}, {"parameters": {"step": True}}])
async def test_a_failure_counts_where_the_job_is_held_or_compensates_first(
    service: Service, members: dict[str, Any]
) -> None:
    job = {"type": "guarded-steps", "maxAttempts": 1, **members}
    assert (await service.client.post("/api/v1/jobs", json=job)).status_code == 202
    await eventually(lambda: counted(service, 1, "guarded-steps"))
