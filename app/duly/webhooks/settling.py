"""Settling: records what came of tries, many in a statement; what gathers while one is under way goes in the next."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from duly.store.database import Database, DatabaseAway, RecordRefused
from duly.store.deliveries import Tried, settle_if_held

log = structlog.stdlib.get_logger("duly.dispatcher")

BATCH = 500


class Settler:
    """Tries are handed in without waiting; `waiting` tells who hands them in when to stop."""

    def __init__(self, database: Database, *, recorded: Callable[[Sequence[Tried]], None]) -> None:
        self._connection = database.hot()
        self._recorded = recorded
        self._tried: list[Tried] = []
        self._arrived = asyncio.Event()
        self._empty = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._tried)

    def put(self, tried: Tried) -> None:
        self._tried.append(tried)
        self._arrived.set()

    async def step(self) -> float:
        """One round of its loop: waits for tries and records them."""
        await self._arrived.wait()
        batch = self._tried[:BATCH]
        try:
            await self._record(batch)
        finally:
            del self._tried[: len(batch)]
            if not self._tried:
                self._arrived.clear()
                self._empty.set()
        self._recorded(batch)
        return 0

    async def _record(self, batch: Sequence[Tried]) -> None:
        try:
            async with self._connection.use() as connection:
                await settle_if_held(connection, batch)
        except DatabaseAway as error:
            _warn(batch, error)
        except RecordRefused as error:
            if len(batch) == 1:
                _warn(batch, error)
                return
            for tried in batch:  # one bad item must fail alone
                await self._record([tried])

    async def drained(self) -> None:
        """Returns once nothing waits to be recorded."""
        while self._tried:
            self._empty.clear()
            await self._empty.wait()


def _warn(batch: Sequence[Tried], error: Exception) -> None:
    """The row stays and is due again when its hold ends: sent twice rather than not at all, under the same id."""
    for _ in batch:
        log.warning("a try was not recorded", action="delivery_unsettled", error=str(error))
