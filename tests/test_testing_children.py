"""Helper to test a handler that submits jobs: it records the submissions, and the test chooses their outcomes."""

from typing import Any

import pytest

from duly import ChildFailed, Fail, Handlers, JobContext
from duly.testing import run_batch_handler, run_handler, run_handler_sync

handlers = Handlers()


@handlers.register("report")
async def report(months: list[str], job: JobContext) -> dict[str, Any]:
    pages = await job.submit_many([{"type": "page", "parameters": {"month": month}} for month in months], name="pages")
    texts = await pages.results()
    cover = await job.submit("cover", {"pages": len(texts)}, delay_seconds=5, depends_on=list(pages))
    try:
        return {"cover": await cover.result(), "texts": texts}
    except ChildFailed as error:
        return {"cover": None, "why": [error.code, error.message]}


@handlers.register("plain-report")
def plain_report(months: list[str], job: JobContext) -> list[str]:
    return [job.submit("page", {"month": month}).result() for month in months]


@handlers.register("sum-up")
async def sum_up(parameters: dict[str, str], job: JobContext) -> list[Any]:
    return [[item["status"], item["result"]] async for item in job.batch_results(parameters["batchId"])]


@handlers.register("reports", batch=10)
async def reports(months: list[str], jobs: list[JobContext]) -> list[Any]:
    return [await (await job.submit("page", month)).result() for month, job in zip(months, jobs, strict=True)]


@handlers.register("wrong")
async def wrong(job: JobContext) -> None:
    await job.submit("page", priority=1000)


def page(parameters: dict[str, str]) -> str:
    return f"page of {parameters['month']}"


async def test_what_a_handler_submits_is_told_and_ends_as_the_test_says() -> None:
    run = await run_handler(handlers, "report", ["may", "june"], children={"page": page, "cover": {"colour": "red"}})
    assert run.result == {"cover": {"colour": "red"}, "texts": ["page of may", "page of june"]}
    first, second, cover = run.children
    assert [child.type for child in run.children] == ["page", "page", "cover"]
    assert (first.parameters, second.parameters) == ({"month": "may"}, {"month": "june"})
    assert cover.options == {"delay_seconds": 5, "depends_on": [str(first.job_id), str(second.job_id)]}


@pytest.mark.parametrize("how", [Fail("no colour left", code="EMPTY"), lambda _: 1 / 0])
async def test_a_child_may_fail(how: Any) -> None:
    run = await run_handler(handlers, "report", ["may"], children={"page": page, "cover": how})
    words = ["EMPTY", "no colour left"] if isinstance(how, Fail) else ["TASK_FAILED", "division by zero"]
    assert run.result == {"cover": None, "why": words}


async def test_a_failure_that_nobody_catches_is_final() -> None:
    run = await run_handler(handlers, "report", ["may"], children={"page": ValueError("torn")})
    assert (run.completed, run.retried) == (False, False)
    assert run.error is not None
    assert run.error["message"].endswith("did not complete: TASK_FAILED: torn")


def test_a_plain_function_gets_its_results_too() -> None:
    run = run_handler_sync(handlers, "plain-report", ["may", "june"], children={"page": page})
    assert run.result == ["page of may", "page of june"]


async def test_a_job_that_follows_a_batch_reads_what_it_is_given() -> None:
    batch = {"batchId": "0199c1f0-0000-7000-8000-000000000000"}
    run = await run_handler(handlers, "sum-up", batch, batch=[1, Fail("no")])
    assert run.result == [["completed", 1], ["failed", None]]
    run = await run_handler(handlers, "sum-up", batch)
    assert run.error is not None
    assert "batch=[...]" in run.error["message"]


async def test_the_jobs_of_one_call_have_each_its_own() -> None:
    runs = await run_batch_handler(handlers, "reports", ["may", "june"], children={"page": str.upper})
    assert [run.result for run in runs] == ["MAY", "JUNE"]
    assert [child.parameters for run in runs for child in run.children] == ["may", "june"]


async def test_what_a_service_would_refuse_is_refused() -> None:
    run = await run_handler(handlers, "wrong")
    assert run.error is not None
    assert run.error["message"].startswith('HandlerError: job.submit("page"): priority: ')


async def test_a_result_that_is_not_given_is_asked_for() -> None:
    run = await run_handler(handlers, "plain-report", ["may"])
    assert run.error is not None
    assert 'no result for child jobs of type "page"' in run.error["message"]
