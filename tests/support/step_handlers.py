"""Job types for tests of steps, sleeps and signals: in tasks and in threads."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from duly import Handlers, JobContext, Retry, SignalTimedOut, StepContext, fixed
from tests.support.handlers import gate, has_entered

handlers = Handlers()
# Calls of the functions of steps, by (name of the test, name of the step).
done: Counter[tuple[str, str]] = Counter()
seen: list[Any] = []


class Seat(BaseModel):
    row: str
    number: int


class Plan(BaseModel):
    """Steps `0` to `steps - 1`; attempt n fails after the n-th step in `breaks`."""

    name: str = "default"
    steps: int = 3
    breaks: list[int] = []
    seconds: float = 0.05
    signal: str = "approval"
    timeout: float | None = None


def _reserve(name: str, number: int) -> Seat:
    done[name, str(number)] += 1
    return Seat(row="A", number=number)


async def _reserve_later(name: str, number: int) -> Seat:
    await asyncio.sleep(0)
    return _reserve(name, number)


def _break(plan: Plan, job: JobContext, number: int) -> None:
    if job.attempt <= len(plan.breaks) and plan.breaks[job.attempt - 1] == number:
        raise ValueError(f"broke off after {number}")


@handlers.register("seats", retry=fixed(0))
async def seats(plan: Plan, job: JobContext) -> list[Seat]:
    taken = []
    for number in range(plan.steps):
        seat = await job.step(f"seat-{number}", _reserve_later, plan.name, number)
        assert isinstance(seat, Seat)
        taken.append(seat)
        _break(plan, job, number)
    return taken


@handlers.register("seats-plain-step", retry=fixed(0))
async def seats_by_plain_functions(plan: Plan, job: JobContext) -> list[Seat]:
    taken = []
    for number in range(plan.steps):
        taken.append(await job.step(f"seat-{number}", _reserve, plan.name, number))
        _break(plan, job, number)
    return taken


def _seats_plainly(plan: Plan, job: JobContext) -> list[Seat]:
    taken = []
    for number in range(plan.steps):
        function = _reserve if number % 2 else _reserve_later
        taken.append(job.step(f"seat-{number}", function, plan.name, number))
        _break(plan, job, number)
    return taken


@handlers.register("seats-thread", retry=fixed(0))
def seats_in_thread(plan: Plan, job: JobContext) -> list[Seat]:
    return _seats_plainly(plan, job)


@handlers.register("seats-together", retry=fixed(0))
async def seats_together(plan: Plan, job: JobContext) -> list[Seat]:
    taken = await asyncio.gather(
        *(job.step(f"seat-{number}", _reserve_later, plan.name, number) for number in range(plan.steps))
    )
    _break(plan, job, plan.steps)
    return list(taken)


class Odd(BaseModel):
    how: str


@handlers.register("odd-steps", max_attempts=2, retry=fixed(0))
async def odd_steps(odd: Odd, job: JobContext) -> Any:  # noqa: PLR0911  # one return a case
    match odd.how:
        case "twice":
            await job.step("same", _reserve, "odd", 1)
            return await job.step("same", _reserve, "odd", 2)
        case "together":
            return await asyncio.gather(*(job.step("same", _reserve_later, "odd", n) for n in (1, 2)))
        case "name":
            return await job.step("No Name", _reserve, "odd", 1)
        case "large":
            return await job.step("large", lambda: "x" * (256 * 1024))
        case "object":
            return await job.step("object", object)
        case "misfit":
            return await job.step("misfit", _misfit)
        case "waits":
            return await job.step("waits", _waiting, job)
        case _:
            raise AssertionError(odd.how)


def _misfit() -> Seat:
    return "no seat"  # type: ignore[return-value]  # on purpose


async def _waiting(job: JobContext) -> None:
    await job.sleep(1)


class Tries(BaseModel):
    fails: int = 0
    tries: int | None = None
    plain: bool = False


def _fails_at_first(fails: int, step: StepContext) -> list[Any]:
    seen.append(step)
    if step.attempt <= fails:
        raise Retry("not yet", after=0) if step.attempt % 2 else ValueError("not yet")
    return [step.attempt, step.idempotency_token]


@handlers.register("tries", max_attempts=1)
async def tries(wanted: Tries, job: JobContext) -> Any:
    return await job.step("try", _fails_at_first, wanted.fails, retry=fixed(0), max_attempts=wanted.tries)


@handlers.register("tries-thread", max_attempts=1)
def tries_in_thread(wanted: Tries, job: JobContext) -> Any:
    return job.step("try", _fails_at_first, wanted.fails, retry=fixed(0), max_attempts=wanted.tries)


@handlers.register("sleeps", retry=fixed(0))
async def sleeps(plan: Plan, job: JobContext) -> list[int]:
    numbers = []
    for number in range(plan.steps):
        numbers.append(await job.step(f"seat-{number}", _count, plan.name, number))
        await job.sleep(timedelta(seconds=plan.seconds))
    _break(plan, job, plan.steps)
    return numbers


def _count(name: str, number: int) -> int:
    done[name, str(number)] += 1
    return done[name, str(number)]


@handlers.register("sleeps-thread", retry=fixed(0))
def sleeps_in_thread(plan: Plan, job: JobContext) -> list[int]:
    numbers = []
    for number in range(plan.steps):
        numbers.append(job.step(f"seat-{number}", _count, plan.name, number))
        job.sleep(plan.seconds)
    return numbers


class Approval(BaseModel):
    choice: str


@handlers.register("approved", retry=fixed(0))
async def approved(plan: Plan, job: JobContext) -> Any:
    """Waits for a signal after a step, which tells that it began to wait."""
    await job.step("ask", _count, plan.name, 0)
    try:
        answer = await job.wait_for(plan.signal, model=Approval, timeout=plan.timeout)
    except SignalTimedOut as error:
        return {"timedOut": error.name, "attempt": job.attempt}
    return {"choice": answer.choice, "attempt": job.attempt}


@handlers.register("approved-thread", retry=fixed(0))
def approved_in_thread(plan: Plan, job: JobContext) -> Any:
    job.step("ask", _count, plan.name, 0)
    answer = job.wait_for(plan.signal, model=Approval, timeout=plan.timeout)
    return {"choice": answer.choice, "attempt": job.attempt}


@handlers.register("approved-or-fails", retry=fixed(0))
async def approved_or_fails(plan: Plan, job: JobContext) -> Any:
    return await job.wait_for(plan.signal, timeout=plan.timeout)


@handlers.register("waits-together", retry=fixed(0))
async def waits_together(plan: Plan, job: JobContext) -> Any:
    """Two signals, a sleep and a step that lasts until its gate opens, at once."""
    return await asyncio.gather(
        job.wait_for("first"),
        job.wait_for("second"),
        job.sleep(plan.seconds, name="pause"),
        job.step("slow", _slow, plan.name),
    )


@handlers.register("fails-beside-a-wait", retry=fixed(0))
async def fails_beside_a_wait(plan: Plan, job: JobContext) -> Any:
    try:
        return await asyncio.gather(job.wait_for("never"), job.step("break", _fail_later))
    except ValueError as error:
        return [str(error), await job.step("after", _count, plan.name, 0)]


async def _fail_later() -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


async def _slow(name: str) -> str:
    done[name, "slow"] += 1
    has_entered(name).set()
    await gate(name).wait()
    return "done"


@handlers.register("asks-in-time", retry=fixed(0))
async def asks_in_time(plan: Plan, job: JobContext) -> Any:
    """Begins to wait when its gate opens."""
    has_entered(plan.name).set()
    await gate(plan.name).wait()
    return await job.wait_for(plan.signal)


@handlers.register("many-steps", batch=10)
async def many_steps(plans: list[Plan], jobs: list[JobContext]) -> list[Any]:
    return [await job.step("one", _reserve, "batch", 1) for job in jobs]


@handlers.register("seats-process", isolation="process", retry=fixed(0))
def seats_in_process(plan: Plan, job: JobContext) -> list[Seat]:
    return _seats_plainly(plan, job)


@handlers.register("approved-process", isolation="process", retry=fixed(0))
def approved_in_process(plan: Plan, job: JobContext) -> Any:
    number = job.step("ask", _count, plan.name, 0)
    job.sleep(plan.seconds)
    answer = job.wait_for(plan.signal, model=Approval, timeout=plan.timeout)
    return {"choice": answer.choice, "attempt": job.attempt, "counted": number}


@handlers.register("approved-async-process", isolation="process", retry=fixed(0))
async def approved_in_async_process(plan: Plan, job: JobContext) -> Any:
    number, _, answer = await asyncio.gather(
        job.step("ask", _count, plan.name, 0),
        job.sleep(plan.seconds),
        job.wait_for(plan.signal, model=Approval, timeout=plan.timeout),
    )
    return {"choice": answer.choice, "attempt": job.attempt, "counted": number}
