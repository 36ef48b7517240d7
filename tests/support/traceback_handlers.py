"""Handlers that fail in a known line of their code. `SECRET` is a local variable in each of them."""

import asyncio
import json
from typing import Any

from duly import Fail, Handlers, JobContext, fixed

handlers = Handlers()
SECRET = "s3cret-local-variable"
LINE = 18  # of the division below


def divide(depth: int) -> float:
    secret = SECRET
    if depth:
        return divide(depth - 1)
    return len(secret) / 0


@handlers.register("place", max_attempts=1)
async def in_a_task(parameters: dict[str, int]) -> float:
    return divide(parameters["depth"])


@handlers.register("place-thread", max_attempts=1)
def in_a_thread(parameters: dict[str, int]) -> float:
    return divide(parameters["depth"])


@handlers.register("place-process", max_attempts=1, isolation="process")
def in_a_process(parameters: dict[str, int]) -> float:
    return divide(parameters["depth"])


@handlers.register("place-process-async", max_attempts=1, isolation="process")
async def in_a_process_async(parameters: dict[str, int]) -> float:
    return divide(parameters["depth"])


@handlers.register("place-batch", max_attempts=1, batch=10)
async def in_a_batch(parameters: list[dict[str, int]]) -> list[float]:
    return [divide(each["depth"]) for each in parameters]


@handlers.register("place-batch-thread", max_attempts=1, batch=10)
def in_a_batch_thread(parameters: list[dict[str, int]]) -> list[float]:
    return [divide(each["depth"]) for each in parameters]


@handlers.register("place-library", max_attempts=1)
async def in_a_library() -> Any:
    return json.loads("{")


@handlers.register("place-duly", max_attempts=1)
async def in_duly(job: JobContext) -> None:
    await job.checkpoint(object())


@handlers.register("place-context", max_attempts=1)
async def with_a_cause() -> None:
    try:
        divide(0)
    except ZeroDivisionError as error:
        raise LookupError("no such share") from error


@handlers.register("place-exit", max_attempts=1)
async def exits() -> None:
    raise SystemExit(4)


@handlers.register("place-cancels", max_attempts=1)
async def cancels_itself() -> None:
    raise asyncio.CancelledError


@handlers.register("place-long", max_attempts=1)
async def with_long_words() -> None:
    raise ValueError("\n".join("x" * 3_000 for _ in range(10)) + "\x00the end")


@handlers.register("place-fail", max_attempts=1)
async def fails() -> None:
    raise Fail("no such customer", code="CUSTOMER_UNKNOWN")


@handlers.register("ends-how", retry=fixed(0), max_attempts=1, timeout=60)
async def ends_somehow(parameters: dict[str, str]) -> Any:
    match parameters["how"]:
        case "fail":
            raise Fail("why not")
        case "invalid":
            return object()
        case "raise":
            raise ValueError("it broke")
        case _:
            return await asyncio.sleep(600)
