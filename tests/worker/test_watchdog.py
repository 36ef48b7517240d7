"""A handler that blocks the event loop is named, with its current line."""

import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.worker import watchdog as watchdog_module
from duly.worker.watchdog import LIMIT_SECONDS, Watchdog
from tests.support import handlers as support
from tests.support.service import Service


def named(logs: Sequence[Any]) -> list[Any]:
    """Returns the lines that name a handler which blocks the event loop."""
    return [line for line in logs if line.get("action") == "loop_blocked" and "job_type" in line]


def looks_follow(logs: Sequence[Any]) -> Callable[[], bool]:
    """Returns a function that returns whether the watchdog has looked again since it named a handler."""
    named_at: list[float] = []

    def look() -> bool:
        if named(logs):
            named_at.append(time.monotonic())
        return bool(named_at) and named_at[-1] - named_at[0] > 2 * LIMIT_SECONDS

    return look


async def test_a_handler_that_blocks_the_loop_is_named_with_its_line(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs:
        monkeypatch.setattr(support, "loop_may_go_on", looks_follow(logs))
        view = await service.run("block-loop")
    assert view["result"] == "blocked"
    lines = named(logs)
    assert len(lines) == 1  # once for each time, not once for each look
    line = lines[0]
    source, first = inspect.getsourcelines(support.blocking_loop)
    blocking = first + next(number for number, text in enumerate(source) if "time.sleep" in text)
    assert (line["log_level"], line["job_type"]) == ("warning", "block-loop")
    assert line["location"] == f"{support.__file__}:{blocking}"
    assert line["location"] in line["event"]
    assert 0.5 <= line["seconds"] < 60


async def test_a_loop_that_turns_is_left_in_peace(service: Service) -> None:
    with capture_logs() as logs:
        await service.run("sleep", {"seconds": 0.8, "steps": 4})
    assert [line for line in logs if line.get("job_type") == "sleep" and line.get("action") == "loop_blocked"] == []


def _blocked(watchdog: Watchdog, *, until: Callable[[], bool]) -> None:
    """Blocks the loop of this thread until the condition holds, and for longer than the limit."""
    began = time.monotonic()
    while time.monotonic() - began < 2 * LIMIT_SECONDS or not until():
        assert time.monotonic() - began < 60
        time.sleep(0.01)  # blocks the event loop on purpose


async def test_while_no_handler_runs_nobody_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Covers a start, which imports modules, and a machine that is busy with something else. The thread sleeps until
    it is woken.
    """
    monkeypatch.setattr(watchdog_module, "IDLE_SECONDS", 600.0)
    looks: list[str] = []

    def none_runs() -> bool:
        looks.append("looked")
        return False

    watchdog = Watchdog(handlers_run=none_runs)
    with capture_logs() as logs:
        watchdog.start()
        _blocked(watchdog, until=lambda: len(looks) > 0)
        watchdog.wake()
        _blocked(watchdog, until=lambda: len(looks) > 1)
        watchdog.stop()
    assert watchdog.warnings == 0
    assert logs == []


async def test_while_handlers_run_a_blocked_loop_is_reported_even_if_none_is_to_blame() -> None:
    watchdog = Watchdog(handlers_run=lambda: True)
    with capture_logs() as logs:
        watchdog.start()
        _blocked(watchdog, until=lambda: bool(logs))  # a warning is counted before it is logged
        watchdog.stop()
    assert watchdog.warnings == 1
    [line] = logs
    assert line["action"] == "loop_blocked"
    assert "job_type" not in line


async def test_a_service_without_running_jobs_says_that_no_handler_runs(service: Service) -> None:
    assert not service.node.worker.pool.any_runs


async def test_a_job_that_begins_wakes_the_watchdog(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    monkeypatch.setattr(service.node.watchdog, "wake", lambda: woken.append("woken"))
    await service.run("echo")
    assert woken
