"""Opens sessions on an available host of a database URL."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import asyncpg

from duly.store.postgres.database_errors import LOST, DatabaseError, DatabaseOutage, error_of
from duly.store.postgres.database_hosts import DatabaseHosts
from duly.store.postgres.database_url import ConnectionTarget
from duly.store.postgres.pooler_probe import keeps_statements
from duly.store.postgres.server_entry import ServerEntry
from duly.store.postgres.session_settings import DirectConnection, PooledConnection

Session: TypeAlias = DirectConnection | PooledConnection

CONNECT_SECONDS = 5.0
# Prepared statements of a session.
STATEMENTS = 200


class DatabaseConnector:
    """Factory of connections to one database.

    Args:
        pooled: behind a pooler in transaction mode.
        note: called with each error, for example to count it.
    """

    def __init__(
        self, target: ConnectionTarget, *, schema: str | None, pooled: bool, note: Callable[[DatabaseError], None]
    ) -> None:
        self._hosts: DatabaseHosts[Session] = DatabaseHosts(target.urls, exclusive=target.writes)
        self._urls = target.urls
        self._role = target.role
        self._application_name = target.application_name
        self.seconds = target.connect_seconds or CONNECT_SECONDS
        # This schema only: tables in `public` belong to another installation.
        self._searched = {} if schema is None else {"search_path": quoted(schema)}
        self._pooled = pooled
        self._note = note
        self._entry = ServerEntry()
        self._statements_kept: bool | None = None
        self._probing = asyncio.Lock()

    @property
    def pool_seconds(self) -> float:
        """Returns the bound of a wait for a pooled connection, which may try each host."""
        return self.seconds * len(self._urls)

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of a session that also work behind a pooler; its settings follow as statements."""
        arguments: dict[str, Any] = {
            "timeout": self.seconds,
            "statement_cache_size": 0 if self._pooled else STATEMENTS,
            "connection_class": PooledConnection if self._pooled else DirectConnection,
        }
        if name := self._application_name or (None if self._pooled else "duly"):
            arguments["server_settings"] = {"application_name": name}
        return arguments

    async def connect(self, *_: object, settings: Mapping[str, str], **more: Any) -> Session:
        """Connects to an available host. Every error of the server means that it is unavailable now."""
        try:
            if self._pooled and await self._keeps_statements():
                more["statement_cache_size"] = STATEMENTS
            connection = await self._hosts.connect(partial(_open, **more))
            await self._begin(connection, settings)
        except (asyncpg.PostgresError, *LOST) as error:
            found = error_of(error, role=self._role, connecting=True)
            if isinstance(found, DatabaseOutage):
                found.unsent = True
            self._note(found)
            raise found from error
        return connection

    async def _keeps_statements(self) -> bool:
        """Returns whether the pooler keeps prepared statements. Asks it once."""
        async with self._probing:
            if self._statements_kept is None:
                connection = await self._hosts.connect(partial(_open, **self.arguments()))
                try:
                    async with asyncio.timeout(self.seconds):
                        self._statements_kept = await keeps_statements(connection)
                finally:
                    connection.terminate()
        return self._statements_kept

    def statement_lost(self) -> None:
        """Asks again, before the next connection, whether the pooler keeps prepared statements."""
        self._statements_kept = None

    async def failing_hosts(self) -> dict[str, DatabaseError]:
        """Returns the errors of hosts, by their URL, that could not even serve reads now. A standby is none of them."""
        found = {}
        for url in self._urls:
            try:
                (await _open(url, **self.arguments())).terminate()
            except asyncpg.TargetServerAttributeNotMatched:
                continue
            except (asyncpg.PostgresError, *LOST) as error:
                found[url] = error_of(error, role=self._role, connecting=True)
        return found

    async def _begin(self, connection: Session, settings: Mapping[str, str]) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await self._enter(connection, {**self._searched, **settings})
        except BaseException:
            connection.terminate()
            raise

    async def _enter(self, connection: Session, settings: Mapping[str, str]) -> None:
        entered = await connection.begin_session(settings, query=self._entry.is_known)
        if not (entered or self._pooled):  # a pooler changes its servers unnoticed
            await self._entry.enter(connection)


async def _open(url: str, **more: Any) -> Session:
    """Opens a session on one host, with a timeout of its own: the driver shares one, so that a silent host hides the
    next ones.
    """
    connection: Session = await asyncpg.connect(url, **more)
    return connection


def quoted(name: str) -> str:
    """Returns a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
