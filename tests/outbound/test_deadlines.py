"""Deadlines of equal length on one timer."""

import asyncio

import pytest

from duly.deadline_queue import Deadlines

SECONDS = 0.05


async def test_each_item_expires_once_and_not_before_its_time() -> None:
    loop = asyncio.get_running_loop()
    expired: list[tuple[str, float]] = []
    over = asyncio.Event()

    def expire(item: str) -> None:
        expired.append((item, loop.time() - began[item]))
        if item == "last":
            over.set()

    deadlines = Deadlines(SECONDS, expire)
    began = {}
    for item in ("first", "second", "last"):
        began[item] = loop.time()
        deadlines.put(item)
        await asyncio.sleep(SECONDS / 2)  # so that they are due one after the other
    await asyncio.wait_for(over.wait(), 60)
    assert [item for item, _ in expired] == ["first", "second", "last"]
    assert all(after > SECONDS * 0.8 for _, after in expired)  # uvloop's clock stands still within a round
    assert len(deadlines) == 0


async def test_what_was_taken_out_does_not_expire_and_what_came_later_does() -> None:
    expired: list[str] = []
    over = asyncio.Event()

    def expire(item: str) -> None:
        expired.append(item)
        over.set()

    deadlines = Deadlines(SECONDS, expire)
    deadlines.put("early")
    deadlines.take_out("early")
    deadlines.put("late")
    deadlines.take_out("never put in")
    await asyncio.wait_for(over.wait(), 60)
    assert expired == ["late"]
    over.clear()
    deadlines.put("again")  # the timer had run out
    await asyncio.wait_for(over.wait(), 60)
    assert expired == ["late", "again"]


async def test_after_closing_nothing_expires() -> None:
    deadlines: Deadlines[str] = Deadlines(0.0, lambda item: pytest.fail(f"{item} expired"))
    deadlines.put("one")
    deadlines.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(deadlines) == 0
