"""Job types for tests: well-behaved ones, and every way in which a handler can misbehave."""

import asyncio
import os
import sys
import threading
import time
from typing import Any

from pydantic import BaseModel

from duly import Fail, Handlers, JobContext, Retry, exponential, fixed

handlers = Handlers()

# What handlers wait for and tests set: signals instead of sleeping. Keyed by a name that the test chooses.
gates: dict[str, asyncio.Event] = {}
entered: dict[str, asyncio.Event] = {}
calls: dict[str, list[int]] = {}


def gate(name: str) -> asyncio.Event:
    return gates.setdefault(name, asyncio.Event())


def has_entered(name: str) -> asyncio.Event:
    return entered.setdefault(name, asyncio.Event())


def forget() -> None:
    """Clears all signals; called before each test."""
    gates.clear()
    entered.clear()
    calls.clear()


class Named(BaseModel):
    name: str = "default"


@handlers.register("wait-for-gate")
async def wait_for_gate(parameters: Named, job: JobContext) -> str:
    """Says that it has begun, and waits until the test lets it go."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    has_entered(parameters.name).set()
    await gate(parameters.name).wait()
    return "let go"


@handlers.register("stubborn", retry=fixed(0))
async def stubborn(parameters: Named) -> str:
    """Swallows its cancellation until the gate opens."""
    has_entered(parameters.name).set()
    while not gate(parameters.name).is_set():
        try:
            await gate(parameters.name).wait()
        except asyncio.CancelledError:
            has_entered(parameters.name + ":cancelled").set()
    return "at last"


class Raises(BaseModel):
    text: str = "it broke"
    succeed_on: int = 0
    name: str = "raises"


@handlers.register("raise", retry=fixed(0), max_attempts=3)
async def raising(parameters: Raises, job: JobContext) -> int:
    calls.setdefault(parameters.name, []).append(job.attempt)
    if parameters.succeed_on == job.attempt:
        return job.attempt
    raise ValueError(parameters.text)


@handlers.register("raise-later", retry=exponential(30), max_attempts=3)
async def raising_later() -> None:
    raise ValueError("it broke, and waits long")


@handlers.register("fail")
async def failing(parameters: dict[str, Any]) -> None:
    raise Fail("no such customer", code="CUSTOMER_UNKNOWN", retryable=bool(parameters.get("retryable")))


@handlers.register("retry-after", max_attempts=3)
async def retrying(parameters: dict[str, Any], job: JobContext) -> int:
    if job.attempt == 1:
        raise Retry("not yet", after=parameters.get("after", 0))
    return job.attempt


@handlers.register("exit")
async def exiting() -> None:
    sys.exit("a handler must not do this")


@handlers.register("not-json")
async def returns_no_json() -> Any:
    return object()


@handlers.register("nan")
async def returns_nan() -> Any:
    return {"value": float("nan")}


@handlers.register("nul")
async def returns_nul() -> Any:
    return {"a\x00b": "c\x00d \ud800"}


@handlers.register("large")
async def returns_much() -> str:
    return "x" * (2 << 20)


@handlers.register("raise-nul", max_attempts=1)
async def raises_nul() -> None:
    raise ValueError("nul \x00 and \ud800 in words")


@handlers.register("hang", timeout=0.3, max_attempts=2, retry=fixed(0))
async def hanging(parameters: Named, job: JobContext) -> None:
    calls.setdefault(parameters.name, []).append(job.attempt)
    await asyncio.Event().wait()


@handlers.register("block-loop")
async def blocking_loop(parameters: dict[str, float]) -> str:
    time.sleep(parameters.get("seconds", 0.8))  # what must not be done, on purpose
    return "blocked"


@handlers.register("progress")
async def progressing(parameters: dict[str, int], job: JobContext) -> str:
    for step in range(1, parameters.get("steps", 3) + 1):
        await job.progress(step * 10, f"step {step}")
    return "done"


@handlers.register("context")
async def shows_context(job: JobContext) -> dict[str, Any]:
    job.log("hello from a handler", colour="green")
    return {
        "attempt": job.attempt,
        "maxAttempts": job.max_attempts,
        "labels": dict(job.labels),
        "correlationId": job.correlation_id,
        "traceparent": job.traceparent,
        "token": job.idempotency_token,
        "cancelled": job.cancelled,
    }


@handlers.register("plain")
def plain(parameters: dict[str, Any], job: JobContext) -> dict[str, Any]:
    """A plain function: runs in a thread, reports by just calling."""
    job.progress(50, "half way")
    return {"thread": threading.current_thread() is not threading.main_thread(), **parameters}


thread_gate = threading.Event()
thread_entered = threading.Event()


@handlers.register("plain-block", timeout=0.3, max_attempts=1)
def plain_blocking(job: JobContext) -> str:
    thread_entered.set()
    thread_gate.wait(30)
    return "seen" if job.cancelled else "not seen"


@handlers.register("process", isolation="process")
def in_process(parameters: dict[str, Any], job: JobContext) -> dict[str, Any]:
    job.progress(40, "from a child")
    return {"pid": os.getpid(), **parameters}


@handlers.register("process-hang", isolation="process", timeout=1.5, max_attempts=1)
def hangs_in_process() -> None:
    while True:
        pass


@handlers.register("process-die", isolation="process", max_attempts=1)
def dies_in_process() -> None:
    os._exit(7)


@handlers.register("process-raise", isolation="process", max_attempts=1)
def raises_in_process() -> None:
    raise ValueError("from a child")


@handlers.register("process-exit", isolation="process", max_attempts=1)
def exits_in_process() -> None:
    sys.exit(3)
