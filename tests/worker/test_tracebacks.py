"""A job's error has its location: the exception, the last frames of the handler's code, the traceback in its log."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from duly.domain.ids import new_job_id
from duly.domain.outcome import AttemptFacts, Failed, Outcome, WorkerLost, decide
from duly.domain.retry import DEFAULT_RETRY
from duly.worker.reports import _parts
from duly.worker.tracebacks import MOST_FRAMES, locate_error
from tests.support import traceback_handlers as support
from tests.support.service import Service, running_service

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.traceback_handlers")
ISOLATIONS = {
    "place": "in_a_task",
    "place-thread": "in_a_thread",
    "place-process": "in_a_process",
    "place-process-async": "in_a_process_async",
    "place-batch": "in_a_batch",
    "place-batch-thread": "in_a_batch_thread",
}


@pytest.fixture
async def placed(start_service: StartService) -> Service:
    return await start_service(handlers=HANDLERS)


async def details_of(service: Service, type_: str, parameters: Any = None) -> dict[str, Any]:
    view = await service.run(type_, parameters)
    details: dict[str, Any] = view["error"]["details"]
    return details


async def lines_of(service: Service, job_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await service.client.get(f"/api/v1/jobs/{job_id}/logs")).json()["items"]
    return items


async def test_an_error_names_its_exception_and_the_frames_of_the_handler_wherever_that_runs(placed: Service) -> None:
    for type_, function in ISOLATIONS.items():
        with capture_logs() as logs:
            view = await placed.run(type_, {"depth": 1})
        details = view["error"]["details"]
        assert details["exception"] == "ZeroDivisionError", type_
        functions = [frame["function"] for frame in details["frames"]]
        assert functions[0] == function
        assert functions[-2:] == ["divide", "divide"]
        assert details["frames"][-1] == {"file": support.__file__, "line": support.LINE, "function": "divide"}
        assert {frame["file"] for frame in details["frames"]} == {support.__file__}
        [line] = await lines_of(placed, view["jobId"])
        assert line["level"] == "error"
        assert line["message"].startswith("Traceback (most recent call last):")
        assert line["message"].splitlines()[-1] == "ZeroDivisionError: division by zero"
        assert support.SECRET not in str((view, line))
        assert [(log["action"], log["job_id"]) for log in logs if "attempt" in log] == [
            ("attempt_failed", view["jobId"])
        ]


async def test_only_the_last_frames_are_kept_however_deep_the_error_is(placed: Service) -> None:
    details = await details_of(placed, "place", {"depth": 300})
    assert [frame["function"] for frame in details["frames"]] == ["divide"] * MOST_FRAMES


async def test_the_frames_are_those_of_the_handler_where_a_library_or_duly_raises(placed: Service) -> None:
    details = await details_of(placed, "place-library")
    assert (details["exception"], [frame["function"] for frame in details["frames"]]) == (
        "JSONDecodeError",
        ["in_a_library"],
    )
    details = await details_of(placed, "place-duly")
    assert (details["exception"], [frame["function"] for frame in details["frames"]]) == ("HandlerError", ["in_duly"])


async def test_the_job_s_log_has_the_whole_traceback_with_its_cause(placed: Service) -> None:
    view = await placed.run("place-context")
    [line] = await lines_of(placed, view["jobId"])
    assert "ZeroDivisionError: division by zero" in line["message"]
    assert "direct cause of the following exception" in line["message"]
    assert line["message"].splitlines()[-1] == "LookupError: no such share"


async def test_a_traceback_longer_than_a_line_takes_several(placed: Service) -> None:
    view = await placed.run("place-long")
    lines = await lines_of(placed, view["jobId"])
    assert len(lines) > 3
    text = "\n".join(line["message"] for line in lines)
    assert text.count("x" * 3_000) == 10
    assert text.endswith("\ufffdthe end")


async def test_a_traceback_is_kept_beyond_the_limit_of_lines_and_not_where_none_are(
    start_service: StartService,
) -> None:
    for limit, kept in ((1, 1), (0, 0)):
        service = await start_service(handlers=HANDLERS, log_lines=limit)
        view = await service.run("place", {"depth": 0})
        assert len(await lines_of(service, view["jobId"])) == kept


async def test_a_handler_that_cancels_itself_is_shown_where(placed: Service) -> None:
    [frame] = (await details_of(placed, "place-cancels"))["frames"]
    assert (frame["file"], frame["function"]) == (support.__file__, "cancels_itself")


async def test_an_exit_has_a_place_and_a_failure_that_was_meant_needs_none(placed: Service) -> None:
    assert (await details_of(placed, "place-exit"))["exception"] == "SystemExit"
    assert await details_of(placed, "place-fail") == {"reason": "no such customer", "retryable": False, "attempt": 1}


def test_an_error_without_a_traceback_has_no_frames() -> None:
    place = locate_error(ValueError("new"), package="tests")
    assert (place.exception, place.frames, place.traceback) == ("ValueError", (), "ValueError: new")


@pytest.mark.parametrize(
    ("attempt", "retryable", "follows"), [(1, True, True), (2, True, False), (1, False, False), (2, False, False)]
)
def test_an_error_is_retryable_only_while_a_retry_follows(attempt: int, retryable: bool, follows: bool) -> None:
    facts = AttemptFacts(new_job_id(), 1, attempt, 2)
    outcomes: list[Outcome] = [Failed("TASK_FAILED", "why", "why", retryable=retryable)]
    for outcome in [*outcomes, WorkerLost()] if retryable else outcomes:
        end = decide(outcome, facts, policy=DEFAULT_RETRY, random=lambda: 0.5)
        assert end.kind.terminal is not follows
        assert f'"retryable": {str(follows).lower()}' in (end.data or "")


def test_parts_of_a_traceback_fit_a_line() -> None:
    assert list(_parts("")) == [""]
    assert list(_parts("a\nb")) == ["a\nb"]
    parts = list(_parts("\n".join("y" * 5_000 for _ in range(3))))
    assert [len(part) for part in parts] == [5_000] * 3


@pytest.mark.parametrize(
    ("how", "action"),
    [
        ("fail", "attempt_failed"),
        ("invalid", "attempt_failed"),
        ("raise", "attempt_failed"),
        ("time out", "attempt_timed_out"),
        ("cancel", "attempt_cancelled"),
    ],
)
async def test_an_end_that_is_no_success_writes_one_line(placed: Service, how: str, action: str) -> None:
    with capture_logs() as logs:
        members = {"timeoutSeconds": 0.1} if how == "time out" else {}
        job_id = (await placed.submit("ends-how", {"how": how}, **members))["jobId"]
        if how == "cancel":
            await placed.until(job_id, lambda view: view["status"] == "running")
            await placed.client.post(f"/api/v1/jobs/{job_id}/cancel")
        await placed.ended(job_id)
    assert [(line["action"], line["job_type"]) for line in logs if line.get("job_id") == job_id] == [
        (action, "ends-how")
    ]


async def test_a_success_writes_none(placed: Service) -> None:
    with capture_logs() as logs:
        await placed.run("echo")
    assert [line for line in logs if line.get("job_id")] == []


async def test_a_drain_writes_one_line_for_each_job_that_it_interrupts(database_url: str) -> None:
    with capture_logs() as logs:
        async with running_service(database_url, handlers=HANDLERS) as service:
            ids = [(await service.submit("ends-how", {"how": "hang"}))["jobId"] for _ in range(2)]
            for job_id in ids:
                await service.until(job_id, lambda view: view["status"] == "running")
    lines = [line for line in logs if line["action"] == "attempt_interrupted"]
    assert sorted(line["job_id"] for line in lines) == sorted(ids)
    assert all("the node was shut down" in line["event"] for line in lines)


async def test_a_sweep_writes_one_line_for_each_attempt_that_it_ends(start_service: StartService) -> None:
    service = await start_service(handlers=HANDLERS, roles=("api", "worker", "dispatcher"))
    lost, late = [(await service.submit("ends-how", {"how": "hang"}))["jobId"] for _ in range(2)]
    for job_id in (lost, late):
        await service.until(job_id, lambda view: view["status"] == "running")
    await service.sql("update running set node_id = gen_random_uuid() where job_id = $1", lost)
    await service.sql("update running set deadline = now() - interval '1 hour' where job_id = $1", late)
    with capture_logs() as logs:
        await service.node.sweeper.repair(service.node.node_id, lease_seconds=15)
    assert {(line["action"], line["job_id"]) for line in logs if line.get("job_id")} == {
        ("attempt_lost", lost),
        ("attempt_timed_out", late),
    }
    await asyncio.gather(service.ended(lost), service.ended(late))


async def test_a_job_that_expires_writes_one_line(start_service: StartService) -> None:
    service = await start_service(roles=("api",))
    job_id = (await service.submit("echo", expiresInSeconds=600))["jobId"]
    await service.sql("update ready set expires_at = now() where job_id = $1", job_id)
    with capture_logs() as logs:
        await service.node.sweeper.expire()
    assert [(line["action"], line["job_id"]) for line in logs if line.get("job_id")] == [("job_expired", job_id)]
    assert (await service.job(job_id))["error"]["code"] == "EXPIRED"
