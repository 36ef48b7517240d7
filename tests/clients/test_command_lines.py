"""curl and wget, as people and health checks call them."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.command_line_clients import CURL, JSON, LINES, STATUS, curl, wget
from tests.support.handlers import gate, has_entered
from tests.support.node_packages import program
from tests.support.service import BOUND_SECONDS, Service

ECHO = '{"type": "echo", "parameters": [1]}'
LONG_LINE = json.dumps({"type": "echo", "parameters": "x" * 100_000}) + "\n"


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
async def test_curl_submits(shared: Service, version: str) -> None:
    ended = await curl(shared, "/api/v1/jobs", version, *JSON, "-d", ECHO, *STATUS)
    assert ended.out == "202 1.1"


async def test_curl_uploads_lines_after_100_continue(shared: Service, tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text(LONG_LINE * 12)  # from a mebibyte on curl asks first
    ended = await curl(shared, "/api/v1/jobs/batch", *LINES, "--data-binary", f"@{tmp_path}/jobs", "-v", *STATUS)
    assert ended.out == "202 1.1"
    assert "100 Continue" in ended.err


async def test_curl_uploads_lines_from_a_pipe_without_knowing_their_length(shared: Service) -> None:
    given = LONG_LINE.encode() * 12
    ended = await curl(shared, "/api/v1/jobs/batch", *LINES, "-X", "POST", "-T", "-", *STATUS, given=given)
    assert ended.out == "202 1.1"


async def test_curl_shows_a_stream_as_it_comes(shared: Service) -> None:
    job_id = (await shared.submit("wait-for-gate", {"name": "curl"}))["jobId"]
    binary = program("curl", CURL)
    streaming = await asyncio.create_subprocess_exec(
        *(binary, "-sSN", f"{shared.url}/api/v1/jobs/{job_id}/events/stream"), stdout=asyncio.subprocess.PIPE
    )
    assert streaming.stdout is not None
    async with asyncio.timeout(BOUND_SECONDS):
        await has_entered("curl").wait()
        while b"job_started" not in await streaming.stdout.readline():
            pass
        gate("curl").set()
        rest, _ = await streaming.communicate()
    assert b"job_completed" in rest


async def test_curl_gets_what_it_asked_for_compressed(shared: Service) -> None:
    job_id = (await shared.run("echo", "x" * 5_000))["jobId"]
    ended = await curl(shared, f"/api/v1/jobs/{job_id}", "--compressed")
    assert json.loads(ended.out)["result"] == "x" * 5_000


async def test_curl_keeps_its_etag_in_a_file(shared: Service, tmp_path: Path) -> None:
    job_id = (await shared.run("echo"))["jobId"]
    kept = ("--etag-save", f"{tmp_path}/etag", "--etag-compare", f"{tmp_path}/etag")
    statuses = [(await curl(shared, f"/api/v1/jobs/{job_id}", *kept, *STATUS)).out for _ in range(2)]
    assert statuses == ["200 1.1", "304 1.1"]


async def test_wget_reads_and_submits(shared: Service) -> None:
    submit = ("-O-", "--header=Content-Type: application/json", f"--post-data={ECHO}")
    job_id = json.loads((await wget(shared, "/api/v1/jobs", *submit)).out)["jobId"]
    assert (await shared.ended(job_id))["status"] == "completed"
    assert json.loads((await wget(shared, f"/api/v1/jobs/{job_id}", "-O-")).out)["result"] == [1]


async def test_wget_names_the_error(shared: Service) -> None:
    ended = await wget(shared, "/api/v1/nothing", "-O-")
    assert (ended.code, ended.out) == (8, "")
    assert "404" in ended.err
