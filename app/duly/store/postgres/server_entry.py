"""Entry of sessions to a server: each one that finds another server begins its epoch before it writes anything."""

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import structlog

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import DatabaseMisconfigured
from duly.store.postgres.epochs import begin_epoch, read_server

if TYPE_CHECKING:
    from datetime import datetime

log = structlog.stdlib.get_logger("duly.epochs")

# Each waits up to 200 ms for statements that hold the tables.
TRIES = 5
IS_STANDBY = "select pg_is_in_recovery()"
# Until this session ends, also if the server is promoted meanwhile.
WRITE_NOTHING = "set default_transaction_read_only = on"


class ServerEntry:
    """Entry of the sessions of one process, which notes the server that they entered last.

    Costs nothing while that is the same: the settings of a session end with a comparison.
    """

    def __init__(self) -> None:
        self._entered: datetime | None = None
        self._turn = asyncio.Lock()

    @property
    def is_known(self) -> str:
        """Query that finds a row on the server that was entered last."""
        return "" if self._entered is None else f"select where pg_postmaster_start_time() = '{self._entered}'"

    async def enter(self, session: Connection) -> None:
        """Begins an epoch if the server of the session has begun none. A standby can begin none, so the session is
        read-only there.

        If a statement holds the tables, or the role has no right to begin an epoch, the loop of the node tries again.
        """
        if await session.fetchval(IS_STANDBY):
            await session.execute(WRITE_NOTHING)
            return
        async with self._turn:
            try:
                server = await read_server(session)
                if not server.has_begun_epoch:
                    await _begin(session)
            except asyncpg.SyntaxOrAccessError:
                return  # not migrated yet, or of a role that cannot write
            self._entered = server.started_at


async def _begin(session: Connection) -> None:
    for _ in range(TRIES):
        try:
            if await begin_epoch(session):
                log.info("the database runs on another server; began an epoch of the ledger", action="epoch_began")
        except asyncpg.LockNotAvailableError:
            continue
        except DatabaseMisconfigured:
            return
        return
