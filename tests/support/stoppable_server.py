"""Database server that a test may stop, kill, freeze and restart."""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from duly.embedded.server import EmbeddedServer, embedded_server, revive
from tests.support.postgres_servers import Server, open_folder
from tests.support.service_process import gone

STOP_SECONDS = 60.0


@dataclass
class OwnServer:
    """Embedded server under control of the test."""

    embedded: EmbeddedServer

    @property
    def server(self) -> Server:
        return Server("own 18", self.embedded.url.replace("/duly?", "/DATABASE?"))

    async def stop(self) -> None:
        """Stops the server immediately, like a power failure for its clients; committed data remains."""
        postmaster = psutil.Process(self.embedded.postmaster_pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        postmaster.send_signal(signal.SIGQUIT)
        await gone(processes, seconds=60)

    async def start(self) -> None:
        """Restarts the server at the same address."""
        self.embedded = await asyncio.to_thread(revive, self.embedded)

    def frozen(self) -> AbstractContextManager[None]:
        """Freezes the server for the block, with open connections, as behind a network that drops all packets."""
        return frozen(psutil.Process(self.embedded.postmaster_pid))


@contextmanager
def frozen(postmaster: psutil.Process) -> Iterator[None]:
    """Freezes a server for the block: first its postmaster, which then starts no process that would go on."""
    with _suspended([postmaster]), _suspended(postmaster.children(recursive=True)):
        yield


@contextmanager
def _suspended(processes: Sequence[psutil.Process]) -> Iterator[None]:
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
                process.suspend()
        until = time.monotonic() + STOP_SECONDS
        while any(map(_goes_on, processes)):
            assert time.monotonic() < until, f"still running: {processes}"
            time.sleep(0.001)
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def _goes_on(process: psutil.Process) -> bool:
    try:
        return process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return False


@contextmanager
def own_server(folder: Path | None = None) -> Iterator[OwnServer]:
    """Runs a server in a folder of its own, or in the given one."""
    folder = folder or open_folder()
    try:
        with embedded_server(folder) as embedded:
            yield OwnServer(embedded)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
