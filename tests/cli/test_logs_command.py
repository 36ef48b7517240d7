"""`duly logs` of a job that has ended, and of one that is followed live."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from duly.cli import job_logs
from duly.cli.job_logs import LogReader
from duly.cli.terminal_client import TerminalClient
from tests.cli.conftest import environment
from tests.support import handlers as support
from tests.support.browser import running_relay
from tests.support.forked_commands import ForkedProcess, fork_server, run_forked
from tests.support.service import Service, eventually, running_service

HANDLERS = ("tests.support.handlers", "tests.support.log_and_checkpoint_handlers")
LINES = [("debug", "begins", {}), ("info", "read it", {"rows": 3, "name": "two words"}), ("error", "\x1b[2Jgone", {})]


@pytest.fixture
async def talking(database_url: str) -> AsyncIterator[Service]:
    support.forget()
    async with running_service(database_url, handlers=HANDLERS) as service:
        yield service


@asynccontextmanager
async def followed(url: str, job_id: str, folder: Path) -> AsyncIterator[tuple[ForkedProcess, Path]]:
    """`duly logs -f` of the job, and the file that it writes to."""
    shown = folder / "shown"
    process = fork_server().start(
        ["logs", job_id, "-f"], environment=environment(DULY_URL=url), stdout=shown, stderr=shown
    )
    try:
        yield process, shown
    finally:
        process.kill()


async def contains(file: Path, text: str) -> None:
    async def found() -> bool:
        return text in file.read_text()

    await eventually(found)


async def test_lines_are_printed_with_their_attempt_level_and_fields(talking: Service) -> None:
    job_id = (await talking.run("say", {"lines": LINES, "succeed_on": 2}))["jobId"]

    async def printed(*arguments: str) -> list[str]:
        done = await asyncio.to_thread(
            run_forked, ["logs", job_id, *arguments], environment=environment(DULY_URL=talking.url)
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    lines = await printed()
    assert [line[26:] for line in lines[:3]] == [
        "1  debug    begins",
        '1  info     read it  rows=3  name="two words"',
        r"1  error    \x1b[2Jgone",
    ]
    assert len(lines) == 6
    assert [line[26] for line in await printed("--attempt", "2", "--level", "info")] == ["2", "2"]
    assert [json.loads(line)["line"] for line in await printed("--json", "--attempt", "1")] == [1, 2, 3]


async def test_lines_are_followed_until_the_job_ends(talking: Service, tmp_path: Path) -> None:
    job_id = (await talking.submit("say-and-wait"))["jobId"]
    async with followed(talking.url, job_id, tmp_path) as (process, shown):
        await contains(shown, "waits")
        support.gate("default").set()
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert [line.split()[-1] for line in shown.read_text().splitlines()] == ["waits", "goes"]


async def test_following_goes_on_after_an_outage_of_the_service(talking: Service, tmp_path: Path) -> None:
    job_id = (await talking.submit("say-and-wait"))["jobId"]
    async with running_relay(talking.url) as relay, followed(relay.url, job_id, tmp_path) as (process, shown):
        await contains(shown, "waits")
        relay.target = None
        relay.cut()
        support.gate("default").set()
        await talking.ended(job_id)
        relay.target = talking.url
        assert await asyncio.to_thread(process.wait, 60) == 0
        assert [line.split()[-1] for line in shown.read_text().splitlines()] == ["waits", "goes"]


async def test_each_line_is_read_once_over_several_pages(talking: Service) -> None:
    job_id = (await talking.run("say-much", {"lines": 450}))["jobId"]

    def read() -> list[list[int]]:
        with TerminalClient(talking.url) as client:
            reader = LogReader(client, job_id, attempt=None, level="debug")
            return [[line["line"] for line in reader.read()] for _ in range(2)]

    assert await asyncio.to_thread(read) == [list(range(1, 451)), []]


def test_lines_that_come_after_the_end_are_read_until_no_more_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_logs, "SETTLE_SECONDS", 0.0)
    before, late, later = [{"message": message} for message in ("before", "late", "later")]
    reads = iter([[before], [late], [later], []])
    client = SimpleNamespace(get=lambda _: {"status": "completed"})
    reader = SimpleNamespace(read=lambda: next(reads))
    assert list(job_logs.follow(cast("Any", client), "a job", cast("Any", reader))) == [before, late, later]
