"""`duly serve --reload`: new code runs at once, and neither jobs nor streams notice more than a short pause."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.database_pool import TestDatabases
from tests.support.postgres_servers import Server
from tests.support.service import eventually
from tests.support.service_process import ServiceProcess, starting_processes

JOBS = '''
import asyncio, time
from pathlib import Path
from duly import Handlers, JobContext

handlers = Handlers()
MARK = {mark!r}

@handlers.register("in-loop")
async def in_loop() -> str:
    return MARK

@handlers.register("in-thread")
def in_thread() -> str:
    return MARK

@handlers.register("in-process", isolation="process")
def in_process() -> str:
    return MARK

@handlers.register("long")
async def long(folder: Path, job: JobContext) -> list[object]:
    """Ends at once with later code than that of its first attempt."""
    first = not (folder / "begun").exists()
    (folder / "begun").touch()
    await job.progress(10, MARK)
    if first:
        await asyncio.sleep(3600)
    return [MARK, job.attempt]
'''


@dataclass
class Reloading:
    """Service in a process of its own that watches `reloaded_jobs.py`."""

    service: ServiceProcess
    module: Path
    reloads: int = 0

    def lines(self, *actions: str) -> list[dict[str, Any]]:
        """Returns the log lines with one of these actions."""
        read = [json.loads(line) for line in self.service.command.stderr.splitlines() if line.startswith("{")]
        return [line for line in read if line["action"] in actions]

    async def write(self, text: str) -> dict[str, Any]:
        """Writes the module, and returns the log line of its reload."""
        written = self.module.with_suffix(".new")  # at once: half a file would be a reload of its own
        written.write_text(text)
        written.replace(self.module)
        self.reloads += 1

        async def line() -> dict[str, Any] | None:
            found = self.lines("handlers_reloaded", "handlers_not_reloaded")
            return found[self.reloads - 1] if len(found) >= self.reloads else None

        reloaded: dict[str, Any] = await eventually(line)
        return reloaded

    async def results(self) -> set[str]:
        """Returns the results of a job of each isolation."""
        ends = [await self.service.run(name) for name in ("in-loop", "in-thread", "in-process")]
        return {end["result"] for end in ends}


@pytest.fixture(scope="module")
async def reloading(
    server: Server, databases_of: Callable[[Server], TestDatabases], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reloading]:
    folder = tmp_path_factory.mktemp("reload")
    module = folder / "reloaded_jobs.py"
    module.write_text(JOBS.format(mark="first"))
    async with databases_of(server).lent() as url, starting_processes(folder) as processes:
        variables = {"DULY_DATABASE_URL": url, "DULY_HANDLERS": "reloaded_jobs", "PYTHONPATH": str(folder)}
        command = processes.run_afresh("serve", "--port", "0", "--reload", **variables)
        yield Reloading(await processes.ready(command, url), module)


async def test_a_changed_file_is_what_the_next_job_runs_in_tasks_threads_and_processes(reloading: Reloading) -> None:
    await reloading.write(JOBS.format(mark="as before"))
    assert await reloading.results() == {"as before"}
    line = await reloading.write(JOBS.format(mark="second"))
    assert (line["action"], line["files"]) == ("handlers_reloaded", [str(reloading.module)])
    assert await reloading.results() == {"second"}


async def test_a_syntax_error_is_named_and_the_previous_code_keeps_running(reloading: Reloading) -> None:
    await reloading.write(JOBS.format(mark="sound"))
    assert await reloading.results() == {"sound"}
    line = await reloading.write(JOBS.format(mark="unsound") + "\ndef broken(:\n")
    assert line["action"] == "handlers_not_reloaded"
    place = len(JOBS.splitlines()) + 2
    assert f"({reloading.module}, line {place})" in line["message"]
    assert await reloading.results() == {"sound"}
    await reloading.write(JOBS.format(mark="mended"))
    assert await reloading.results() == {"mended"}


async def test_types_are_added_and_removed(reloading: Reloading) -> None:
    client = reloading.service.client
    await reloading.write(JOBS.format(mark="types"))
    line = await reloading.write(JOBS.format(mark="types").replace('"in-loop"', '"in-the-loop"'))
    assert (line["added"], line["removed"]) == (["in-the-loop"], ["in-loop"])
    assert (await reloading.service.run("in-the-loop"))["result"] == "types"
    workers = {each["type"]: each["workers"] for each in (await client.get("/api/v1/job-types")).json()["items"]}
    assert (workers["in-the-loop"], workers["in-loop"]) == (1, 0)


async def test_a_running_job_ends_once_with_the_new_code_and_its_attempt_is_not_counted(
    reloading: Reloading, tmp_path: Path
) -> None:
    await reloading.write(JOBS.format(mark="old"))
    job = await reloading.service.submit("long", str(tmp_path), maxAttempts=1)
    async with frames_of(reloading.service, job["jobId"]) as frames:
        assert [(await anext(frames))["type"] for _ in range(3)] == ["job_submitted", "job_started", "job_progress"]
        line = await reloading.write(JOBS.format(mark="new"))
        rest = [frame async for frame in frames]
    assert line["interrupted"] == 1
    assert [frame["type"] for frame in rest] == ["job_retrying", "job_started", "job_progress", "job_completed"]
    end = await reloading.service.ended(job["jobId"])
    assert end["result"] == ["new", 1]
    kinds = await reloading.service.event_types(job["jobId"])
    assert kinds.count("JobCompleted") == 1


async def test_streams_of_all_jobs_and_sockets_stay_open(reloading: Reloading) -> None:
    await reloading.write(JOBS.format(mark="stream"))
    address = reloading.service.url.replace("http:", "ws:")
    async with (
        connect(f"{address}/ws/jobs") as socket,
        reloading.service.client.stream("GET", "/api/v1/events/stream") as answer,
    ):
        lines = answer.aiter_lines()
        before = await reloading.service.run("in-loop")
        await until_seen(lines, before["jobId"])
        await reloading.write(JOBS.format(mark="stream on"))
        after = await reloading.service.run("in-loop")
        await until_seen(lines, after["jobId"])
        assert await asyncio.wait_for(await socket.ping(), 60) > 0
    assert (before["result"], after["result"]) == ("stream", "stream on")


async def until_seen(lines: AsyncIterator[str], job_id: str) -> None:
    """Reads a stream up to the end of a job."""
    async with asyncio.timeout(60):
        async for line in lines:
            if line.startswith("data: ") and job_id in line and "job_completed" in line:
                return
    raise AssertionError("the stream has ended")


@asynccontextmanager
async def frames_of(service: ServiceProcess, job_id: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Follows the stream of a job to its end."""
    async with service.client.stream("GET", f"/api/v1/jobs/{job_id}/events/stream") as answer:
        yield _data(answer)


async def _data(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
