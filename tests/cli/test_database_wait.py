"""Waiting for the database during a start: which errors are waited out, for how long, and what ends the wait."""

import asyncio

import pytest

from duly.cli import database_wait
from duly.cli.database_wait import DatabaseWait, StartStopped
from duly.store.postgres.database import DatabaseError, DatabaseMisconfigured, DatabaseOutage
from duly.store.postgres.error_classes import CONNECTIONS, LOGIN, NO_ANSWER, NO_DATABASE, STARTING, UNREACHABLE


class Step:
    """Step of a start that raises these errors, one at each call, and then succeeds."""

    def __init__(self, *errors: DatabaseError) -> None:
        self._errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_wait, "RETRY_SECONDS", 0.001)


async def test_what_passes_is_waited_out() -> None:
    outages = [DatabaseOutage("", error_class) for error_class in (UNREACHABLE, STARTING, CONNECTIONS, NO_ANSWER)]
    step = Step(*outages)
    assert await DatabaseWait(60, asyncio.Event()).retried(step) == "done"
    assert step.calls == len(outages) + 1


@pytest.mark.parametrize(
    "error", [DatabaseOutage("", LOGIN), DatabaseOutage("", NO_DATABASE), DatabaseMisconfigured("")]
)
async def test_what_time_does_not_change_ends_the_start_at_once(error: DatabaseError) -> None:
    step = Step(error)
    with pytest.raises(type(error)):
        await DatabaseWait(60, asyncio.Event()).retried(step)
    assert step.calls == 1


async def test_without_time_each_step_is_tried_once() -> None:
    step = Step(DatabaseOutage())
    with pytest.raises(DatabaseOutage):
        await DatabaseWait(0, asyncio.Event()).retried(step)
    assert step.calls == 1


async def test_a_stop_signal_ends_the_wait() -> None:
    stopping = asyncio.Event()
    stopping.set()
    with pytest.raises(StartStopped):
        await DatabaseWait(60, stopping).retried(Step(DatabaseOutage(), DatabaseOutage()))


async def test_an_error_is_logged_once_until_another_takes_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    step = Step(*[DatabaseOutage("", UNREACHABLE)] * 3, *[DatabaseOutage("", STARTING)] * 3)
    await DatabaseWait(60, asyncio.Event()).retried(step)
    logged = "".join(capfd.readouterr())
    assert logged.count("database_awaited") == 2
    assert "DULY_DATABASE_WAIT_SECONDS" in logged
