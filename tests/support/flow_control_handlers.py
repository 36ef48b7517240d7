"""Job types for tests of limits, pauses and breakers. Services in one process share their counters."""

import asyncio
from collections import Counter

from pydantic import BaseModel

from duly import CircuitBreaker, Fail, Handlers, JobContext, fixed
from tests.support.handlers import gate, has_entered

handlers = Handlers()

running: Counter[str] = Counter()
most: Counter[str] = Counter()
started: Counter[str] = Counter()
# Code of the error that the job types with a breaker raise, or none.
trouble: dict[str, str] = {}


def forget_counts() -> None:
    for counts in (running, most, started):
        counts.clear()
    trouble.clear()


class Counted(BaseModel):
    name: str = "counted"
    seconds: float = 0.0


async def _counted(parameters: Counted) -> None:
    running[parameters.name] += 1
    started[parameters.name] += 1
    most[parameters.name] = max(most[parameters.name], running[parameters.name])
    try:
        await asyncio.sleep(parameters.seconds)
    finally:
        running[parameters.name] -= 1


@handlers.register("count-a")
async def counting(parameters: Counted) -> None:
    """Counts the concurrent jobs with its name."""
    await _counted(parameters)


@handlers.register("count-b")
async def counting_too(parameters: Counted) -> None:
    await _counted(parameters)


class Gated(BaseModel):
    name: str | None = None


async def _troubled(job_type: str, parameters: Gated) -> str:
    await _counted(Counted(name=job_type))
    if parameters.name is not None:
        running[job_type] += 1
        most[job_type] = max(most[job_type], running[job_type])
        has_entered(parameters.name).set()
        try:
            await gate(parameters.name).wait()
        finally:
            running[job_type] -= 1
    if code := trouble.get(job_type):
        raise Fail(f"in trouble: {code}", code=code, retryable=job_type == "unguarded")
    return "well"


@handlers.register("guarded", breaker=CircuitBreaker(failures=3, seconds=3600))
async def guarded(parameters: Gated) -> str:
    """Fails while an error code is set."""
    return await _troubled("guarded", parameters)


@handlers.register("guarded-by-code", breaker=CircuitBreaker(failures=2, seconds=3600, codes=("UPSTREAM_DOWN",)))
async def guarded_by_code(parameters: Gated) -> str:
    return await _troubled("guarded-by-code", parameters)


@handlers.register("guarded-retried", retry=fixed(600), breaker=CircuitBreaker(failures=2, seconds=3600))
async def guarded_retried() -> None:
    """Counts its attempts."""
    raise ValueError("it broke")


@handlers.register("unguarded")
async def unguarded(parameters: Gated) -> str:
    return await _troubled("unguarded", parameters)


async def _nothing() -> None:
    pass


@handlers.register("guarded-steps", retry=fixed(0), breaker=CircuitBreaker(failures=3, seconds=60))
async def guarded_steps(parameters: dict[str, bool], job: JobContext) -> None:
    """Fails, after a step with a compensation if it is asked for one."""
    if parameters.get("step"):
        await job.step("reserve", _nothing, compensate=_nothing)
    raise Fail("no", code="UPSTREAM_DOWN", retryable=True)
