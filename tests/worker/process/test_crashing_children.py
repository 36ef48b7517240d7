"""A child process may end in any way and at any time: it is noticed at once, and replaced."""

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from duly.worker.process.child_process import ChildProcess
from duly.worker.process.frames import Frames, encode_frame
from tests.support.service import Service, eventually
from tests.support.service_process import Gates, gone

StartService = Callable[..., Awaitable[Service]]
HANDLERS = ("tests.support.handlers", "tests.support.crashing_handlers")


@pytest.fixture
async def killing(start_service: StartService) -> Service:
    service = await start_service(handlers=HANDLERS)
    service.node.worker.processes._processes = 2
    return service


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path)


def idle_pids(service: Service) -> list[int]:
    return [child.pid for child in service.node.worker.processes._idle if child.pid is not None]


async def begun(gates: Gates, *names: str) -> None:
    async def look() -> bool:
        files = [gates.folder / f"{name}.begun" for name in names]
        return all(file.exists() and file.stat().st_size for file in files)  # it is empty before it is written

    await eventually(look)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGUSR1])
async def test_an_idle_child_that_ends_is_replaced(killing: Service, number: int) -> None:
    first = (await killing.run("pid"))["result"]
    for pid in idle_pids(killing):
        os.kill(pid, number)
    view = await killing.run("pid")
    assert (view["status"], view["attempt"]) == ("completed", 1)
    assert view["result"] != first
    assert (await killing.run("pid"))["status"] == "completed"


async def test_the_end_of_an_idle_child_is_logged(killing: Service) -> None:
    pid = (await killing.run("pid"))["result"]

    async def ended() -> bool:
        return pid not in idle_pids(killing)

    with capture_logs() as logs:
        os.kill(pid, signal.SIGKILL)
        await eventually(ended)
    [line] = [line for line in logs if line["action"] == "process_ended"]
    assert (line["pid"], "SIGKILL" in line["event"]) == (pid, True)


async def test_children_may_end_again_and_again(killing: Service) -> None:
    for _ in range(3):
        view = await killing.run("pid")
        assert (view["status"], view["attempt"]) == ("completed", 1)
        os.kill(view["result"], signal.SIGKILL)  # about to be idle, or idle


async def test_a_child_that_hangs_before_it_begins_gives_its_job_back(
    killing: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duly.worker.process.child_process.BEGIN_SECONDS", 0.2)
    killing.node.worker.processes._processes = 1
    await killing.run("pid")
    [pid] = idle_pids(killing)
    os.kill(pid, signal.SIGSTOP)
    view = await killing.run("pid")
    assert (view["status"], view["attempt"]) == ("completed", 1)
    assert "JobRequeued" in await killing.event_types(view["jobId"])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("status 0", "exit code 0"),
        ("status 7", "exit code 7"),
        ("status 255", "exit code 255"),
        ("SIGKILL", "SIGKILL"),
        ("SIGSEGV", "SIGSEGV"),
        ("SIGUSR1", "SIGUSR1"),
        ("from a thread", "exit code 0"),
        ("closes its files", "SIGKILL"),
        ("another program", "exit code 0"),
        ("with a copy that lives on", "exit code 0"),
    ],
)
async def test_the_end_of_a_child_in_the_middle_of_a_call_is_noticed_at_once(
    killing: Service, how: str, said: str
) -> None:
    """Its timeout is ten minutes."""
    view = await killing.run("ends", {"how": how})
    assert (view["status"], view["error"]["code"]) == ("failed", "TASK_FAILED")
    assert view["error"]["message"] == f"ProcessFailure: the handler's process ended ({said})"
    assert (await killing.run("pid"))["status"] == "completed"


@pytest.mark.parametrize(
    ("how", "status", "said"),
    [
        ("signals ignored", "completed", "lives"),
        ("a copy returns too", "completed", "own"),
        ("large", "completed", "x" * 1_000_000),
        ("surrogate", "completed", "\ufffd"),
        ("a program that SIGTERM ends", "completed", -signal.SIGTERM),
        (
            "object",
            "failed",
            "the result cannot be serialized as JSON: Unable to serialize unknown type: <class 'object'>",
        ),
        ("unpicklable error", "failed", "ProcessFailure: Unpicklable: holds a lock"),
        ("\U0001f600 \x01", "completed", "\U0001f600 \x01"),
    ],
)
async def test_whatever_a_handler_returns_or_raises_comes_back(
    killing: Service, how: str, status: str, said: object
) -> None:
    view = await killing.run("returns", {"how": how})
    told = view["result"] if status == "completed" else view["error"]["message"]
    assert (view["status"], told) == (status, said)
    assert (await killing.run("pid"))["status"] == "completed"


async def test_what_a_child_said_before_it_died_is_kept(killing: Service) -> None:
    view = await killing.run("says-and-dies")
    assert "exit code 9" in view["error"]["message"]
    lines = (await killing.client.get(f"/api/v1/jobs/{view['jobId']}/logs")).json()["items"]
    assert [line["message"] for line in lines][:5] == [f"line {number}" for number in range(5)]


async def test_what_a_handler_has_started_is_killed_with_its_process(killing: Service) -> None:
    job_id = (await killing.submit("helped"))["jobId"]
    view = await killing.until(job_id, lambda view: view["progressMessage"] is not None)
    helper = psutil.Process(int(view["progressMessage"]))
    await killing.client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (await killing.ended(job_id))["status"] == "cancelled"

    await gone([helper])


