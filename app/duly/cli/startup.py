"""Arguments of server processes, and the supervision of the embedded server: all that the parent of several needs."""

import asyncio
from dataclasses import dataclass, field

import structlog

from duly.embedded.server import EmbeddedServer, listens, revive
from duly.settings import Settings

log = structlog.stdlib.get_logger("duly.serve")

REVIVE_SECONDS = 1.0


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
    """Supervisor of the embedded server: restarts it if it dies."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server

    def look(self) -> None:
        """Restarts the server if it is dead, and blocks meanwhile."""
        if not listens(self._server):
            log.warning("embedded PostgreSQL is not responding; restarting it", action="embedded_revived")
            self._server = revive(self._server)

    async def step(self) -> float:
        await asyncio.to_thread(self.look)
        return REVIVE_SECONDS
