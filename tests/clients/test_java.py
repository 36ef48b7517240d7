"""Java's own HTTP client: its first request on a connection offers h2c, with the body behind the head."""

import asyncio
from pathlib import Path

import pytest

from tests.support.command_line_clients import run
from tests.support.handlers import gate, has_entered
from tests.support.node_packages import program
from tests.support.service import Service

PROGRAM = Path(__file__).parents[1] / "support" / "clients" / "Client.java"
MISSING = "Java 11 or newer with its compiler is not on this machine: apt-get install default-jdk-headless"
RIGHT = {
    "submit": "202 HTTP_1_1",
    "submit on a new connection": "202 HTTP_1_1",
    "submit and wait": "200 HTTP_1_1",
    "large body": "202 HTTP_1_1",
    "chunked body": "202 HTTP_1_1",
    "expect continue": "202 HTTP_1_1",
    "head": "200 HTTP_1_1",
    "no body": "200 HTTP_1_1",
    "many at once": "[202]",
    "long poll": "completed",
    "not modified": "304 HTTP_1_1",
    "lines": "job_submitted job_started job_completed",
    "socket": '{"type":"pong"}',
}


@pytest.fixture(scope="module")
async def outcomes(shared: Service) -> dict[str, str]:
    """The outcome of each check, all made in one run."""
    program("javac", MISSING)

    async def let_go() -> None:
        await has_entered("java").wait()
        gate("java").set()

    waiting = asyncio.create_task(let_go())
    ended = await run(program("java", MISSING), "-XX:TieredStopAtLevel=1", str(PROGRAM), shared.url)
    waiting.cancel()
    assert ended.code == 0, ended.err
    return dict(line.split("\t", 1) for line in ended.out.splitlines())


@pytest.mark.parametrize("check", RIGHT)
async def test_java_is_served(outcomes: dict[str, str], check: str) -> None:
    assert outcomes[check] == RIGHT[check]
