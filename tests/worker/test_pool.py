"""A node runs one job in each slot, by priority and age, and only types that it knows."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support import handlers as support
from tests.support.service import Service, eventually

StartService = Callable[..., Awaitable[Service]]


async def no_job_left(service: Service, ended: int) -> None:
    async def look() -> bool:
        count = await service.sql("select count(*) from events where kind >= 10")
        return bool(count[0][0] == ended)

    await eventually(look)


async def submit_all(service: Service, submissions: list[dict[str, Any]]) -> None:
    for submission in submissions:
        await service.submit(**submission)


async def test_never_more_run_at_once_than_there_are_slots(start_service: StartService) -> None:
    support.most_at_once.update(now=0, most=0)
    service = await start_service(worker_slots=3)
    await asyncio.gather(*(service.submit("counted" if n % 2 else "counted-plain") for n in range(60)))
    await no_job_left(service, 60)
    assert support.most_at_once == {"now": 0, "most": 3}


async def test_jobs_of_a_lane_start_in_the_order_of_their_submission(start_service: StartService) -> None:
    waiting = await start_service(roles=("api",))
    await submit_all(waiting, [{"type_": "in-order", "parameters": {"n": n}} for n in range(30)])
    service = await start_service(worker_slots=1)
    await no_job_left(service, 30)
    assert support.calls["in-order"] == list(range(30))


async def test_higher_priorities_start_first(start_service: StartService) -> None:
    waiting = await start_service(roles=("api",))
    priorities = [0, -100, 5, 100, 0, 5]
    await submit_all(
        waiting,
        [{"type_": "in-order", "parameters": {"n": n}, "priority": priority} for n, priority in enumerate(priorities)],
    )
    service = await start_service(worker_slots=1)
    await no_job_left(service, len(priorities))
    assert support.calls["in-order"] == [3, 2, 5, 0, 4, 1]


async def test_a_type_that_a_node_does_not_know_is_left_for_one_that_does(start_service: StartService) -> None:
    knows = await start_service(roles=("api",))
    lacks = await start_service(handlers=())
    foreign = (await knows.submit("in-order", {"n": 1}))["jobId"]
    own = (await knows.submit("echo"))["jobId"]
    assert (await lacks.ended(own))["status"] == "completed"
    view = (await lacks.client.get(f"/api/v1/jobs/{foreign}", params={"wait": 2})).json()
    assert (view["status"], view["attempt"]) == ("pending", 0)
    runs = await start_service()
    assert (await runs.ended(foreign))["status"] == "completed"


@pytest.mark.parametrize("slots", [1, 4])
async def test_two_nodes_share_the_work_and_run_nothing_twice(start_service: StartService, slots: int) -> None:
    first = await start_service(worker_slots=slots)
    second = await start_service(worker_slots=slots)
    await asyncio.gather(
        *((first, second)[n % 2].submit("in-order", {"n": n}) for n in range(60)),
    )
    await no_job_left(first, 60)
    assert sorted(support.calls["in-order"]) == list(range(60))
    assert await first.sql("select from events where kind in (3, 4, 6)") == []
