"""Job types for tests of compensation: an order that reserves, charges and ships, in a task, a thread and a process."""

import asyncio
from collections import defaultdict
from pathlib import Path

from pydantic import BaseModel

from duly import Compensate, Fail, Handlers, JobContext, StepContext, fixed
from tests.support.handlers import gate, has_entered

handlers = Handlers()
# What steps and compensations did, in order, by the name of the test.
journal: defaultdict[str, list[str]] = defaultdict(list)


class Order(BaseModel):
    """Order of a test.

    Attributes:
        ends: `fail`, `error`, `compensate`, `wait` (for a gate), `signal`, `complete` or `child`.
        refuses: compensation that fails, this many times.
        never: compensation that fails with an error that is not retried.
        path: file to which processes write what they do.
    """

    name: str = "order"
    ends: str = "fail"
    refuses: str = ""
    times: int = 0
    never: str = ""
    stops: str = ""
    path: str = ""


def _note(order: Order, words: str) -> None:
    journal[order.name].append(words)
    if order.path:
        with Path(order.path).open("a", encoding="utf-8") as file:
            file.write(f"{words}\n")


def _do(order: Order, what: str) -> str:
    _note(order, what)
    return f"{what}-1"


async def _do_later(order: Order, what: str) -> str:
    await asyncio.sleep(0)
    return _do(order, what)


def _undo(order: Order, what: str, *, result: str, step: StepContext) -> None:
    assert result == f"{what}-1"
    assert step.name == what
    assert step.idempotency_token.endswith(f"{what}-compensation")
    if what == order.never:
        _note(order, f"never un{what}")
        raise Fail(f"cannot un{what}")
    if what == order.refuses and journal[order.name].count(f"refused un{what}") < order.times:
        _note(order, f"refused un{what}")
        raise ValueError(f"cannot un{what} yet")
    _note(order, f"un{what}")


async def _undo_later(order: Order, what: str, *, result: str, step: StepContext) -> None:
    if what == order.stops:
        has_entered(f"{order.name}:un{what}").set()
        await gate(f"{order.name}:un{what}").wait()
    _undo(order, what, result=result, step=step)


async def _end(order: Order, job: JobContext) -> str:
    match order.ends:
        case "fail":
            raise Fail("sold out", code="SOLD_OUT")
        case "compensate":
            raise Compensate("changed their mind")
        case "error":
            raise ValueError("broken")
        case "wait":
            has_entered(order.name).set()
            await gate(order.name).wait()
        case "signal":
            await job.wait_for("approval")
        case "child":
            child = await job.submit("order", order.model_copy(update={"name": f"{order.name}-child", "ends": "wait"}))
            await child.result()
    return "shipped"


@handlers.register("order", max_attempts=1, retry=fixed(0))
async def order(parameters: Order, job: JobContext) -> str:
    await job.step("reserve", _do_later, parameters, "reserve", compensate=_undo_later)
    await job.step("quote", _do_later, parameters, "quote")
    await job.step("charge", _do, parameters, "charge", compensate=_undo)
    journal[parameters.name].append("end")
    return await _end(parameters, job)


@handlers.register("order-retried-steps", max_attempts=1, retry=fixed(0))
async def order_retried_steps(parameters: Order, job: JobContext) -> None:
    await job.step("reserve", _do_later, parameters, "reserve", compensate=_undo_later, retry=fixed(0), max_attempts=3)
    raise Fail("sold out")


@handlers.register("order-held", max_attempts=1, retry=fixed(0), on_exhausted="hold")
async def order_held(parameters: Order, job: JobContext) -> str:
    await job.step("reserve", _do_later, parameters, "reserve", compensate=_undo_later)
    await job.step("charge", _do, parameters, "charge", compensate=_undo)
    return await _end(parameters, job)


@handlers.register("order-together", max_attempts=1)
async def order_together(parameters: Order, job: JobContext) -> None:
    names = ("reserve", "charge", "ship")
    await asyncio.gather(
        *(job.step(name, _do_later, parameters, name, compensate=_undo_later) for name in names),
        job.step("broken", _broken),
    )


async def _broken() -> None:
    raise Fail("broken")


@handlers.register("order-thread", max_attempts=1)
def order_thread(parameters: Order, job: JobContext) -> None:
    job.step("reserve", _do, parameters, "reserve", compensate=_undo)
    job.step("charge", _do, parameters, "charge", compensate=_undo)
    job.step("ship", _sold_out)


def _sold_out() -> None:
    raise Fail("sold out", code="SOLD_OUT")


@handlers.register("order-process", max_attempts=1, isolation="process")
async def order_process(parameters: Order, job: JobContext) -> None:
    await job.step("reserve", _do_later, parameters, "reserve", compensate=_undo_later)
    await job.step("charge", _do, parameters, "charge", compensate=_undo)
    raise Fail("sold out", code="SOLD_OUT")


@handlers.register("order-changed", max_attempts=1)
async def order_changed(parameters: Order, job: JobContext) -> None:
    await job.step("reserve", _do, parameters, "reserve", compensate=_undo)
    if not gate(f"{parameters.name}:changed").is_set():
        await job.step("charge", _do, parameters, "charge", compensate=_undo)
        gate(f"{parameters.name}:changed").set()
    raise Fail("sold out")
