"""Waiting for a job: a wake-up ends the wait early, and a lost wake-up or an unavailable database only delays it."""

import asyncio
from uuid import UUID

import pytest

from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.read import wait
from duly.lifecycle.read.wait import wait_until
from duly.store.postgres.database_errors import DatabaseOutage

JOB = UUID(int=1)


class Look:
    """Returns or raises the given values in turn, the last one repeatedly."""

    def __init__(self, *values: int | Exception | None) -> None:
        self.values = list(values)
        self.calls = 0

    async def __call__(self) -> int | None:
        self.calls += 1
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        if isinstance(value, Exception):
            raise value
        return value


def never() -> bool:
    return False


async def test_a_value_that_is_there_is_returned_at_once() -> None:
    with Hub().watch(JOB) as watch:
        assert await wait_until(watch, Look(3), over=never, seconds=0) == 3


async def test_a_wake_up_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "LOOK_SECONDS", 3600.0)
    hub, look = Hub(), Look(None, 3)
    with hub.watch(JOB) as watch:
        waiting = asyncio.create_task(wait_until(watch, look, over=never))
        while not look.calls:
            await asyncio.sleep(0)
        hub.changed([JOB])
        async with asyncio.timeout(60):
            assert await waiting == 3
    assert look.calls == 2


async def test_the_wait_ends_in_time_without_a_value() -> None:
    with Hub().watch(JOB) as watch:
        assert await wait_until(watch, Look(None), over=never, seconds=0.01) is None


async def test_an_unavailable_database_does_not_end_the_wait() -> None:
    hub, look = Hub(), Look(DatabaseOutage("gone"), 3)
    with hub.watch(JOB) as watch:
        watch.notify()
        assert await wait_until(watch, look, over=never, seconds=600) == 3


async def test_after_its_end_is_announced_it_looks_once_more() -> None:
    look = Look(None)
    with Hub().watch(JOB) as watch:
        assert await wait_until(watch, look, over=lambda: True, seconds=600) is None
    assert look.calls == 1
