"""Job types for tests of signals that handlers send: from tasks, threads and processes."""

import asyncio
from datetime import date
from typing import Any

from pydantic import BaseModel

from duly import Fail, HandlerError, Handlers, JobContext, fixed
from tests.support.handlers import has_entered

handlers = Handlers()


class Send(BaseModel):
    """Signal to send: `to` a job, or to itself."""

    to: str | None = None
    name: str = "approval"
    body: Any = None
    special: str = ""
    fails: int = 0


class Payment(BaseModel):
    amount: float
    on: date


SPECIAL: dict[str, Any] = {
    "model": Payment(amount=9.50, on=date(2026, 1, 2)),
    "object": object(),
    "nan": [float("nan")],
    "nul": "a\0b",
    "large": "x" * (64 * 1024),
    "largest": "x" * (64 * 1024 - 2),
    "deep": [],
}
for _ in range(70):
    SPECIAL["deep"] = [SPECIAL["deep"]]


def _signal(send: Send, job: JobContext) -> Any:
    return job.signal(send.to or str(job.job_id), send.name, SPECIAL.get(send.special, send.body))


def _after(send: Send, job: JobContext) -> str:
    if job.attempt <= send.fails:
        raise ValueError("broke off after it was sent")
    return "sent"


@handlers.register("sends", max_attempts=3, retry=fixed(0))
async def sends(parameters: Send, job: JobContext) -> str:
    assert await _signal(parameters, job) is None
    return _after(parameters, job)


@handlers.register("sends-thread", max_attempts=3, retry=fixed(0))
def sends_in_thread(parameters: Send, job: JobContext) -> str:
    assert _signal(parameters, job) is None
    return _after(parameters, job)


@handlers.register("sends-process", max_attempts=3, retry=fixed(0), isolation="process")
def sends_in_process(parameters: Send, job: JobContext) -> str:
    assert _signal(parameters, job) is None
    return _after(parameters, job)


@handlers.register("sends-async-process", max_attempts=3, retry=fixed(0), isolation="process")
async def sends_in_async_process(parameters: Send, job: JobContext) -> str:
    assert await _signal(parameters, job) is None
    return _after(parameters, job)


@handlers.register("sends-in-steps")
async def sends_in_steps(parameters: Send, job: JobContext) -> None:
    """Sends from an async and from a plain step of an async handler."""
    await job.step("async", _async_step, parameters, job, "first")
    await job.step("plain", _plain_step, parameters, job, "second")


@handlers.register("sends-in-steps-thread")
def sends_in_steps_of_thread(parameters: Send, job: JobContext) -> None:
    job.step("async", _async_step, parameters, job, "first")
    job.step("plain", _plain_step, parameters, job, "second")


@handlers.register("sends-in-steps-process", isolation="process")
async def sends_in_steps_of_process(parameters: Send, job: JobContext) -> None:
    await job.step("async", _async_step, parameters, job, "first")
    await job.step("plain", _plain_step, parameters, job, "second")


async def _async_step(send: Send, job: JobContext, name: str) -> None:
    await job.signal(send.to or job.job_id, name)


def _plain_step(send: Send, job: JobContext, name: str) -> None:
    job.signal(send.to or job.job_id, name)


@handlers.register("catches", max_attempts=1)
async def catches(parameters: Send, job: JobContext) -> str:
    try:
        await _signal(parameters, job)
    except HandlerError as error:
        return str(error)
    return "sent"


@handlers.register("signals-itself", max_attempts=1)
async def signals_itself(parameters: Send, job: JobContext) -> Any:
    return (await asyncio.gather(job.signal(job.job_id, "own", parameters.body), job.wait_for("own")))[1]


async def _undo(send: Send, job: JobContext) -> None:
    await job.signal(str(send.to), "undone")


def _undo_plainly(send: Send, job: JobContext) -> None:
    job.signal(str(send.to), "undone-plainly")


def _reserve(*_: Any) -> str:
    return "a seat"


@handlers.register("sends-and-fails", max_attempts=1)
async def sends_and_fails(parameters: Send, job: JobContext) -> None:
    """Sends a signal whose body differs in the call that compensates, between two steps that are undone."""
    await job.step("reserve", _reserve, parameters, job, compensate=_undo)
    await job.signal(str(parameters.to), "replayed", has_entered(parameters.name).is_set())
    has_entered(parameters.name).set()
    await job.step("charge", _reserve, parameters, job, compensate=_undo_plainly)
    raise Fail("sold out")


@handlers.register("sends-and-fails-thread", max_attempts=1)
def sends_and_fails_in_thread(parameters: Send, job: JobContext) -> None:
    job.step("reserve", _reserve, parameters, job, compensate=_undo)
    job.signal(str(parameters.to), "replayed", has_entered(parameters.name).is_set())
    has_entered(parameters.name).set()
    job.step("charge", _reserve, parameters, job, compensate=_undo_plainly)
    raise Fail("sold out")


@handlers.register("sends-and-fails-process", max_attempts=1, isolation="process")
async def sends_and_fails_in_process(parameters: Send, job: JobContext) -> None:
    await job.step("reserve", _reserve, parameters, job, compensate=_undo)
    await job.signal(str(parameters.to), "replayed")
    await job.step("charge", _reserve, parameters, job, compensate=_undo_plainly)
    raise Fail("sold out")


@handlers.register("receives")
async def receives(parameters: dict[str, str], job: JobContext) -> Any:
    return await job.wait_for(parameters["name"])
