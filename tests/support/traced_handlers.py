"""Job types whose traces are tested: they begin spans of their own, wait, retry, and submit child jobs."""

import asyncio
from typing import Any

from opentelemetry import trace
from pydantic import BaseModel

from duly import Handlers, JobContext, fixed

handlers = Handlers()
tracer = trace.get_tracer("handlers-of-tests")


class Times(BaseModel):
    """Number of attempts that fail before one completes."""

    failures: int = 0
    secret: str = ""


@handlers.register("traced-task")
async def traced_task(job: JobContext) -> str | None:
    """Returns its trace context, with a span of its own and an attribute on the current one."""
    trace.get_current_span().set_attribute("rows", 250)
    with tracer.start_as_current_span("of the handler"):
        job.log("in a task")
        await asyncio.sleep(0)
    return job.traceparent


@handlers.register("traced-thread")
def traced_thread(job: JobContext) -> str | None:
    with tracer.start_as_current_span("of a thread"):
        job.log("in a thread")
    return job.traceparent


@handlers.register("traced-retry", retry=fixed(0))
async def traced_retry(times: Times, job: JobContext) -> int:
    if job.attempt <= times.failures:
        raise ValueError(f"broke off with {times.secret}")
    return job.attempt


@handlers.register("traced-steps", retry=fixed(0))
async def traced_steps(times: Times, job: JobContext) -> list[Any]:
    """Two steps, of which one submits a child job, with a wait in between."""
    first = await job.step("first", _plain)
    await job.sleep(0.05)
    child = await job.step("child", _submit, job)
    if job.attempt <= times.failures:
        raise ValueError("broke off")
    return [first, child]


def _plain() -> int:
    return 1


async def _submit(job: JobContext) -> str:
    child = await job.submit("traced-task")
    return str(child.job_id)


@handlers.register("traced-batch", batch=10, linger=0.2)
async def traced_batch(parameters: list[Times]) -> list[int]:
    with tracer.start_as_current_span("of a batch"):
        return [one.failures for one in parameters]