async def test_jobs_beyond_the_processes_wait_as_pending_while_others_run(killing: Service, gates: Gates) -> None:
    names = [f"gate-{number}" for number in range(8)]
    ids = [(await killing.submit("gated", gates.of(name)))["jobId"] for name in names]
    await begun(gates, *names[:2])
    assert (await killing.run("echo", {"n": 1}))["status"] == "completed"
    views = [await killing.job(job_id) for job_id in ids]
    assert [view["status"] for view in views] == ["running"] * 2 + ["pending"] * 6
    assert [view["attempt"] for view in views[2:]] == [0] * 6
    assert {view["waitingFor"] for view in views[2:]} == {"worker"}
    gates.open(*names)
    views = [await killing.ended(job_id) for job_id in ids]
    assert {(view["status"], view["attempt"]) for view in views} == {("completed", 1)}
    assert len({view["result"] for view in views}) == 2


async def test_another_node_takes_what_waits_for_a_process(start_service: StartService, gates: Gates) -> None:
    first = await start_service(handlers=HANDLERS)
    first.node.worker.processes._processes = 1
    held = (await first.submit("gated", gates.of("held")))["jobId"]
    await begun(gates, "held")
    waiting = (await first.submit("gated", gates.of("waiting")))["jobId"]
    second = await start_service(handlers=HANDLERS)
    gates.open("waiting")
    assert (await second.ended(waiting))["status"] == "completed"
    assert (await first.job(held))["status"] == "running"
    gates.open("held")
    await first.ended(held)


async def test_a_high_priority_goes_first_among_jobs_that_need_a_process(killing: Service, gates: Gates) -> None:
    killing.node.worker.processes._processes = 1
    first = await killing.submit("gated", gates.of("first"))
    await begun(gates, "first")
    later = [
        (await killing.submit("gated", gates.of(f"later-{priority}"), priority=priority))["jobId"]
        for priority in (0, 50)
    ]
    gates.open("later-50")
    gates.open("first")
    assert (await killing.ended(later[1]))["status"] == "completed"
    gates.open("later-0")
    for job_id in (first["jobId"], *later):
        assert (await killing.ended(job_id))["attempt"] == 1


async def test_a_cancelled_job_that_waits_for_a_process_never_starts(killing: Service, gates: Gates) -> None:
    killing.node.worker.processes._processes = 1
    first = await killing.submit("gated", gates.of("first"))
    await begun(gates, "first")
    second = (await killing.submit("gated", gates.of("second")))["jobId"]
    await killing.client.post(f"/api/v1/jobs/{second}/cancel")
    assert (await killing.ended(second))["status"] == "cancelled"
    gates.open("first")
    await killing.ended(first["jobId"])
    assert not (gates.folder / "second.begun").exists()


async def test_starting_a_process_does_not_count_to_the_timeout(start_service: StartService) -> None:
    service = await start_service(handlers=("tests.support.slow_to_import",))
    views = await asyncio.gather(*(service.run("slowly-imported") for _ in range(4)))
    assert {(view["status"], view["attempt"]) for view in views} == {("completed", 1)}


async def test_a_process_starts_though_handlers_keep_all_threads_of_the_loop(killing: Service) -> None:
    release = threading.Event()
    kept = [asyncio.ensure_future(asyncio.to_thread(release.wait, 60)) for _ in range(64)]
    try:
        assert (await killing.run("pid"))["status"] == "completed"
    finally:
        release.set()
        await asyncio.gather(*kept)


async def test_jobs_wait_while_no_process_can_be_started_and_the_log_says_why(
    start_service: StartService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_MISSING", str(tmp_path / "installed"))
    with capture_logs() as logs:
        service = await start_service(handlers=("tests.support.slow_to_import", "tests.support.handlers"))
        job_id = (await service.submit("slowly-imported"))["jobId"]

        async def said() -> bool:
            return any(line["action"] == "process_not_started" for line in logs)

        await eventually(said)
        assert (await service.run("echo"))["status"] == "completed"
        assert (await service.job(job_id))["status"] == "pending"
        (tmp_path / "installed").touch()
        view = await service.ended(job_id)
    assert (view["status"], view["attempt"]) == ("completed", 1)
    assert "not installed yet" in next(line["event"] for line in logs if line["action"] == "process_not_started")


async def test_a_child_killed_while_its_node_drains_gives_its_job_back_uncharged(
    start_service: StartService, gates: Gates
) -> None:
    service = await start_service(handlers=HANDLERS)
    job_id = (await service.submit("gated", gates.of("held")))["jobId"]
    await begun(gates, "held")
    service.node.worker.pool.stop_claiming()
    os.kill(int((gates.folder / "held.begun").read_text()), signal.SIGKILL)
    view = await service.until(job_id, lambda view: view["status"] == "pending")
    assert view["attempt"] == 0
    assert await service.event_types(job_id) == ["JobSubmitted", "JobStarted", "JobRequeued"]
    await service.client.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames_come_together_however_they_are_cut(size: int) -> None:
    values = [["ready"], ["end", "result", "é" * 300], []]
    sent = b"".join(map(encode_frame, values))
    frames = Frames()
    heard = [value for at in range(0, len(sent), size) for value in frames.take_in(sent[at : at + size])]
    assert heard == values


async def test_what_is_no_frame_of_a_child_ends_it(killing: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    killing.node.worker.processes._processes = 1
    await killing.run("pid")
    [child] = killing.node.worker.processes._idle
    assert isinstance(child, ChildProcess)
    child._frames.take_in(b"\0\0")
    monkeypatch.setattr(child._frames, "take_in", lambda _: [3])
    assert (await killing.run("pid"))["status"] == "completed"
