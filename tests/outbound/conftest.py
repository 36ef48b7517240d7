"""The guarded client is a protocol of event loops: what holds on asyncio's own must hold on uvloop, which serves.

Each test runs in a loop of its own. pytest-asyncio's factories of loops would end the loop of the whole run, and with
it the fixtures of all other tests, wherever a test of this folder comes between them.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
import uvloop

# Tasks that wait for something that will not come are cancelled with their loop.
CLOSING_SECONDS = 0.2
TURNS_TO_CLOSE = 4

NewLoop = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> NewLoop:
    factory: NewLoop = request.param
    return factory


def pytest_collectstart(collector: pytest.Collector) -> None:
    if not isinstance(collector, pytest.Module):
        return
    with suppress(pytest.Collector.CollectError):  # import errors are reported by the collection itself
        for name, test in list(vars(collector.obj).items()):
            if name.startswith("test_") and inspect.iscoroutinefunction(test):
                setattr(collector.obj, name, _in_a_loop_of_its_own(test))


def _in_a_loop_of_its_own(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, new_loop: NewLoop, **named: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            try:
                runner.run(test(*arguments, **named))
            finally:
                runner.run(_closed_connections())

    taken = inspect.signature(test)
    extra = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    run.__signature__ = taken.replace(parameters=[*taken.parameters.values(), extra])  # type: ignore[attr-defined]
    return run


async def _closed_connections() -> None:
    """Lets servers of the test finish: a loop that ends before the turn in which a socket is closed leaves it open."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=CLOSING_SECONDS)
    for _ in range(TURNS_TO_CLOSE):
        await asyncio.sleep(0)
