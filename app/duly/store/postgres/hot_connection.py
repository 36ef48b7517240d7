"""Dedicated connection for one flow of hot statements."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from duly.store.postgres.catalog_types import Connection
from duly.store.postgres.database_errors import LOST, DatabaseOutage

GRACE_SECONDS = 2.0


class HotConnection:
    """Connection for one flow, opened on first use and again after it broke."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], translating: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._connect = connect
        self._translating = translating
        self._held: Connection | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Yields the connection, to one user at a time.

        Raises:
            DatabaseOutage: it broke or cannot be opened; the next use opens a new one.
            RecordRefused: the statement was rejected; the connection is kept.
        """
        async with self._turn:
            try:
                async with self._translating():
                    if self._held is None or self._held.is_closed():
                        self._held = None
                        self._held = await self._connect()
                    yield self._held
            except (DatabaseOutage, asyncio.CancelledError):
                await self.close()
                raise

    @property
    def in_use(self) -> bool:
        """Returns whether it is in use."""
        return self._turn.locked()

    async def close(self) -> None:
        """Closes the connection; drops it if the server does not respond."""
        held, self._held = self._held, None
        if held is None or held.is_closed():
            return
        try:
            await asyncio.shield(held.close(timeout=GRACE_SECONDS))
        except LOST:
            held.terminate()
