"""Items that arrive during a statement go together in the next one, and each caller gets its result."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from duly.errors import Overloaded
from duly.lifecycle.writes.batcher import Batcher
from duly.store.postgres.database import DatabaseOutage, RecordRefused


class Ledger:
    """Records numbers: doubles them, refuses negative ones, and waits while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.breaks: list[BaseException] = []

    async def record(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.entered.set()
        await self.gate.wait()
        if self.breaks:
            raise self.breaks.pop(0)
        if any(item < 0 for item in items):
            raise RecordRefused(f"negative: {list(items)}")
        return [ValueError("zero") if item == 0 else item * 2 for item in items]


@asynccontextmanager
async def flushing(batcher: Batcher[int, int]) -> AsyncIterator[None]:
    """Repeats the step as the node's loop does: an exception does not end it."""

    async def repeat() -> None:
        while True:
            with suppress(RuntimeError):
                await batcher.step()

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def putting(batcher: Batcher[int, int], *items: int) -> list[asyncio.Future[int]]:
    return [asyncio.ensure_future(batcher.put(item)) for item in items]


async def settle() -> None:
    """Lets every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def test_an_idle_gatherer_adds_no_delay(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    async with flushing(batcher):
        assert await batcher.put(3) == 6
        assert batcher.idle


async def test_what_arrives_during_a_statement_goes_in_the_next(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=100, batch=4)
    ledger.gate.clear()
    async with flushing(batcher):
        first = putting(batcher, 1)
        await ledger.entered.wait()
        assert batcher.in_flight == 1
        rest = putting(batcher, 2, 3, 4, 5, 6, 7)
        await settle()
        assert ledger.batches == [[1]]
        ledger.gate.set()
        assert await asyncio.gather(*first, *rest) == [2, 4, 6, 8, 10, 12, 14]
    assert ledger.batches == [[1], [2, 3, 4, 5], [6, 7]]


async def test_an_item_may_have_an_error_of_its_own(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    async with flushing(batcher):
        answers = await asyncio.gather(*putting(batcher, 1, 0, 2), return_exceptions=True)
    assert answers[0::2] == [2, 4]
    assert isinstance(answers[1], ValueError)


async def test_one_bad_item_fails_alone(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    async with flushing(batcher):
        answers = await asyncio.gather(*putting(batcher, 1, -1, 2), return_exceptions=True)
    assert answers[0::2] == [2, 4]
    assert isinstance(answers[1], RecordRefused)
    assert ledger.batches == [[1, -1, 2], [1], [-1, 2], [-1], [2]]


async def test_a_database_that_is_away_is_told_to_all_of_the_batch_and_not_tried_one_by_one(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    ledger.breaks = [DatabaseOutage("gone")]
    async with flushing(batcher):
        answers = await asyncio.gather(*putting(batcher, 1, 2), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["gone", "gone"]
        assert await batcher.put(3) == 6
    assert ledger.batches == [[1, 2], [3]]


async def test_an_unforeseen_error_answers_everybody_and_leaves_to_the_loop(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    ledger.breaks = [RuntimeError("a bug")]
    tasks = putting(batcher, 1, 2)
    await settle()
    with pytest.raises(RuntimeError, match="a bug"):
        await batcher.step()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseOutage, DatabaseOutage]
    assert batcher.idle


async def test_a_flusher_that_is_stopped_leaves_nobody_waiting(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    ledger.gate.clear()
    async with flushing(batcher):
        tasks = putting(batcher, 1)
        await ledger.entered.wait()
    with pytest.raises(DatabaseOutage, match="the service stopped before this was recorded"):
        await asyncio.wait_for(tasks[0], 60)


async def test_a_full_buffer_refuses_after_patience(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=2, batch=1, patience_seconds=0.05)
    waiting = putting(batcher, 1, 2)
    await settle()
    with pytest.raises(Overloaded) as refused:
        await batcher.put(3)
    assert (refused.value.status, refused.value.retryable) == (503, True)
    assert "2 submissions are waiting" in refused.value.reason
    async with flushing(batcher):
        assert await asyncio.gather(*waiting) == [2, 4]
    assert ledger.batches == [[1], [2]]


async def test_a_caller_waits_for_room_and_then_gets_in(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=2, batch=2, patience_seconds=10)
    tasks = putting(batcher, 1, 2, 3, 4, 5)
    await settle()
    assert len(batcher._waiting) == 2
    async with flushing(batcher):
        assert await asyncio.wait_for(asyncio.gather(*tasks), 60) == [2, 4, 6, 8, 10]
    assert max(len(batch) for batch in ledger.batches) == 2


async def test_a_caller_that_went_away_disturbs_nobody(ledger: Ledger) -> None:
    batcher = Batcher(ledger.record, capacity=10, batch=5)
    ledger.gate.clear()
    async with flushing(batcher):
        leaves, stays = putting(batcher, 1, 2)
        await ledger.entered.wait()
        leaves.cancel()
        await settle()
        ledger.gate.set()
        assert await stays == 4
    assert leaves.cancelled()
