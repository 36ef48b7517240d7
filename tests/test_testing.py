"""The helper that lets users test a handler without a service decides as a worker does."""

import threading
import traceback
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel

from duly import Fail, HandlerError, Handlers, JobContext, Retry, linear
from duly.testing import LogLine, run_handler, run_handler_sync
from tests.support.handlers import handlers as misbehaving
from tests.support.service import Service

handlers = Handlers()


class Period(BaseModel):
    start: date
    days: int = 1


class Report(BaseModel):
    until: date


@handlers.register("report", retry=linear(10, jitter=0.5), max_attempts=3)
async def report(period: Period, job: JobContext) -> Report:
    job.log("begins", level="debug", labels=dict(job.labels))
    await job.progress(50, "half")
    await job.progress(120)
    if period.days < 0:
        raise ValueError("negative")
    if period.days == 0:
        raise Retry("not yet", after=4)
    if period.days > 31:
        raise Fail("too long", code="TOO_LONG")
    return Report(until=period.start.replace(day=period.days))


RAISES = report.__code__.co_firstlineno + 6


@handlers.register("plain", isolation="process")
def plain(job: JobContext) -> dict[str, Any]:
    job.progress(10)
    return {"main": threading.current_thread() is threading.main_thread(), "attempt": job.attempt}


@handlers.register("endless", timeout=0.05)
async def endless() -> None:
    await __import__("asyncio").Event().wait()


async def test_a_result_is_as_a_client_reads_it() -> None:
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": 5}, labels={"customer": "c-42"})
    assert run.completed
    assert (run.result, run.error) == ({"until": "2024-01-05"}, None)
    assert (run.retried, run.retry_after_seconds) == (False, None)
    assert run.progress == [(50.0, "half"), (100.0, None)]
    assert run.logs == [LogLine("debug", "begins", {"labels": {"customer": "c-42"}})]


async def test_parameters_may_be_given_as_the_model() -> None:
    run = await run_handler(handlers, "report", Period(start=date(2024, 1, 1), days=2))
    assert run.result == {"until": "2024-01-02"}


async def test_a_raise_is_a_retry_by_the_policy_without_its_jitter() -> None:
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": -1}, attempt=2)
    assert not run.completed
    assert (run.retried, run.retry_after_seconds) == (True, 20.0)
    assert run.error == {
        "code": "TASK_FAILED",
        "message": "ValueError: negative",
        "details": {
            "reason": "ValueError",
            "retryable": True,
            "attempt": 2,
            "exception": "ValueError",
            "frames": [{"file": __file__, "line": RAISES, "function": "report"}],
        },
    }


async def test_an_exception_is_kept_with_its_traceback_and_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": -1})
    assert isinstance(run.exception, ValueError)
    assert traceback.extract_tb(run.exception.__traceback__)[-1].lineno == RAISES
    assert capsys.readouterr() == ("", "")
    completed = await run_handler(handlers, "report", {"start": "2024-01-01", "days": 2}, raise_errors=True)
    assert completed.exception is None


async def test_an_exception_is_raised_again_where_the_test_asks_for_it() -> None:
    with pytest.raises(ValueError, match="negative"):
        await run_handler(handlers, "report", {"start": "2024-01-01", "days": -1}, raise_errors=True)


async def test_the_last_attempt_is_not_retried() -> None:
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": -1}, attempt=3)
    assert (run.retried, run.retry_after_seconds) == (False, None)
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": -1}, attempt=3, max_attempts=4)
    assert run.retried


async def test_retry_and_fail_are_told_apart() -> None:
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": 0})
    assert (run.retried, run.retry_after_seconds) == (True, 4.0)
    run = await run_handler(handlers, "report", {"start": "2024-01-01", "days": 40})
    assert run.error is not None
    assert (run.retried, run.error["code"], run.error["message"]) == (False, "TOO_LONG", "too long")


async def test_parameters_that_do_not_fit_fail_for_good() -> None:
    run = await run_handler(handlers, "report", {"start": "yesterday"})
    assert run.error is not None
    assert "parameters.start" in run.error["message"]
    assert not run.retried


async def test_a_timeout_is_the_registrations_or_the_tests() -> None:
    run = await run_handler(handlers, "endless")
    assert run.error is not None
    assert (run.error["code"], run.error["message"]) == (
        "TIMED_OUT",
        "The attempt exceeded its timeout of 0.05 seconds.",
    )
    assert run.retried
    run = await run_handler(handlers, "endless", timeout=0.01)
    assert run.error is not None
    assert "0.01 seconds" in run.error["message"]


async def test_a_handler_for_a_process_runs_here_beside_the_loop() -> None:
    run = await run_handler(handlers, "plain", attempt=2)
    assert run.result == {"main": False, "attempt": 2}
    assert run.progress == [(10.0, None)]


def test_a_plain_test_function_can_run_one_too() -> None:
    assert run_handler_sync(handlers, "report", {"start": "2024-01-01"}, attempt=2).result == {"until": "2024-01-01"}


async def test_an_unknown_type_names_those_near_it() -> None:
    with pytest.raises(HandlerError, match='job type "reprot" has no handler; known types: report'):
        await run_handler(handlers, "reprot")


@pytest.mark.parametrize(
    "type_", ["raise", "fail", "exit", "not-json", "nan", "nul", "large", "raise-nul", "retry-after"]
)
async def test_it_ends_an_attempt_as_the_service_does(service: Service, type_: str) -> None:
    run = await run_handler(misbehaving, type_, {}, max_attempts=1)
    view = await service.run(type_, {}, maxAttempts=1)
    assert (run.result, run.error) == (view["result"], view["error"])
