"""Runs schemathesis, a published fuzzer, on a service by its OpenAPI document."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.service import Service

# Of a run, which takes a minute on an idle machine; its tests have a longer limit than others.
BOUND_SECONDS = 840
# Streams stay open; they have tests of their own.
ALWAYS = (
    *("--exclude-path-regex", "stream", "--request-timeout", "120", "--max-failures", "20"),
    *("--suppress-health-check", "all", "--continue-on-failure", "--no-color", "--warnings", "off"),
)


class Fuzzed(NamedTuple):
    """Result of a run: its exit code, its report, and the number of cases that it generated."""

    code: int
    report: str
    cases: int


async def document_of(service: Service) -> dict[str, Any]:
    """Returns the document of a service, in which submissions are of known job types: of all texts that could name a
    type hardly any does, and most submissions would end there. Claims of workers do not wait for jobs.
    """
    document: dict[str, Any] = (await service.client.get("/openapi.json")).json()
    document["components"]["schemas"]["Submission"]["properties"]["type"]["enum"] = ["echo", "plain", "fail"]
    document["components"]["schemas"]["LeaseRequest"]["properties"]["waitSeconds"]["maximum"] = 0
    return document


async def fuzz(service: Service, document: Any, *, folder: Path, key: str, arguments: tuple[str, ...]) -> Fuzzed:
    """Sends generated requests with a key."""
    written = folder / "openapi.json"
    written.write_text(json.dumps(document))
    fuzzer = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("run", str(written), "--url", service.url, "--header", f"Authorization: Bearer {key}", *arguments, *ALWAYS),
        cwd=folder,  # where it keeps what it learned
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
    generated = re.search(r"(\d+) generated", report)
    return Fuzzed(fuzzer.returncode or 0, report, int(generated[1]) if generated else 0)
