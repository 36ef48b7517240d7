"""Begins an epoch of the ledger when the database runs on another server, as after a restore or a fail-over."""

from collections.abc import Callable
from datetime import datetime

import structlog

from duly.store.postgres.database import Database, RecordBusy
from duly.store.postgres.epochs import begin_epoch, read_server

log = structlog.stdlib.get_logger("duly.epochs")

LOOK_SECONDS = 1.0
# A statement that holds the tables for long, such as a dump, is not disturbed more often than this.
BUSY_SECONDS = 60.0


class EpochWatch:
    """Looks for a new server; `step` is run by a loop on each node.

    Args:
        server_changed: called when the database runs on another server than before. Commits may be missing there.

    Attributes:
        has_begun: whether the server had begun its epoch at the last look.
    """

    def __init__(self, database: Database, *, server_changed: Callable[[], None]) -> None:
        self._database = database
        self._server_changed = server_changed
        self._started_at: datetime | None = None
        self._busy_seconds = LOOK_SECONDS
        self.has_begun = False

    async def step(self) -> float:
        """Begins an epoch if the server has begun none. Returns the seconds until the next look."""
        self.has_begun = False
        try:
            async with self._database.background() as connection:
                server = await read_server(connection)
                self._note(server.started_at)
                began = not server.has_begun_epoch and await begin_epoch(connection)
        except RecordBusy:
            pause, self._busy_seconds = self._busy_seconds, min(2 * self._busy_seconds, BUSY_SECONDS)
            return pause
        if began:
            log.info("the database runs on another server; began an epoch of the ledger", action="epoch_began")
        self._busy_seconds = LOOK_SECONDS
        self.has_begun = not began and server.has_begun_epoch
        return LOOK_SECONDS

    def _note(self, started_at: datetime) -> None:
        if self._started_at not in {None, started_at}:
            self._server_changed()
        self._started_at = started_at
