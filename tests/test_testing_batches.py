"""The helper that lets users test a batch handler without a service puts jobs together as a worker does."""

import asyncio
import traceback
from typing import Any

import pytest

from duly import Fail, HandlerError, Handlers, JobContext, Retry, linear
from duly.testing import LogLine, run_batch_handler, run_handler

handlers = Handlers()
sizes: list[int] = []


@pytest.fixture(autouse=True)
def counting_anew() -> None:
    sizes.clear()


@handlers.register("halve", batch=3, linger=10, retry=linear(10, jitter=0.5), max_attempts=3)
async def halve(numbers: list[int], jobs: list[JobContext]) -> list[float | Exception]:
    sizes.append(len(numbers))
    for number, job in zip(numbers, jobs, strict=True):
        await job.progress(number, "seen")
        job.log("seen", number=number, attempt=job.attempt, labels=dict(job.labels))
    return [_half(number) for number in numbers]


def _half(number: int) -> float | Exception:
    if number < 0:
        return Fail("negative", code="NEGATIVE")
    if number == 0:
        return Retry("not yet", after=4)
    return number / 2 if number != 13 else ValueError("unlucky")


@handlers.register("halve-plain", batch=10, linger=10)
def halve_plain(numbers: list[int]) -> list[float]:
    sizes.append(len(numbers))
    return [number / 2 for number in numbers]


@handlers.register("endless", batch=10, timeout=0.05)
async def endless(numbers: list[int]) -> None:
    await asyncio.Event().wait()


@handlers.register("break", batch=100)
async def break_all(numbers: list[int]) -> None:
    raise ValueError("all of it")


@handlers.register("single")
async def single(number: int) -> int:
    return number


async def test_each_parameter_has_its_own_end_in_their_order() -> None:
    runs = await run_batch_handler(handlers, "halve", [4, -1, 13])
    assert sizes == [3]
    assert [run.result for run in runs] == [2.0, None, None]
    assert [run.error and (run.error["code"], run.error["message"]) for run in runs] == [
        None,
        ("NEGATIVE", "negative"),
        ("TASK_FAILED", "ValueError: unlucky"),
    ]
    assert [(run.retried, run.retry_after_seconds) for run in runs] == [(False, None), (False, None), (True, 10.0)]
    assert [run.progress for run in runs] == [[(4.0, "seen")], [(0.0, "seen")], [(13.0, "seen")]]


async def test_its_options_are_those_of_each_job() -> None:
    runs = await run_batch_handler(handlers, "halve", [0, 13], attempt=2, max_attempts=2, labels={"customer": "c-42"})
    assert [run.retried for run in runs] == [False, False]
    assert runs[1].logs == [LogLine("info", "seen", {"number": 13, "attempt": 2, "labels": {"customer": "c-42"}})]
    runs = await run_batch_handler(handlers, "halve", [0, 13], attempt=2)
    assert [run.retry_after_seconds for run in runs] == [4.0, 20.0]


async def test_a_call_gets_no_more_than_its_batch() -> None:
    runs = await run_batch_handler(handlers, "halve", list(range(1, 9)))
    assert sizes == [3, 3, 2]
    assert [run.result for run in runs] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]


async def test_a_full_call_begins_once() -> None:
    wrong: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    await run_batch_handler(handlers, "halve", [1, 2, 3])
    assert (sizes, wrong) == ([3], [])


async def test_what_does_not_fit_is_not_in_the_call_and_nobody_lingers_for_it() -> None:
    given: list[Any] = [2, "two", 4]
    async with asyncio.timeout(8):  # a worker would linger for ten seconds
        runs = await run_batch_handler(handlers, "halve-plain", given)
    assert sizes == [2]
    assert [run.result for run in runs] == [1.0, None, 2.0]
    assert runs[1].error is not None
    assert "Invalid parameters" in runs[1].error["message"]


async def test_one_job_alone_is_a_call_of_one() -> None:
    run = await run_handler(handlers, "halve", 6, attempt=2)
    assert (run.result, run.progress, sizes) == (3.0, [(6.0, "seen")], [1])
    run = await run_handler(handlers, "halve-plain", 6)
    assert (run.result, sizes) == (3.0, [1, 1])


async def test_a_timeout_ends_each() -> None:
    runs = await run_batch_handler(handlers, "endless", [1, 2])
    assert [run.error and run.error["code"] for run in runs] == ["TIMED_OUT"] * 2
    (run,) = await run_batch_handler(handlers, "endless", [1], timeout=0.01)
    assert run.error is not None
    assert "0.01 seconds" in run.error["message"]


async def test_an_error_of_all_keeps_its_own_traceback_in_each() -> None:
    runs = await run_batch_handler(handlers, "break", list(range(100)))
    assert {run.error["message"] for run in runs if run.error} == {"ValueError: all of it"}
    errors = [run.exception for run in runs if run.exception is not None]
    assert len(errors) == 100
    frames = [frame.name for frame in traceback.extract_tb(errors[-1].__traceback__)]
    assert frames.count("break_all") == 1
    assert frames.count("run_attempt") == 1


async def test_no_jobs_are_no_call() -> None:
    assert await run_batch_handler(handlers, "halve", []) == []
    assert sizes == []


async def test_a_handler_of_single_jobs_is_refused() -> None:
    with pytest.raises(HandlerError, match=r'the handler of "single" is not a batch handler; use run_handler'):
        await run_batch_handler(handlers, "single", [1])
    with pytest.raises(HandlerError, match='job type "halv" has no handler; known types: halve'):
        await run_batch_handler(handlers, "halv", [1])
