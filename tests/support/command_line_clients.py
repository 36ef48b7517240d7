"""curl, wget and other programs, run beside the service of a test without blocking its event loop."""

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.node_packages import program
from tests.support.service import ServiceClient

# Bounds, which only end a hang: of a program (Java compiles first), and of a request.
SECONDS = 200.0
REQUEST_SECONDS = "90"
CURL = "curl is not on this machine: apt-get install curl"
WGET = "wget is not on this machine: apt-get install wget"

# Options of curl.
JSON = ("-H", "Content-Type: application/json")
LINES = ("-H", "Content-Type: application/x-ndjson")
STATUS = ("-o", "/dev/null", "-w", "%{http_code} %{http_version}")


@dataclass(frozen=True, slots=True)
class Ended:
    """Output and exit code of a finished program."""

    code: int
    out: str
    err: str


async def run(*command: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> Ended:
    """Runs a program to its end, with a time limit."""
    started = await asyncio.create_subprocess_exec(*command, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await started.communicate(given)
    except TimeoutError:
        started.kill()
        await started.wait()
        raise
    return Ended(started.returncode or 0, out.decode(), err.decode())


async def curl(service: ServiceClient, path: str, *options: str, given: bytes = b"") -> Ended:
    """Runs curl on a URL of the service."""
    binary = program("curl", CURL)
    return await run(binary, "-sS", "-m", REQUEST_SECONDS, *options, service.url + path, given=given)


async def wget(service: ServiceClient, path: str, *options: str) -> Ended:
    """Runs wget on a URL of the service, without retries."""
    binary = program("wget", WGET)
    return await run(binary, "--no-verbose", "--tries=1", f"--timeout={REQUEST_SECONDS}", *options, service.url + path)
