"""Batch handlers for tests. Most linger for the maximum time, so that a call begins only when its batch is full."""

import asyncio
import sys
import threading
import time
from typing import Any

from pydantic import BaseModel, field_validator

from duly import Fail, Handlers, JobContext, Retry, fixed
from tests.support.handlers import gate, has_entered, is_to_block

handlers = Handlers()

LONGEST = 10

# Names of the jobs of each call, sorted.
calls: list[list[str]] = []
# Names that are no longer valid, as after a change of the model since the job was accepted.
outlawed: set[str] = set()

# Events that plain functions wait for and tests set.
thread_gate = threading.Event()
thread_entered = threading.Event()


def forget() -> None:
    calls.clear()
    outlawed.clear()
    thread_gate.clear()
    thread_entered.clear()


class Item(BaseModel):
    name: str
    how: str = "return"

    @field_validator("name")
    @classmethod
    def is_lawful(cls, name: str) -> str:
        if name in outlawed:
            raise ValueError("this name is outlawed")
        return name


class Answer(BaseModel):
    name: str
    together: int


def note(items: list[Item]) -> int:
    calls.append(sorted(item.name for item in items))
    return len(items)


def end_of(item: Item, together: int) -> Any:
    ends: dict[str, Any] = {
        "return": Answer(name=item.name, together=together),
        "retry": Retry("not yet", after=1000),
        "fail": Fail("no such customer", code="CUSTOMER_UNKNOWN"),
        "error": ValueError("it broke"),
        "exit": SystemExit(3),
        "cancel": asyncio.CancelledError(),
        "unfit": "seven",
        "nan": {"name": "n", "together": float("nan")},
    }
    return ends[item.how]


@handlers.register("batch-ends", batch=4, linger=LONGEST, retry=fixed(1000), max_attempts=3)
async def ends_each_as_it_says(items: list[Item]) -> list[Answer | BaseException]:
    """Ends each job as its parameters specify."""
    together = note(items)
    return [end_of(item, together) for item in items]


@handlers.register("batch-again", batch=2)
async def succeeds_the_second_time(items: list[Item], jobs: list[JobContext]) -> list[int | Retry]:
    note(items)
    return [
        Retry("not yet", after=0) if item.how == "retry" and job.attempt == 1 else job.attempt
        for item, job in zip(items, jobs, strict=True)
    ]


@handlers.register("batch-raise", batch=2, linger=LONGEST, max_attempts=2, retry=fixed(1000))
async def raises(items: list[Item]) -> None:
    note(items)
    match items[0].how:
        case "fail":
            raise Fail("no such customer", code="CUSTOMER_UNKNOWN")
        case "retry":
            raise Retry("not yet", after=1000)
        case "exit":
            sys.exit("a handler must not do this")
        case "cancel":
            raise asyncio.CancelledError
        case _:
            raise ValueError("it broke")


@handlers.register("batch-returns", batch=2, linger=LONGEST)
async def returns(items: list[Item]) -> Any:
    match items[0].how:
        case "short":
            return [1]
        case "long":
            return [1, 2, 3]
        case "dict":
            return {"a": 1, "b": 2}
        case "text":
            return "ab"
        case "tuple":
            return 1, 2
        case _:
            return None


@handlers.register("batch-tells", batch=3, linger=LONGEST)
async def tells(items: list[Item], jobs: list[JobContext]) -> None:
    """Reports the index of each job in the call as its progress."""
    for place, (item, job) in enumerate(zip(items, jobs, strict=True)):
        await job.progress(place, f"{item.name} is number {place}")
        job.log("told", item=item.name)


class Gated(BaseModel):
    name: str
    gate: str = "gate"


@handlers.register("batch-gate", batch=3, linger=LONGEST, max_attempts=1)
async def waits_for_gate(items: list[Gated], jobs: list[JobContext]) -> list[str]:
    """Signals its start, waits for the gate of its first job, and returns which jobs were cancelled."""
    key = items[0].gate
    calls.append(sorted(item.name for item in items))
    has_entered(key).set()
    try:
        await gate(key).wait()
    except asyncio.CancelledError:
        has_entered(f"{key}:cancelled").set()
        raise
    stopped = sorted(item.name for item, job in zip(items, jobs, strict=True) if job.cancelled)
    has_entered(f"{key}:went-on").set()
    return [",".join(stopped)] * len(items)


@handlers.register("batch-stubborn", batch=2, linger=LONGEST, max_attempts=1)
async def swallows_its_cancellation(items: list[Gated]) -> None:
    while not gate("stubborn").is_set():
        try:
            has_entered("stubborn").set()
            await gate("stubborn").wait()
        except asyncio.CancelledError:
            has_entered("stubborn:cancelled").set()


@handlers.register("batch-plain", batch=3, linger=LONGEST)
def plain(items: list[Item], jobs: list[JobContext]) -> list[Answer | BaseException]:
    """Plain function, which runs in a thread."""
    together = note(items)
    for job in jobs:
        job.progress(50, str(threading.current_thread() is threading.main_thread()))
    return [end_of(item, together) for item in items]


@handlers.register("batch-plain-block", batch=2, linger=LONGEST, max_attempts=1)
def blocks_its_thread(items: list[Item]) -> None:
    thread_entered.set()
    thread_gate.wait(30)


@handlers.register("batch-small", batch=3)
async def takes_few(items: list[Item]) -> None:
    note(items)


@handlers.register("batch-lingers", batch=100, linger=0.05)
async def lingers_shortly(items: list[Item]) -> None:
    note(items)


@handlers.register("batch-fills", batch=100, linger=LONGEST)
async def lingers_long(items: list[Item]) -> None:
    note(items)


@handlers.register("batch-block-loop", batch=2)
async def blocks_the_loop(items: list[Item]) -> None:
    """Blocks the event loop on purpose."""
    began = time.monotonic()
    while is_to_block(began):
        time.sleep(0.3)
