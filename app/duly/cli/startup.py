"""Arguments of server processes, and the supervision of the embedded server: all that the parent of several needs."""

import asyncio
import os
import select
import time
from dataclasses import dataclass, field

import structlog

from duly.embedded.server import EmbeddedServer, listens, revive
from duly.settings import Settings

log = structlog.stdlib.get_logger("duly.serve")

# Pause after a look at the embedded server, and between looks where the end of its process cannot be watched.
REVIVE_SECONDS = 1.0
# Pause between looks while its process lives. Each look makes the server start a process.
PROBE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Startup:
    """Arguments of a server process, in a form that can be sent to a child process.

    Attributes:
        database: where the database is, without a password.
        address: URL at which people reach the service.
        reports: True if the process reports what it starts; one of several does.
        reloads: True if it exchanges its handlers when their source changes.
    """

    settings: Settings
    database_url: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    secret_keys: str = field(repr=False)
    migrates: bool
    database: str = ""
    address: str = ""
    reports: bool = True
    reloads: bool = False


class Keeper:
    """Supervisor of the embedded server: restarts it if it dies. The end of its process is noticed by a pidfd, where
    the system has them.
    """

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._process = _process_of(server)
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """Restarts the server if it is dead, and blocks meanwhile."""
        self._looked_at = time.monotonic()
        if not listens(self._server):
            log.warning("embedded PostgreSQL is not responding; restarting it", action="embedded_revived")
        elif self._process is None or not _has_ended(self._process):
            return
        self._server = revive(self._server)  # or joins the server that another process has started
        self._forget_process()
        self._process = _process_of(self._server)

    def look_if_due(self) -> None:
        """Looks if the process has ended, or was not looked at for some time."""
        watched = self._process is not None and not _has_ended(self._process)
        if not watched or time.monotonic() - self._looked_at >= PROBE_SECONDS:
            self.look()

    async def step(self) -> float:
        """Looks when the process has ended, or after some time. Returns the seconds until the next round."""
        if self._process is not None:
            await _end_of(self._process)
        await asyncio.to_thread(self.look)
        return REVIVE_SECONDS

    def _forget_process(self) -> None:
        if self._process is not None:
            os.close(self._process)
            self._process = None


def _process_of(server: EmbeddedServer) -> int | None:
    """Returns a file descriptor that becomes readable when the process of the server ends. None: it cannot be had."""
    pidfd_open = getattr(os, "pidfd_open", None)
    try:
        return None if pidfd_open is None else int(pidfd_open(server.postmaster_pid))
    except OSError:  # it has ended, or the system is too old
        return None


def _has_ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])


async def _end_of(process: int) -> None:
    """Waits until the process ends, or for the time after which the server is looked at in any case."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, ended.set)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await ended.wait()
    except TimeoutError:
        pass
    finally:
        loop.remove_reader(process)
