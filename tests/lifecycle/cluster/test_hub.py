"""The hub notifies exactly the followers of a job, and keeps nothing of those that have left."""

import asyncio
from uuid import UUID

from duly.lifecycle.cluster.hub import Hub

JOB, OTHER = UUID(int=1), UUID(int=2)
LONG, AT_ONCE = 10.0, 0.0


async def test_all_followers_of_a_job_and_nobody_else_have_news() -> None:
    hub = Hub()
    with hub.watch(JOB) as first, hub.watch(JOB) as second, hub.watch(OTHER) as other:
        hub.changed([JOB])
        assert await first.wait(timeout=LONG)
        assert await second.wait(timeout=LONG)
        assert not await other.wait(timeout=AT_ONCE)


async def test_a_follower_that_waits_is_woken() -> None:
    hub = Hub()
    with hub.watch(JOB) as watch:
        waiting = asyncio.create_task(watch.wait(timeout=LONG))
        await asyncio.sleep(0)
        hub.changed([OTHER, JOB])
        assert await waiting


async def test_news_that_came_while_nobody_waited_are_not_lost_and_add_up_to_one() -> None:
    hub = Hub()
    with hub.watch(JOB) as watch:
        for _ in range(1000):
            hub.changed([JOB])
        assert await watch.wait(timeout=AT_ONCE + LONG)
        assert not await watch.wait(timeout=AT_ONCE)


async def test_without_news_the_wait_ends_with_its_time() -> None:
    with Hub().watch(JOB) as watch:
        assert not await watch.wait(timeout=0.01)


async def test_nothing_is_kept_of_followers_that_have_gone() -> None:
    hub = Hub()
    with hub.watch(JOB), hub.watch(JOB):
        pass
    try:
        with hub.watch(OTHER):
            raise RuntimeError
    except RuntimeError:
        pass
    assert hub._watches == {}
    hub.changed([JOB, OTHER])


async def test_one_follower_may_go_while_another_stays() -> None:
    hub = Hub()
    with hub.watch(JOB) as stays:
        with hub.watch(JOB):
            pass
        hub.changed([JOB])
        assert await stays.wait(timeout=LONG)


async def test_a_hub_that_closes_wakes_all_and_whoever_comes_later() -> None:
    hub = Hub()
    with hub.watch(JOB) as before:
        hub.close()
        assert hub.closing
        assert await before.wait(timeout=LONG)
    with hub.watch(OTHER) as after:
        assert await after.wait(timeout=LONG)
