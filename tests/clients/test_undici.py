"""undici, which is Node.js's `fetch`: kept connections, pipelining, bodies of unknown length, requests given up."""

from pathlib import Path

import pytest

from tests.support.command_line_clients import run
from tests.support.handlers import gate
from tests.support.node_packages import node_20, node_packages
from tests.support.service import Service

SUPPORT = Path(__file__).parents[1] / "support"
RIGHT = {
    "submit": "202",
    "submit and wait": "200 1",
    "one connection for many requests": "1",
    "pipelined": "30",
    "head": "200 0",
    "streamed body": "202",
    "not modified": "304",
    "stream": "job_submitted job_started job_completed",
    "given up": "TimeoutError 202",
    "socket": '{"type":"pong"}',
}


@pytest.fixture(scope="module")
async def outcomes(shared: Service, request: pytest.FixtureRequest) -> dict[str, str]:
    """The outcome of each check, all made in one run."""
    packages = node_packages(request.config, SUPPORT / "eventsource")
    ended = await run(node_20(), str(SUPPORT / "clients" / "undici.mjs"), str(packages), shared.url)
    gate("undici").set()
    assert ended.code == 0, ended.err
    return dict(line.split("\t", 1) for line in ended.out.splitlines())


@pytest.mark.parametrize("check", RIGHT)
async def test_undici_is_served(outcomes: dict[str, str], check: str) -> None:
    assert outcomes[check] == RIGHT[check]
