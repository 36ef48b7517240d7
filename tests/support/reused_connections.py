"""Connections that outlive a service and are reused by the next one on the same test database.

The first statements of a new session of Postgres cost ten times as much as later ones, since catalogs are read and
plans are made.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from duly.store.postgres.catalog_types import CatalogTypesConnection
from duly.store.postgres.database import LOST, Database, HotConnection, _hot_settings
from duly.store.postgres.hot_sessions import HotSessions

RESET_SECONDS = 5.0


class KeptDatabase(Database):
    """`Database` that a node closes and the next node opens again; one node uses it at a time."""

    def __init__(self, url: str, *, connections: int, transaction_pooling: bool) -> None:
        super().__init__(url, connections=connections, transaction_pooling=transaction_pooling)
        self.lent = True
        self._spare: list[HotSessions] = []

    def own(self) -> HotConnection:
        if not self._spare:
            return super().own()
        self._own.append(self._spare.pop())
        return HotConnection(self._own[-1], self._translating, _hot_settings(None))

    async def close(self) -> None:
        """Resets the sessions to their state when opened, and closes those that cannot be reset."""
        await asyncio.gather(*map(_set_back, (self._hot, *self._own)))
        self._spare, self._own = [*self._spare, *self._own], []
        self.lent = False

    async def close_for_good(self) -> None:
        self._own += self._spare
        await super().close()

    def server_pids(self) -> list[int]:
        """Returns the process ids of the sessions of kept connections."""
        pool: Any = self._pool._pool
        holders: list[Any] = pool._holders if pool is not None else []
        hot = [connection for sessions in (self._hot, *self._own, *self._spare) for connection in sessions.connections]
        held = [*hot, *(holder._con for holder in holders)]
        return [each.get_server_pid() for each in held if each is not None and not each.is_closed()]


async def _set_back(sessions: HotSessions) -> None:
    for session in list(sessions._sessions):
        try:
            if session.free:
                await session.connection.reset(timeout=RESET_SECONDS)
                continue
        except LOST:
            pass
        await sessions.drop(session)


class KeptDatabases:
    """Kept connections of one test database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: dict[tuple[int, bool], list[KeptDatabase]] = {}
        self._asking: Any = None
        self._asked = asyncio.Lock()

    def open(self, *, connections: int, transaction_pooling: bool) -> KeptDatabase:
        of_kind = self._made.setdefault((connections, transaction_pooling), [])
        for kept in of_kind:
            if not kept.lent:
                kept.lent = True
                return kept
        of_kind.append(KeptDatabase(self._url, connections=connections, transaction_pooling=transaction_pooling))
        return of_kind[-1]

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[Any]:
        """Yields the connection for statements of tests, or another one while that is in use."""
        if self._asked.locked():
            async with _connection(self._url) as another:
                yield another
            return
        async with self._asked:
            if self._asking is None or self._asking.is_closed():
                self._asking = await _connect(self._url)
            yield self._asking

    async def server_pids(self) -> list[int]:
        """Returns the process ids of kept sessions; closes those of a service that still runs."""
        for of_kind in self._made.values():
            for running in [kept for kept in of_kind if kept.lent]:
                await running.close_for_good()
                of_kind.remove(running)
        pids = [pid for of_kind in self._made.values() for kept in of_kind for pid in kept.server_pids()]
        if self._asking is not None and not self._asking.is_closed():
            pids.append(self._asking.get_server_pid())
        return pids

    async def close(self) -> None:
        await asyncio.gather(*(kept.close_for_good() for of_kind in self._made.values() for kept in of_kind))
        self._made.clear()
        if self._asking is not None and not self._asking.is_closed():
            await self._asking.close()


# By the URL of the test database, the only setting that a service has.
_kept: dict[str, KeptDatabases] = {}


def keep_connections(url: str) -> KeptDatabases:
    """Makes services of this process on this database keep their connections for the next one."""
    return _kept.setdefault(url, KeptDatabases(url))


def open_database(url: str, *, connections: int, transaction_pooling: bool, schema: str | None = None) -> Database:
    """Opens the database of a service in a test."""
    if schema is None and (kept := _kept.get(url)) is not None:
        return kept.open(connections=connections, transaction_pooling=transaction_pooling)
    return Database(url, connections=connections, transaction_pooling=transaction_pooling, schema=schema)


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Any]:
    """Yields a connection for statements of a test."""
    async with _kept[url].asking() if url in _kept else _connection(url) as connection:
        yield connection


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[Any]:
    connection = await _connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _connect(url: str) -> Any:
    return await asyncpg.connect(
        url, server_settings={"application_name": "tests"}, connection_class=CatalogTypesConnection
    )


async def forget_connections(url: str) -> None:
    if (kept := _kept.pop(url, None)) is not None:
        await kept.close()
