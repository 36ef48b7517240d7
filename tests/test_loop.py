"""One class supervises every loop: an error is logged and backed off from, never fatal and never silent."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.errors import Overloaded
from duly.loop import LAST_BACKOFF_SECONDS, Loop, Loops


class Away(Exception):
    """Stands for the database being away."""


class Step:
    """Step that returns a pause or raises an error, one entry per round; after the last one, it sets `over`."""

    def __init__(self, *rounds: float | BaseException) -> None:
        self.rounds = list(rounds)
        self.at: list[float] = []
        self.over = asyncio.Event()

    async def __call__(self) -> float:
        self.at.append(time.monotonic())
        if not self.rounds:
            self.over.set()
            return 3600
        told = self.rounds.pop(0)
        if isinstance(told, BaseException):
            raise told
        return told


@asynccontextmanager
async def running(loop: Loop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def run_through(step: Step, *, name: str = "some", expected: tuple[type[Exception], ...] = ()) -> Loop:
    """Runs the step's rounds to their end."""
    loop = Loop(name, step, expected=expected)
    async with running(loop):
        await asyncio.wait_for(step.over.wait(), 60)
    return loop


def lines(logs: Any, action: str) -> list[Any]:
    return [line for line in logs if line.get("action") == action]


async def test_a_step_is_repeated_as_soon_as_it_asks() -> None:
    step = Step(0, 0, 0.05)
    loop = await run_through(step)
    assert (len(step.at), loop.failures) == (4, 0)
    assert step.at[3] - step.at[2] >= 0.045


@pytest.mark.parametrize("error", [ValueError("it broke"), SystemExit(3)])
async def test_an_error_is_logged_with_its_trace_and_backed_off_from(error: BaseException) -> None:
    with capture_logs() as logs:
        step = Step(error)
        loop = await run_through(step, name="sweep")
    assert (loop.failures, loop.rounds) == (1, 1)
    assert step.at[1] - step.at[0] >= 0.09
    failed = lines(logs, "loop_failed")
    assert [(line["log_level"], line["loop"], line["exc_info"]) for line in failed] == [("error", "sweep", error)]
    assert [line["after_failures"] for line in lines(logs, "loop_recovered")] == [1]


@pytest.mark.parametrize("error", [Away, lambda: Overloaded("full")])
async def test_an_expected_error_is_one_line_when_it_begins_and_one_when_it_ends(
    error: Callable[[], Exception],
) -> None:
    with capture_logs() as logs:
        await run_through(Step(error(), error(), error(), 0), expected=(Away,))
    assert [(line["action"], line["log_level"]) for line in logs] == [
        ("loop_waits", "warning"),
        ("loop_recovered", "info"),
    ]
    assert logs[1]["after_failures"] == 3


async def test_the_backoff_grows_to_a_bound() -> None:
    loop = Loop("some", Step())
    pauses = [loop._failed(Overloaded("full")) for _ in range(12)]
    assert 0.1 <= pauses[0] <= 0.2
    assert 0.2 <= pauses[1] <= 0.4
    assert all(LAST_BACKOFF_SECONDS / 2 <= pause <= LAST_BACKOFF_SECONDS for pause in pauses[6:])


async def test_a_good_round_begins_the_backoff_anew() -> None:
    with capture_logs() as logs:
        loop = await run_through(Step(Away(), 0, Away(), 0), expected=(Away,))
    assert [line["action"] for line in logs] == ["loop_waits", "loop_recovered"] * 2
    assert loop.failures == 2


async def test_a_wake_cuts_the_pause_short() -> None:
    step = Step(3600)
    loop = Loop("some", step)
    async with running(loop):
        while not step.at:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.wake()
        await asyncio.wait_for(step.over.wait(), 60)


async def test_a_first_round_may_come_later_and_a_wake_does_not_wait_for_it() -> None:
    late, woken = Step(), Step()
    loops = [Loop("late", late, first_after=3600), Loop("woken", woken, first_after=3600)]
    async with running(loops[0]), running(loops[1]):
        loops[1].wake()
        await asyncio.wait_for(woken.over.wait(), 60)
        assert loops[1].rounds == 1
        assert late.at == []


async def test_a_loop_that_ends_before_its_first_round_makes_none() -> None:
    step = Step()
    loop = Loop("some", step, first_after=3600)
    async with running(loop) as task:
        await asyncio.sleep(0)
        loop.end()
        await asyncio.wait_for(task, 60)
    assert step.at == []


async def test_a_wake_during_a_step_cuts_the_pause_after_it() -> None:
    rounds = 0
    second = asyncio.Event()
    loop: Loop

    async def step() -> float:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            loop.wake()
        else:
            second.set()
        return 3600

    loop = Loop("some", step)
    async with running(loop):
        await asyncio.wait_for(second.wait(), 60)


