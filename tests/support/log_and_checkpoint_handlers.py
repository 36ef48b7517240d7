"""Job types for tests that log and record checkpoints: as tasks, in threads and in processes."""

import asyncio
from typing import Any

from pydantic import BaseModel

from duly import Handlers, JobContext, Retry, fixed
from tests.support.handlers import calls, gate, has_entered

handlers = Handlers()


class Said(BaseModel):
    """Lines to log: (level, message, fields). Attempts before `succeed_on` fail after logging."""

    lines: list[tuple[str, str, dict[str, Any]]] = []
    succeed_on: int = 1


def _say(said: Said, job: JobContext) -> str:
    for level, message, fields in said.lines:
        job.log(message, level=level, **fields)
    if job.attempt < said.succeed_on:
        raise Retry("not yet")
    return "said"


@handlers.register("say", retry=fixed(0))
async def say(said: Said, job: JobContext) -> str:
    return _say(said, job)


@handlers.register("say-thread", retry=fixed(0))
def say_in_thread(said: Said, job: JobContext) -> str:
    return _say(said, job)


@handlers.register("say-process", retry=fixed(0), isolation="process")
def say_in_process(said: Said, job: JobContext) -> str:
    return _say(said, job)


@handlers.register("say-much")
async def say_much(parameters: dict[str, int], job: JobContext) -> None:
    for number in range(1, parameters["lines"] + 1):
        job.log(f"line {number}", number=number)


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def _say_oddly(job: JobContext) -> None:
    job.log("nul \x00 and \ud800 in words", nul="\x00", lone="\ud800", emoji="😀")
    job.log("no JSON", nan=float("nan"), object=Unprintable(), names={(1, 2): "pair"}, circle=_circle())
    job.log("x" * 100_000, long="y" * 100_000, **{f"field{number}": "z" * 1_000 for number in range(50)})
    job.log("no such level", level="loud")
    job.log(404)  # type: ignore[arg-type]  # on purpose


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


@handlers.register("say-oddly", max_attempts=1)
async def say_oddly(job: JobContext) -> None:
    _say_oddly(job)


@handlers.register("say-oddly-process", max_attempts=1, isolation="process")
def say_oddly_in_process(job: JobContext) -> None:
    _say_oddly(job)


class Named(BaseModel):
    name: str = "default"


@handlers.register("say-and-wait", retry=fixed(0))
async def say_and_wait(parameters: Named, job: JobContext) -> None:
    """Logs before it waits for its gate, and when it ends."""
    job.log("waits")
    has_entered(parameters.name).set()
    try:
        await gate(parameters.name).wait()
    finally:
        job.log("goes")


class Steps(BaseModel):
    """Counts to `steps` with a checkpoint for each; attempt n stops after the n-th number in `breaks`."""

    steps: int = 5
    breaks: list[int] = []

    def left(self, job: JobContext) -> range:
        return range((job.restored or {"done": 0})["done"] + 1, self.steps + 1)

    def go_on(self, step: int, job: JobContext) -> None:
        if job.attempt <= len(self.breaks) and self.breaks[job.attempt - 1] == step:
            raise ValueError(f"broke off after {step}")


@handlers.register("count-later", retry=fixed(0.05))
@handlers.register("count", retry=fixed(0))
async def count(steps: Steps, job: JobContext) -> list[int]:
    mine = []
    for step in steps.left(job):
        mine.append(step)
        await job.checkpoint({"done": step})
        steps.go_on(step, job)
    return mine


def _count_plainly(steps: Steps, job: JobContext) -> list[int]:
    mine = []
    for step in steps.left(job):
        mine.append(step)
        job.checkpoint({"done": step})
        steps.go_on(step, job)
    return mine


@handlers.register("count-thread", retry=fixed(0))
def count_in_thread(steps: Steps, job: JobContext) -> list[int]:
    return _count_plainly(steps, job)


