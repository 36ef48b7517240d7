"""Opens sessions on the first available host of a database URL."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import asyncpg

from duly.store.postgres.database_errors import LOST, DatabaseError, error_of
from duly.store.postgres.database_url import ConnectionTarget
from duly.store.postgres.session_settings import DirectConnection, PooledConnection

Session: TypeAlias = DirectConnection | PooledConnection

CONNECT_SECONDS = 5.0
# Errors after which the next host is tried, as libpq does: a standby, a starting server, too many connections.
ELSEWHERE = (
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
)


class DatabaseConnector:
    """Factory of connections to one database.

    Args:
        pooled: behind a pooler in transaction mode.
        note: called with each error, for example to count it.
    """

    def __init__(
        self, target: ConnectionTarget, *, schema: str | None, pooled: bool, note: Callable[[DatabaseError], None]
    ) -> None:
        self._urls = target.urls
        self._role = target.role
        self._application_name = target.application_name
        self.seconds = target.connect_seconds or CONNECT_SECONDS
        # This schema only: tables in `public` belong to another installation.
        self._searched = {} if schema is None else {"search_path": quoted(schema)}
        self._pooled = pooled
        self._note = note

    @property
    def pool_seconds(self) -> float:
        """Returns the bound of a wait for a pooled connection, which may try each host."""
        return self.seconds * len(self._urls)

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of a session that also work behind a pooler; its settings follow as statements."""
        arguments: dict[str, Any] = {
            "timeout": self.seconds,
            "statement_cache_size": 0 if self._pooled else 200,
            "connection_class": PooledConnection if self._pooled else DirectConnection,
        }
        if name := self._application_name or (None if self._pooled else "duly"):
            arguments["server_settings"] = {"application_name": name}
        return arguments

    async def connect(self, *_: object, settings: Mapping[str, str], **more: Any) -> Session:
        """Connects to the first available host. Every error of the server means that it is unavailable now."""
        try:
            connection = await self._connect_to_first_host(**more)
            await self._begin(connection, settings)
        except (asyncpg.PostgresError, *LOST) as error:
            found = error_of(error, role=self._role, connecting=True)
            self._note(found)
            raise found from error
        return connection

    async def _begin(self, connection: Session, settings: Mapping[str, str]) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await connection.begin_session({**self._searched, **settings})
        except BaseException:
            connection.terminate()
            raise

    async def _connect_to_first_host(self, **more: Any) -> Session:
        """Tries each host with its own timeout: the driver shares one, so that a silent host hides the next ones."""
        connect: Callable[..., Awaitable[Session]] = asyncpg.connect
        *others, last = self._urls
        for url in others:
            try:
                return await connect(url, **more)
            except (OSError, *ELSEWHERE):
                continue
        return await connect(last, **more)


def quoted(name: str) -> str:
    """Returns a name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
