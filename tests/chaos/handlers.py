"""Handlers of a chaos run. Each call writes a line to a file, outside of the database, before it does anything."""

import asyncio
import json
import os
import random
import time
import uuid
from datetime import timedelta
from typing import Any

from duly import Handlers, JobContext, fixed

handlers = Handlers()

FILE = "CHAOS_LINES"
RETRY = fixed(0.05)


def note(job_id: object, word: str, nonce: str, *, file: str | None = None) -> None:
    """Appends a line in one write, so that lines of several processes do not mix. The clock is that of the kernel."""
    line = json.dumps([str(job_id), word, nonce, time.clock_gettime(time.CLOCK_BOOTTIME)])
    descriptor = os.open(file or os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _begun(job: JobContext) -> str:
    nonce = uuid.uuid4().hex
    note(job.job_id, "begin", nonce)
    return nonce


@handlers.register("chaos-plain", max_attempts=20, retry=RETRY)
async def plain(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    nonce = _begun(job)
    await job.progress(50, "half")
    await asyncio.sleep(random.uniform(0, 0.1))  # noqa: S311  # load
    return {"nonce": nonce}


@handlers.register("chaos-long", max_attempts=20, retry=RETRY)
async def long(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    nonce = _begun(job)
    await asyncio.sleep(2)
    return {"nonce": nonce}


@handlers.register("chaos-flaky", max_attempts=20, retry=RETRY)
async def flaky(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    nonce = _begun(job)
    if job.attempt == 1:
        raise RuntimeError("the first attempt fails")
    return {"nonce": nonce}


@handlers.register("chaos-thread", max_attempts=20, retry=RETRY)
def thread(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    nonce = _begun(job)
    time.sleep(0.05)
    return {"nonce": nonce}


@handlers.register("chaos-steps", max_attempts=20, retry=RETRY)
async def steps(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    """Records a step, sleeps without a slot, and records others: a step that runs again has another result."""
    nonce = _begun(job)

    async def drawn(name: str) -> int:
        note(job.job_id, name, nonce)
        return random.randrange(1 << 40)  # noqa: S311  # load

    taken = {"first": await job.step("first", drawn, "first")}
    await job.sleep(timedelta(seconds=0.2))
    for name in ("second", "third"):
        taken[name] = await job.step(name, drawn, name)
    return {"nonce": nonce, "steps": taken, "sum": sum(taken.values())}


@handlers.register("chaos-scheduled", max_attempts=20, retry=RETRY)
async def scheduled(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    return {"nonce": _begun(job)}


@handlers.register("chaos-then", max_attempts=20, retry=RETRY)
async def then(_: dict[str, Any], job: JobContext) -> dict[str, Any]:
    return {"nonce": _begun(job)}
