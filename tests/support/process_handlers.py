"""Job types for services in their own processes; their signals are files in a folder of the test."""

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from duly import Handlers, JobContext, fixed

handlers = Handlers()

LOOK_SECONDS = 0.01


class Signalled(BaseModel):
    """Handler that appends a line to `name`.begun for each attempt and ends once `name`.open exists."""

    folder: Path
    name: str

    def begin(self, job: JobContext) -> None:
        with (self.folder / f"{self.name}.begun").open("a") as file:
            file.write(f"{job.attempt} {os.getpid()}\n")

    @property
    def is_open(self) -> bool:
        return (self.folder / f"{self.name}.open").exists()


@handlers.register("until-open", retry=fixed(0))
async def until_open(parameters: Signalled, job: JobContext) -> int:
    """Handler that also creates `name`.cancelled when it is cancelled."""
    parameters.begin(job)
    try:
        while not parameters.is_open:
            await asyncio.sleep(LOOK_SECONDS)
    except asyncio.CancelledError:
        (parameters.folder / f"{parameters.name}.cancelled").touch()
        raise
    return job.attempt


@handlers.register("thread-until-open", retry=fixed(0))
def thread_until_open(parameters: Signalled, job: JobContext) -> int:
    """Handler that ignores cancellation."""
    parameters.begin(job)
    while not parameters.is_open:
        time.sleep(LOOK_SECONDS)
    return job.attempt


@handlers.register("process-until-open", isolation="process", retry=fixed(0))
def process_until_open(parameters: Signalled, job: JobContext) -> int:
    """Handler that uses the CPU without checking for cancellation."""
    parameters.begin(job)
    while not parameters.is_open:
        pass
    return job.attempt


@handlers.register("quick-process", isolation="process")
def quick_process() -> int:
    return os.getpid()


@handlers.register("batch-until-open", batch=2, linger=10, retry=fixed(0))
async def batch_until_open(items: list[Signalled], jobs: list[JobContext]) -> list[int]:
    for item, job in zip(items, jobs, strict=True):
        item.begin(job)
    while not all(item.is_open for item in items):
        await asyncio.sleep(LOOK_SECONDS)
    return [job.attempt for job in jobs]


@handlers.register("parent-until-open", retry=fixed(0))
async def parent_until_open(parameters: Signalled, job: JobContext) -> list[object]:
    """Waits for a child with the gate `name`-child, and for three more."""
    parameters.begin(job)
    child = await job.submit("until-open", {"folder": parameters.folder, "name": f"{parameters.name}-child"})
    others = await job.submit_many([{"type": "quick"}] * 3)
    return [str(child.job_id), await child.result(), len(await others.results())]


@handlers.register("quick")
async def quick() -> int:
    """Returns the id of the process that ran it."""
    return os.getpid()


@handlers.register("breaks", max_attempts=2, retry=fixed(0))
async def breaks(parameters: dict[str, str]) -> None:
    raise ValueError("this breaks on purpose")
