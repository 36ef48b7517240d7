"""Job types for tests: well-behaved ones, and one for every way in which a handler can misbehave."""

import asyncio
import os
import sys
import threading
import time
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from duly import Fail, Handlers, JobContext, Retry, exponential, fixed, linear

handlers = Handlers()

# Events that handlers wait for and tests set, instead of sleeping, by a name that the test chooses.
gates: dict[str, asyncio.Event] = {}
entered: dict[str, asyncio.Event] = {}
calls: dict[str, list[int]] = {}

LONGEST_BLOCK_SECONDS = 60.0


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
    """Signals its start and waits until the test opens its gate."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    has_entered(parameters.name).set()
    await gate(parameters.name).wait()
    return "let go"


class Price(BaseModel):
    amount: Decimal
    share: float = 0.0


@handlers.register("price")
def price(parameters: Price) -> str:
    """Returns the digits of the received numbers."""
    return f"{parameters.amount} {parameters.share}"


@handlers.register("stubborn", retry=fixed(0))
async def stubborn(parameters: Named) -> str:
    """Ignores its cancellation until the gate opens."""
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


@handlers.register("raise-and-hold", retry=fixed(0), max_attempts=1, on_exhausted="hold")
async def raise_and_hold(parameters: Named) -> str:
    """Fails, and is held."""
    raise RuntimeError(parameters.name)


@handlers.register("raise", retry=fixed(0), max_attempts=3)
async def raising(parameters: Raises, job: JobContext) -> int:
    calls.setdefault(parameters.name, []).append(job.attempt)
    if parameters.succeed_on == job.attempt:
        return job.attempt
    raise ValueError(parameters.text)


RAISES = raising.__code__.co_firstlineno + 5


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


def loop_may_go_on() -> bool:
    """Returns whether handlers that block the event loop may return. Tests replace it."""
    return True


def is_to_block(began: float) -> bool:
    """Returns whether a handler that began at this time has to block the event loop for longer."""
    return not loop_may_go_on() and time.monotonic() - began < LONGEST_BLOCK_SECONDS


@handlers.register("block-loop")
async def blocking_loop() -> str:
    """Blocks the event loop on purpose."""
    began = time.monotonic()
    while is_to_block(began):
        time.sleep(0.3)
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
    """Plain function, which runs in a thread and reports progress with a plain call."""
    job.progress(50, "half way")
    return {"thread": threading.current_thread() is not threading.main_thread(), **parameters}


thread_gate = threading.Event()
thread_entered = threading.Event()


@handlers.register("plain-block", max_attempts=1)
def plain_blocking(job: JobContext) -> str:
    thread_entered.set()
    thread_gate.wait(300)
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


@handlers.register("large-in-bytes")
async def returns_many_bytes() -> str:
    return "é" * 600_000


@handlers.register("wrong-result")
async def returns_what_it_does_not_declare() -> int:
    return "seven"  # type: ignore[return-value]  # on purpose


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@handlers.register("raise-unprintable")
async def raises_unprintable() -> None:
    raise Unprintable


@handlers.register("cancel-itself")
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@handlers.register("progress-nul")
async def progresses_with_nul(job: JobContext) -> None:
    await job.progress(10, "nul \x00 and \ud800 in words")


@handlers.register("retry-linear", retry=linear(100, cap=150, jitter=0), max_attempts=5)
async def retries_linearly() -> None:
    raise ValueError("again")


@handlers.register("retry-exponential", retry=exponential(100, factor=3, cap=1000, jitter=0), max_attempts=5)
async def retries_exponentially() -> None:
    raise ValueError("again")


@handlers.register("retry-fixed", retry=fixed(100), max_attempts=5)
async def retries_fixedly() -> None:
    raise ValueError("again")


@handlers.register("plain-step")
def plain_step(job: JobContext) -> None:
    job.progress(33, "a third")
    thread_entered.set()
    thread_gate.wait(300)


@handlers.register("plain-until-cancelled")
def plain_until_cancelled(job: JobContext) -> None:
    thread_entered.set()
    while not job.cancelled:
        time.sleep(0.005)
    thread_gate.set()


@handlers.register("plain-exit")
def plain_exit() -> None:
    sys.exit(5)


@handlers.register("process-progress", isolation="process", max_attempts=1)
def progresses_in_process(job: JobContext) -> None:
    for step in range(1, 6):
        job.progress(step * 10, f"step {step}")
        job.log(f"step {step}", rows=step)


@handlers.register("process-tell-pid", isolation="process", max_attempts=1)
def tells_its_pid_and_hangs(job: JobContext) -> None:
    job.progress(1, str(os.getpid()))
    while True:
        time.sleep(0.01)


@handlers.register("process-words", isolation="process", max_attempts=3)
async def says_how_it_ends_in_process(parameters: dict[str, str], job: JobContext) -> object:
    match parameters["how"]:
        case "retry":
            if job.attempt == 1:
                raise Retry("not yet", after=0)
            return job.attempt
        case "fail":
            raise Fail("no such customer", code="CUSTOMER_UNKNOWN")
        case "nan":
            return float("nan")
        case "not-json":
            return object()
        case _:
            return parameters


class Steps(BaseModel):
    name: str = "default"
    steps: int = 1


@handlers.register("tell-at-gates")
async def tell_at_gates(parameters: Steps, job: JobContext) -> str:
    """Reports each step once its gate `name-step` is open, and signals `name-step:told` when it is recorded."""
    for step in range(1, parameters.steps + 1):
        has_entered(f"{parameters.name}-{step}").set()
        await gate(f"{parameters.name}-{step}").wait()
        await job.progress(step, f"step {step}")
        has_entered(f"{parameters.name}-{step}:told").set()
    return "told"


@handlers.register("return-nothing")
async def returns_nothing() -> None:
    """Handler without a return value."""


@handlers.register("tell-when-let")
async def tells_progress_when_let(parameters: Named, job: JobContext) -> str:
    """Waits for the gate, reports progress, and signals whether it continued or was interrupted."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    has_entered(parameters.name).set()
    try:
        await gate(parameters.name).wait()
        await job.progress(50, "half way")
    except asyncio.CancelledError:
        has_entered(parameters.name + ":stopped").set()
        raise
    has_entered(parameters.name + ":went-on").set()
    return "went on"


most_at_once: dict[str, int] = {"now": 0, "most": 0}
_counting = threading.Lock()


def _count(step: int) -> None:
    with _counting:
        most_at_once["now"] += step
        most_at_once["most"] = max(most_at_once["most"], most_at_once["now"])


@handlers.register("counted")
async def counted() -> None:
    _count(1)
    await asyncio.sleep(0.01)
    _count(-1)


@handlers.register("counted-plain")
def counted_plain() -> None:
    _count(1)
    time.sleep(0.01)
    _count(-1)


@handlers.register("in-order")
async def in_order(parameters: dict[str, int]) -> None:
    calls.setdefault("in-order", []).append(parameters["n"])
