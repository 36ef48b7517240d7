"""A client with more connections than the service has file descriptors does not block others."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from duly.api.server.connection_limits import most_connections, raise_file_limit
from duly.settings import Settings
from tests.support.service_process import Processes, starting_processes

DESCRIPTORS = 1024
SILENT = 1100
PIECES = (b"", b"", b"", b"GET /healthz HTTP/1.1\r\nHo")


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Processes]:
    async with starting_processes(tmp_path) as running:
        yield running


async def test_1100_silent_connections_under_1024_descriptors_stop_nobody(
    processes: Processes, database_url: str
) -> None:
    assert raise_file_limit() > SILENT + 200, "the test itself needs more open files: raise the hard limit (ulimit -n)"
    command = processes.begin(database_url)
    resource.prlimit(command.pid, resource.RLIMIT_NOFILE, (256, DESCRIPTORS))
    service = await processes.ready(command, database_url)
    assert resource.prlimit(command.pid, resource.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
    before = psutil.Process(command.pid).memory_info().rss
    address = urlsplit(service.url)
    with ExitStack() as stack:
        for number in range(SILENT):
            made = stack.enter_context(
                socket.create_connection((address.hostname or "", address.port or 0), timeout=60)
            )
            made.sendall(PIECES[number % len(PIECES)])
            if number % 100 == 0:
                async with asyncio.timeout(60):
                    assert (await service.run("echo"))["status"] == "completed"
        metrics = await service.metrics()
        most, _ = most_connections(Settings(), files=DESCRIPTORS)
        assert metrics["duly_connections"] <= most
        assert metrics['duly_connections_closed_total{reason="room"}'] >= SILENT - most
        assert psutil.Process(command.pid).memory_info().rss - before < 50 << 20
    assert await service.stop() == 0
