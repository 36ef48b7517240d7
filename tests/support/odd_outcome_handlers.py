"""Handlers whose outcomes are hard to record, chosen by the parameter `how`."""

import asyncio
import math
from decimal import Decimal
from typing import Any

from duly import Fail, Handlers, JobContext, Retry, fixed

handlers = Handlers()


class Mute(Exception):
    """Exception whose text raises an error."""

    def __str__(self) -> str:
        raise SystemExit(1)


class Sly(str):
    """Text that raises an error when it is used."""

    __slots__ = ()

    def __format__(self, _: str) -> str:
        raise KeyboardInterrupt

    def __str__(self) -> str:
        raise GeneratorExit


class Bare(Fail):
    """Failure that does not call the constructor of its base class."""

    def __init__(self) -> None:
        pass


class Broken(Fail):
    """Failure whose attributes raise an error."""

    def __init__(self) -> None:
        pass

    @property
    def reason(self) -> str:  # type: ignore[override]  # on purpose
        raise SystemExit(2)


def changed(error: Any, **members: Any) -> Exception:
    for name, value in members.items():
        setattr(error, name, value)
    assert isinstance(error, Exception)
    return error


class BareRetry(Retry):
    def __init__(self) -> None:
        pass


def _raised(how: str) -> Any:
    return {
        "fail-exception": lambda: Fail(ValueError("x")),
        "fail-none": lambda: Fail(None),
        "fail-bytes": lambda: Fail(b"why"),
        "fail-mute": lambda: Fail(Mute()),
        "fail-sly": lambda: Fail(Sly("why")),
        "fail-code": lambda: Fail("why", code=42),  # type: ignore[arg-type]
        "fail-code-none": lambda: Fail("why", code=None),  # type: ignore[arg-type]
        "fail-code-empty": lambda: Fail("why", code=" "),
        "fail-retryable": lambda: Fail("why", retryable=[]),  # type: ignore[arg-type]
        "fail-changed": lambda: changed(Fail("why"), reason=b"\xff", code=object, retryable=0),
        "fail-bare": Bare,
        "fail-broken": Broken,
        "retry-changed": lambda: changed(Retry("why"), after="soon"),
        "retry-nan": lambda: changed(Retry("why"), after=math.nan),
        "mute": Mute,
        "exit": lambda: SystemExit(object()),
        "interrupt": KeyboardInterrupt,
        "generator-exit": GeneratorExit,
        "base": lambda: BaseException("base"),
        "group": lambda: BaseExceptionGroup("two", [SystemExit(1), Mute()]),
        "stop": lambda: StopIteration(3),
        "retry-bare": BareRetry,
    }[how]()


@handlers.register("odd", retry=fixed(0), max_attempts=2)
async def odd(parameters: dict[str, str]) -> None:
    raise _raised(parameters["how"])


@handlers.register("odd-later", retry=fixed(1000), max_attempts=2)
async def odd_later(parameters: dict[str, str]) -> None:
    raise _raised(parameters["how"])


@handlers.register("odd-plain", retry=fixed(0), max_attempts=2)
def odd_plain(parameters: dict[str, str]) -> None:
    raise _raised(parameters["how"])


@handlers.register("odd-process", retry=fixed(0), max_attempts=2, isolation="process")
def odd_process(parameters: dict[str, str]) -> None:
    raise _raised(parameters["how"])


@handlers.register("odd-batch", retry=fixed(0), max_attempts=2, batch=10)
async def odd_batch(parameters: list[dict[str, str]]) -> list[Any]:
    """Returns an exception instead of raising it."""
    return [_raised(each["how"]) for each in parameters]


@handlers.register("odd-after", max_attempts=1)
async def odd_after(parameters: dict[str, str]) -> None:
    after: Any = {
        "huge": 10**400,
        "large": 1e30,
        "nan": math.nan,
        "decimal-nan": Decimal("NaN"),
        "negative": -1,
        "infinite": math.inf,
        "text": "5",
        "true": True,
        "complex": 1j,
    }[parameters["how"]]
    raise Retry("later", after=after)


@handlers.register("cancels-its-task", max_attempts=1)
async def cancels_its_task(job: JobContext) -> str:
    """Returns while its task is about to be cancelled and its checkpoint is being recorded."""
    saving = asyncio.ensure_future(job.checkpoint({"at": 1}))
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    saving.add_done_callback(lambda done: done.cancelled() or done.exception())
    task.cancel()
    return "done"
