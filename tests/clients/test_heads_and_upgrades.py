"""curl, wget and netcat that ask by HEAD, offer HTTP/2, or end their sending before they read."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.command_line_clients import JSON, STATUS, curl, run, wget
from tests.support.node_packages import program
from tests.support.service import Service

ECHO = '{"type": "echo", "parameters": [1]}'


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/jobs", "/openapi.json", "/docs"])
async def test_curl_and_wget_look_by_head(shared: Service, path: str) -> None:
    ended = await curl(shared, path, "-I")
    assert ended.out.startswith("HTTP/1.1 200 ")
    assert (await wget(shared, path, "--spider")).code == 0


async def test_curl_offers_http_2(shared: Service, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text(json.dumps({"type": "echo", "parameters": "x" * 200_000}))
    for body in (ECHO, f"@{large}"):
        ended = await curl(shared, "/api/v1/jobs", "--http2", *JSON, "-d", body, *STATUS)
        assert ended.out == "202 1.1"
    twice = (*STATUS, "-o", "/dev/null", shared.url + "/api/v1/jobs")
    ended = await curl(shared, "/api/v1/jobs", "--http2", *JSON, "-d", ECHO, *twice)
    assert ended.out == "202 1.1" * 2


REQUESTS = {
    "read": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "read and keep": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.0": b"GET /readyz HTTP/1.0\r\n\r\n",
    "submission": b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Prefer: wait=60\r\nContent-Length: 35\r\n\r\n" + ECHO.encode(),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_netcat_that_ends_its_sending_gets_the_answer(shared: Service, name: str) -> None:
    netcat = program("nc", "netcat is not on this machine: apt-get install netcat-openbsd")
    port = str(urlsplit(shared.url).port)
    ended = await run(netcat, "-N", "-w", "90", "127.0.0.1", port, given=REQUESTS[name])
    assert ended.out.startswith("HTTP/1.1 200 "), ended
