"""Connection for one flow of hot statements."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import DatabaseOutage
from duly.store.postgres.hot_sessions import BUSY_USES, HotSession, HotSessions


class HotConnection:
    """Connection for one flow, which has a session only while it uses it, or is busy.

    Args:
        sessions: those that it shares with other flows.
        settings: settings of its sessions.
    """

    def __init__(
        self,
        sessions: HotSessions,
        translating: Callable[[], AbstractAsyncContextManager[None]],
        settings: Mapping[str, str],
    ) -> None:
        self.settings = settings
        self.uses = 0
        self.released_at = float("-inf")
        self._sessions = sessions
        self._translating = translating
        self._last: HotSession | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Yields the connection, to one user at a time.

        Raises:
            DatabaseOutage: it broke or cannot be opened; the next use opens a new one.
            RecordRefused: the statement was rejected; the connection is kept.
        """
        async with self._turn:
            session: HotSession | None = None
            try:
                async with self._translating():
                    session = self._last = await self._sessions.take(self, self._last)
                    yield session.connection
            except (DatabaseOutage, asyncio.CancelledError):
                if session is not None:
                    closing, session = self._sessions.drop(session), None
                    await asyncio.shield(closing)
                raise
            finally:
                if session is not None:
                    self._sessions.release(session)

    @property
    def busy(self) -> bool:
        """Returns whether it will need a session again at once."""
        return self.uses >= BUSY_USES

    @property
    def in_use(self) -> bool:
        """Returns whether it is in use."""
        return self._turn.locked()
