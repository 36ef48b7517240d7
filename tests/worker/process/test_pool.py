"""Handlers in processes can be killed, and the end of the process is the end of the attempt."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from tests.support.service import Service, eventually, running_service
from tests.support.service_process import pid_lives
from tests.support.timeouts import time_out

StartService = Callable[..., Awaitable[Service]]


async def pid_of(service: Service, job_id: str) -> int:
    """Returns the process id that a `process-tell-pid` job has reported."""
    view = await service.until(job_id, lambda view: view["progressMessage"] is not None)
    return int(view["progressMessage"])


async def gone(pid: int) -> None:
    async def look() -> bool:
        return not pid_lives(pid)

    await eventually(look)


def is_tracker(child: psutil.Process) -> bool:
    """Returns whether a child is the library's resource tracker, or has ended since it was listed."""
    try:
        return "resource_tracker" in " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return True


async def test_a_result_and_the_progress_come_back_from_the_child(service: Service) -> None:
    view = await service.run("process", {"a": 1})
    assert (view["status"], view["result"]["a"]) == ("completed", 1)
    assert view["result"]["pid"] != os.getpid()
    assert view["progress"] == 100
    events = await service.events(view["jobId"])
    assert [event["eventType"] for event in events] == ["JobSubmitted", "JobStarted", "JobProgressed", "JobCompleted"]
    assert events[2]["data"]["message"] == "from a child"


def test_a_child_starts_without_what_only_its_node_needs() -> None:
    ask = [sys.executable, "-c", "import sys, duly.worker.process.main; print(*sys.modules)"]
    imported = set(subprocess.run(ask, capture_output=True, text=True, check=True, timeout=60).stdout.split())
    assert "duly.worker.process.main" in imported
    assert not imported & {"asyncpg", "cryptography", "fastapi", "httpx", "prometheus_client", "structlog"}


async def test_what_a_child_said_last_is_recorded_before_its_end(service: Service) -> None:
    await service.run("process", {})  # the child is up, so that the words below come all at once
    with capture_logs() as logs:
        for _ in range(10):
            view = await service.run("process-progress")
            told = [event["data"] for event in await service.events(view["jobId"]) if "progress" in event["data"]]
            assert told[-1]["message"] == "step 5"
    lines = [line["event"] for line in logs if line.get("action") == "job_log"]
    assert lines[:5] == ["step 1", "step 2", "step 3", "step 4", "step 5"]
    assert len(lines) == 50
    assert not [line for line in logs if line.get("action") == "lease_lost"]


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        ("process-raise", "ProcessFailure: ValueError: from a child"),
        ("process-exit", "ProcessFailure: SystemExit: 3"),
        ("process-die", "ProcessFailure: the handler's process ended (exit code 7)"),
    ],
)
async def test_a_child_that_fails_or_dies_fails_its_attempt(service: Service, type_: str, message: str) -> None:
    view = await service.run(type_)
    assert (view["status"], view["error"]["code"], view["error"]["message"]) == ("failed", "TASK_FAILED", message)
    assert (await service.run("process", {"still": "works"}))["status"] == "completed"


@pytest.mark.parametrize(
    ("how", "status", "told"),
    [
        ("retry", "completed", 2),
        ("fail", "failed", ("CUSTOMER_UNKNOWN", "no such customer", False)),
        ("nan", "failed", ("RESULT_INVALID", "the result cannot be serialized as JSON: it contains NaN", False)),
        ("echo", "completed", {"how": "echo"}),
    ],
)
async def test_a_child_ends_as_a_handler_in_the_loop_does(service: Service, how: str, status: str, told: Any) -> None:
    view = await service.run("process-words", {"how": how})
    assert view["status"] == status
    if status == "completed":
        assert view["result"] == told
    else:
        error = view["error"]
        assert (error["code"], error["message"], error["details"]["retryable"]) == told


async def test_a_child_killed_by_the_system_fails_its_attempt(service: Service) -> None:
    job_id = (await service.submit("process-tell-pid"))["jobId"]
    os.kill(await pid_of(service, job_id), signal.SIGKILL)
    view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "TASK_FAILED")
    assert "process ended" in view["error"]["message"]


async def test_a_timeout_kills_the_child(service: Service) -> None:
    job_id = (await service.submit("process-tell-pid"))["jobId"]
    pid = await pid_of(service, job_id)
    await time_out(service, job_id)
    view = await service.ended(job_id)
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")
    await gone(pid)


async def test_a_child_that_burns_the_cpu_is_killed_by_its_timeout(service: Service) -> None:
    view = await service.run("process-hang")
    assert (view["status"], view["error"]["code"]) == ("failed", "TIMED_OUT")


async def test_a_cancel_kills_the_child(service: Service) -> None:
    job_id = (await service.submit("process-tell-pid"))["jobId"]
    pid = await pid_of(service, job_id)
    assert (await service.client.post(f"/api/v1/jobs/{job_id}/cancel")).status_code == 202
    assert (await service.ended(job_id))["status"] == "cancelled"
    await gone(pid)


async def test_no_child_outlives_its_node(database_url: str) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    async with running_service(database_url) as service:
        job_id = (await service.submit("process-tell-pid"))["jobId"]
        pid = await pid_of(service, job_id)
    await gone(pid)
    after = psutil.Process().children(recursive=True)
    assert [child for child in after if child.pid not in before and not is_tracker(child)] == []
    async with running_service(database_url) as service:
        assert (await service.job(job_id))["attempt"] in {0, 1}
        await service.client.post(f"/api/v1/jobs/{job_id}/cancel")
        assert (await service.ended(job_id))["status"] == "cancelled"