@handlers.register("count-process", retry=fixed(0), isolation="process")
def count_in_process(steps: Steps, job: JobContext) -> list[int]:
    return _count_plainly(steps, job)


class Leave(BaseModel):
    """Records these checkpoints, in sequence or concurrently, when the gate `when` opens, and ends by `how`."""

    name: str = "default"
    values: list[Any] = []
    at_once: bool = False
    when: str | None = None
    how: str = "wait"


@handlers.register("leave", retry=fixed(0), max_attempts=1)
async def leave(wanted: Leave, job: JobContext) -> Any:
    calls.setdefault(wanted.name, []).append(job.attempt)
    if wanted.how == "show":
        return job.restored
    if wanted.when is not None:
        has_entered(wanted.when).set()
        await gate(wanted.when).wait()
    if wanted.at_once:
        await asyncio.gather(*(job.checkpoint(value) for value in wanted.values))
    else:
        for value in wanted.values:
            await job.checkpoint(value)
    has_entered(wanted.name).set()
    if wanted.how == "fail":
        raise ValueError("it broke")
    await gate(wanted.name).wait()
    return job.restored


class Large(BaseModel):
    bytes: int
    deep: int = 0


def _large(wanted: Large) -> Any:
    value: Any = "é" * (wanted.bytes // 2)
    for _ in range(wanted.deep):
        value = [value]
    return value


@handlers.register("leave-large", max_attempts=2, retry=fixed(0))
async def leave_large(wanted: Large, job: JobContext) -> int:
    if job.attempt == 2:
        return len(job.restored)
    await job.checkpoint(_large(wanted))
    raise ValueError("once more")


@handlers.register("leave-large-process", max_attempts=2, retry=fixed(0), isolation="process")
def leave_large_in_process(wanted: Large, job: JobContext) -> int:
    if job.attempt == 2:
        return len(job.restored)
    job.checkpoint("a first one, to be replaced")
    job.checkpoint(_large(wanted))
    raise ValueError("once more")


@handlers.register("leave-oddly", max_attempts=2, retry=fixed(0))
async def leave_oddly(parameters: dict[str, str], job: JobContext) -> Any:
    if job.attempt == 2:
        return job.restored
    values: dict[str, Any] = {
        "text": {"a\x00b": "c\x00d \ud800 😀"},
        "model": Named(name="a model"),
        "nan": [float("nan")],
        "object": object(),
        "circle": _circle(),
    }
    await job.checkpoint(values[parameters["value"]])
    raise ValueError("once more")


@handlers.register("leave-when-let", retry=fixed(0))
async def leave_when_let(parameters: Named, job: JobContext) -> Any:
    """Waits for the gate, records a checkpoint, and signals whether it continued or was interrupted."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    has_entered(parameters.name).set()
    try:
        await gate(parameters.name).wait()
        await job.checkpoint(f"of attempt {job.attempt}")
    except asyncio.CancelledError:
        has_entered(parameters.name + ":stopped").set()
        raise
    has_entered(parameters.name + ":went-on").set()
    return job.restored


thread_errors: list[str] = []


@handlers.register("leave-in-thread-when-let", retry=fixed(0))
def leave_in_thread_when_let(parameters: Named, job: JobContext) -> Any:
    """Records a checkpoint in a thread; the first attempt stores the exception raised there."""
    calls.setdefault(parameters.name, []).append(job.attempt)
    if job.attempt > 1:
        return job.restored
    thread_errors.clear()
    while not gate(parameters.name).is_set():
        pass
    try:
        job.checkpoint("too late")
    except Exception as error:
        thread_errors.append(str(error))
        raise
    return None


@handlers.register("leave-on-the-way-out", retry=fixed(0))
async def leave_on_the_way_out(parameters: Named, job: JobContext) -> Any:
    if job.restored is not None:
        return job.restored
    has_entered(parameters.name).set()
    try:
        await gate(parameters.name).wait()
    except asyncio.CancelledError:
        await job.checkpoint("so far")
        raise
    return "never interrupted"
