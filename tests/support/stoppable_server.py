"""Database server that a test may stop, kill, freeze and restart."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from duly.embedded.server import EmbeddedServer, embedded_server, revive
from tests.support.postgres_servers import Server, open_folder
from tests.support.service_process import gone


@dataclass
class OwnServer:
    """Embedded server under control of the test."""

    embedded: EmbeddedServer

    @property
    def server(self) -> Server:
        return Server("own 18", self.embedded.url.replace("/duly?", "/DATABASE?"))

    def _processes(self) -> list[psutil.Process]:
        try:
            postmaster = psutil.Process(self.embedded.postmaster_pid)
        except psutil.NoSuchProcess:
            return []
        return [postmaster, *postmaster.children(recursive=True)]

    async def stop(self) -> None:
        """Stops the server immediately, like a power failure for its clients; committed data remains."""
        processes = self._processes()
        os.kill(self.embedded.postmaster_pid, signal.SIGQUIT)
        await gone(processes, seconds=60)

    async def start(self) -> None:
        """Restarts the server at the same address."""
        self.embedded = await asyncio.to_thread(revive, self.embedded)

    def frozen(self) -> AbstractContextManager[None]:
        """Freezes the server for the block, with open connections, as behind a network that drops all packets."""
        return frozen(self._processes())


@contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Freezes these processes for the block."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@contextmanager
def own_server(folder: Path | None = None) -> Iterator[OwnServer]:
    """Runs a server in a folder of its own, or in the given one."""
    folder = folder or open_folder()
    try:
        with embedded_server(folder) as embedded:
            yield OwnServer(embedded)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