async def test_an_end_lets_the_round_finish_and_begins_no_other() -> None:
    entered, gate, finished = asyncio.Event(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal finished
        entered.set()
        await gate.wait()
        finished += 1
        return 0

    loop = Loop("some", step)
    async with running(loop) as task:
        await entered.wait()
        loop.end()
        gate.set()
        await asyncio.wait_for(task, 60)
    assert finished == 1


async def test_an_end_cuts_a_pause_short() -> None:
    step = Step(3600)
    loop = Loop("some", step)
    async with running(loop) as task:
        while not step.at:
            await asyncio.sleep(0)
        loop.end()
        await asyncio.wait_for(task, 60)
    assert len(step.at) == 1


async def test_it_can_be_cancelled_in_a_step_and_in_a_pause() -> None:
    async def hang() -> float:
        await asyncio.Event().wait()
        return 0

    steps: list[Callable[[], Awaitable[float]]] = [hang, Step(3600)]
    for step in steps:
        task = asyncio.create_task(Loop("some", step).run())
        await asyncio.sleep(0.01)
        task.cancel()
        assert [type(end) for end in await asyncio.gather(task, return_exceptions=True)] == [asyncio.CancelledError]


async def test_a_round_that_was_cancelled_from_within_does_not_end_the_loop() -> None:
    """Checks that a cancelled future in a step is an error of the step and does not cancel the loop."""
    step = Step(asyncio.CancelledError())
    with capture_logs():
        loop = await run_through(step)
    assert loop.failures == 1


@asynccontextmanager
async def running_loops(**steps: Step) -> AsyncIterator[Loops]:
    """Starts loops with these steps; returns once each has run its first round."""
    loops = Loops()
    for name, step in steps.items():
        loops.add(Loop(name, step))
    loops.start()
    try:
        while not all(step.at for step in steps.values()):
            await asyncio.sleep(0)
        yield loops
    finally:
        await loops.cancel()


async def test_a_waker_wakes_a_loop_that_is_added_after_it() -> None:
    loops, step = Loops(), Step(3600)
    wake = loops.waker("some")
    loops.add(Loop("some", step))
    loops.start()
    while not step.at:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    wake()
    await asyncio.wait_for(step.over.wait(), 60)
    await loops.cancel()


def test_a_waker_of_a_loop_that_the_node_does_not_have_does_nothing() -> None:
    Loops().waker("none")()


async def test_loops_are_listed_in_the_order_in_which_they_were_added() -> None:
    async with running_loops(second=Step(), first=Step()) as loops:
        assert [loop.name for loop in loops] == ["second", "first"]


async def test_finishing_a_loop_ends_its_task_and_no_other() -> None:
    async with running_loops(some=Step(3600), other=Step(3600)) as loops:
        await loops.finish("some")
        await loops.finish("none")
        assert [loops.task(name).done() for name in ("some", "other")] == [True, False]


async def test_all_loops_but_one_are_cancelled() -> None:
    async with running_loops(some=Step(3600), last=Step(3600)) as loops:
        some, last = loops.task("some"), loops.task("last")
        await loops.cancel(exclude="last")
        assert [task.done() for task in (some, last)] == [True, False]
        await loops.cancel()
        assert last.cancelled()


async def test_a_loop_ends_although_its_step_turns_the_cancellation_into_an_error() -> None:
    """A cancelled statement may end with an error of its connection."""
    begun = asyncio.Event()

    async def step() -> float:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None
        return 0

    loops = Loops()
    loops.add(Loop("stubborn", step, expected=(ConnectionError,)))
    loops.start()
    task = loops.task("stubborn")
    await begun.wait()
    await loops.cancel()
    ended = task.done()
    task.cancel()
    assert ended


async def test_a_loop_that_recovers_ends_the_pauses_of_those_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks that after an outage not each loop waits for the end of its own backoff."""
    back = asyncio.Event()
    waiting, recovered = asyncio.Event(), asyncio.Event()

    async def waits() -> float:
        if back.is_set():
            recovered.set()
            return 3600
        waiting.set()
        raise Away

    async def looks() -> float:
        if back.is_set():
            return 3600
        raise Away

    loops = Loops()
    first, other = Loop("looks", looks, expected=(Away,)), Loop("waits", waits, expected=(Away,))
    monkeypatch.setattr("duly.loop.FIRST_BACKOFF_SECONDS", 3600)
    monkeypatch.setattr("duly.loop.LAST_BACKOFF_SECONDS", 3600)
    loops.add(first)
    loops.add(other)
    loops.start()
    try:
        await asyncio.wait_for(waiting.wait(), 60)
        back.set()
        first.wake()
        await asyncio.wait_for(recovered.wait(), 60)  # its pause is at least 1,800 s
    finally:
        await loops.cancel()
