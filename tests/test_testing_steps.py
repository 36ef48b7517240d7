"""`duly.testing` runs handlers with steps: time passes at once, signals are scripted, results can be given."""

import asyncio
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from duly import Fail, Handlers, JobContext, SignalTimedOut, fixed
from duly.testing import SentSignal, Signal, run_handler, run_handler_sync

handlers = Handlers()
calls: list[str] = []


class Approval(BaseModel):
    choice: str


def _act(name: str) -> str:
    calls.append(name)
    return name.upper()


def _refuse() -> None:
    raise Fail("no")


@handlers.register("order")
async def order(days: int, job: JobContext) -> list[Any]:
    seat = await job.step("reserve", _act, "reserve")
    await job.sleep(timedelta(days=days))
    try:
        answer = await job.wait_for("approval", model=Approval, timeout=timedelta(days=7))
    except SignalTimedOut:
        return [seat, "too late"]
    return [seat, answer.choice, await job.step("charge", _act, "charge", retry=fixed(0))]


@handlers.register("order-in-thread")
def order_in_thread(days: int, job: JobContext) -> list[Any]:
    seat = job.step("reserve", _act, "reserve")
    job.sleep(timedelta(days=days))
    return [seat, job.wait_for("approval")]


@handlers.register("both")
async def both(job: JobContext) -> Any:
    return await asyncio.gather(job.wait_for("a"), job.wait_for("b"), job.sleep(60))


@handlers.register("failing")
async def failing(job: JobContext) -> Any:
    await job.step("refuse", _refuse)


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


async def test_time_passes_at_once_and_steps_are_done_once() -> None:
    run = await run_handler(handlers, "order", 30, signals={"approval": {"choice": "approve"}})
    assert run.result == ["RESERVE", "approve", "CHARGE"]
    assert calls == ["reserve", "charge"]
    assert run.steps == {"reserve": "RESERVE", "charge": "CHARGE"}
    assert run.waited_seconds == timedelta(days=30).total_seconds()


async def test_a_signal_that_is_not_sent_times_out() -> None:
    run = await run_handler(handlers, "order", 1)
    assert (run.result, run.waited_seconds) == (["RESERVE", "too late"], timedelta(days=8).total_seconds())


@pytest.mark.parametrize(("days", "last"), [(5, "CHARGE"), (9, "too late")])
async def test_a_signal_may_arrive_later(days: int, last: str) -> None:
    later = Signal({"choice": "approve"}, after=timedelta(days=days))
    run = await run_handler(handlers, "order", 1, signals={"approval": later})
    assert run.result[-1] == last
    assert run.waited_seconds == timedelta(days=min(days, 8)).total_seconds()


async def test_a_step_with_a_given_result_is_not_done() -> None:
    run = await run_handler(handlers, "order", 0, steps={"reserve": "a seat"}, signals={"approval": {"choice": "yes"}})
    assert run.result == ["a seat", "yes", "CHARGE"]
    assert calls == ["charge"]


async def test_a_run_ends_where_a_handler_waits_without_a_timeout() -> None:
    run = await run_handler(handlers, "both", signals={"a": 1})
    assert (run.completed, run.retried, run.error, run.result) == (False, False, None, None)
    assert (run.waiting_for, run.waited_seconds) == (("b",), 60)
    run = await run_handler(handlers, "both", signals={"a": 1, "b": [2]})
    assert (run.completed, run.result) == (True, [1, [2], None])


def test_a_plain_function_waits_too() -> None:
    run = run_handler_sync(handlers, "order-in-thread", 2, signals={"approval": {"by": "me"}})
    assert (run.result, calls) == (["RESERVE", {"by": "me"}], ["reserve"])
    assert run_handler_sync(handlers, "order-in-thread", 2).waiting_for == ("approval",)


async def test_an_error_of_a_step_is_that_of_the_handler() -> None:
    run = await run_handler(handlers, "failing")
    assert (run.error or {})["message"] == "no"
    assert not run.retried


@handlers.register("pays")
async def pays(order: UUID, job: JobContext) -> Any:
    await job.signal(order, "paid", {"on": date(2026, 1, 2)})
    await job.sleep(60)
    await job.signal(job.job_id, "own", [1])
    return await job.wait_for("own")


@handlers.register("pays-in-thread")
def pays_in_thread(order: str, job: JobContext) -> None:
    job.signal(order, "paid", 1)
    job.signal(order, "paid", 2)


async def test_signals_that_a_handler_sends_are_kept_once() -> None:
    order_id = uuid4()
    run = await run_handler(handlers, "pays", order_id)
    assert (run.result, run.waited_seconds) == ([1], 60)
    assert run.sent_signals[0] == SentSignal(order_id, "paid", {"on": "2026-01-02"})
    assert [(signal.name, signal.body) for signal in run.sent_signals[1:]] == [("own", [1])]


async def test_a_second_body_is_refused_as_by_the_service() -> None:
    order_id = uuid4()
    run = await run_handler(handlers, "pays-in-thread", str(order_id))
    assert run.error is not None
    assert run.error["message"].startswith(f'HandlerError: signal "paid" to job {order_id}: A signal of this name with')
    assert run.sent_signals == [SentSignal(order_id, "paid", 1)]


def _undo(name: str, *, result: str) -> None:
    calls.append(f"undo {name} {result}")


def _stay(name: str, *, result: str) -> None:
    raise Fail(f"{name} stays as {result}")


@handlers.register("saga")
async def saga(fails: str, job: JobContext) -> str:
    await job.step("reserve", _act, "reserve", compensate=_stay if fails == "undoing" else _undo)
    await job.step("log", _act, "log")
    await job.step("charge", _act, "charge", compensate=_undo)
    if fails == "retryable":
        raise ValueError("later")
    if fails != "not":
        raise Fail("no")
    return "done"


async def test_a_job_that_fails_for_good_undoes_its_steps_the_newest_first() -> None:
    run = await run_handler(handlers, "saga", "finally")
    assert run.error is not None
    assert run.error["message"] == "no"
    assert run.compensated == ["charge", "reserve"]
    assert calls == ["reserve", "log", "charge", "undo charge CHARGE", "undo reserve RESERVE"]


@pytest.mark.parametrize("fails", ["not", "retryable"])
async def test_a_job_that_completes_or_is_retried_undoes_nothing(fails: str) -> None:
    run = await run_handler(handlers, "saga", fails)
    assert run.retried == (fails == "retryable")
    assert (run.compensated, calls) == ([], ["reserve", "log", "charge"])


async def test_a_step_that_cannot_be_undone_is_the_error_of_the_job() -> None:
    run = await run_handler(handlers, "saga", "undoing")
    assert run.error is not None
    assert run.error["code"] == "COMPENSATION_FAILED"
    assert "reserve stays as RESERVE" in run.error["message"]
    assert not run.retried
    assert run.compensated == ["charge"]
