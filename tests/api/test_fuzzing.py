"""A published fuzzer finds no response that differs from the OpenAPI document, and no internal error."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.keys import OWN
from tests.support.service import Service

StartService = Callable[..., Awaitable[Service]]
# Streams stay open; they have tests of their own.
# By number, not by time: a slow machine tries as much as a fast one. FUZZ_EXAMPLES=200 for a longer look.
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "10")
LEAST_CASES = 500
ARGUMENTS = (
    *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance"),
    *("--checks", "response_schema_conformance", "--phases", "examples,fuzzing,stateful", "--max-examples", EXAMPLES),
    *("--exclude-path-regex", "stream", "--request-timeout", "30", "--max-failures", "20"),
    *("--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--warnings", "off"),
)
BOUND_SECONDS = 240


@pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")
async def test_schemathesis_finds_nothing(start_service: StartService, tmp_path: Path) -> None:
    # With a key: without one, the first key that the fuzzer creates would lock it out.
    service = await start_service(api_key=OWN)
    document = (await service.client.get("/openapi.json")).json()
    # Of all the texts that could name a job type hardly any does: most submissions would end there.
    document["components"]["schemas"]["Submission"]["properties"]["type"]["enum"] = ["echo", "plain", "fail"]
    written = tmp_path / "openapi.json"
    written.write_text(json.dumps(document))
    fuzzer = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("run", str(written), "--url", service.url, "--header", f"Authorization: Bearer {OWN}", *ARGUMENTS),
        cwd=tmp_path,  # where it keeps what it learned
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            printed, _ = await fuzzer.communicate()
    finally:
        if fuzzer.returncode is None:
            fuzzer.kill()
            await fuzzer.wait()
    report = printed.decode(errors="replace")
    assert fuzzer.returncode == 0, report[-6000:]
    generated = re.search(r"(\d+) generated", report)
    assert generated is not None and int(generated[1]) >= LEAST_CASES, report[-3000:]
    [[recorded]] = await service.sql("select count(*) from jobs")
    assert recorded >= 1, report[-3000:]
