"""The settings of our sessions, which no start-up parameter carries: poolers refuse those.

A session to the server itself, or through a pooler in session mode, has them until it ends. Through a
pooler in transaction mode a session is anybody's after each transaction: there each transaction sets its own.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from duly.store.postgres.catalog_types import CatalogTypesConnection

# Timeouts that the operator sets for a role or a database would cut long reads, `duly check` and migrations, and end
# the sessions that hints come in on. How long a statement may take is decided where it is sent.
TIMEOUTS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "'read committed'",
}
TRANSACTION_TIMEOUT_SINCE = 17


class _Settings:
    """The statements that give a session, or a transaction, its settings."""

    def __init__(self, settings: Mapping[str, str], *, server_major: int) -> None:
        all_of_them = {**TIMEOUTS, **settings}
        if server_major >= TRANSACTION_TIMEOUT_SINCE:
            all_of_them["transaction_timeout"] = "0"
        self.of_session = "".join(f"set {name} = {value};" for name, value in all_of_them.items())
        # Neither ends a transaction while it runs, and the isolation of this one is chosen already.
        later = {"idle_session_timeout", "default_transaction_isolation"}
        self.of_transaction = "".join(
            f"set local {name} = {value};" for name, value in all_of_them.items() if name not in later
        )


class DirectConnection(CatalogTypesConnection):
    """Has its settings for as long as it lives; a reset keeps them."""

    _settings: _Settings | None = None

    async def begin_session(self, settings: Mapping[str, str]) -> None:
        """Sets these settings, whose values are SQL."""
        self._settings = _Settings(settings, server_major=self.get_server_version().major)
        await self.execute(self._settings.of_session)

    def get_reset_query(self) -> str:
        query: str = super().get_reset_query()
        return query + (self._settings.of_session if self._settings else "")


class PooledConnection(CatalogTypesConnection):
    """Begins each transaction with its settings, and sends outside of one only what Postgres takes nowhere else."""

    _settings: _Settings | None = None

    async def begin_session(self, settings: Mapping[str, str]) -> None:
        """Keeps these settings, whose values are SQL, for the transactions to come."""
        self._settings = _Settings(settings, server_major=self.get_server_version().major)

    def get_reset_query(self) -> str:
        """Nothing: the session is the pooler's."""
        return ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # asyncpg's
        if query.startswith("BEGIN"):
            query += self._settings.of_transaction if self._settings else ""
        elif self._is_alone(query):
            async with self.transaction():
                return await self.execute(query, *args, timeout=timeout)
        status: str = await super().execute(query, *args, timeout=timeout)
        return status

    async def fetch(self, query: str, *args: Any, **named: Any) -> Any:
        if self._is_alone(query):
            async with self.transaction():
                return await super().fetch(query, *args, **named)
        return await super().fetch(query, *args, **named)

    async def fetchrow(self, query: str, *args: Any, **named: Any) -> Any:
        if self._is_alone(query):
            async with self.transaction():
                return await super().fetchrow(query, *args, **named)
        return await super().fetchrow(query, *args, **named)

    async def fetchval(self, query: str, *args: Any, **named: Any) -> Any:
        if self._is_alone(query):
            async with self.transaction():
                return await super().fetchval(query, *args, **named)
        return await super().fetchval(query, *args, **named)

    async def cursor(self, query: str, *, prefetch: int) -> AsyncIterator[Any]:
        """The rows of a query without parameters, in the caller's transaction. asyncpg's own cursor prepares a
        statement by name, which stays in the session.
        """
        await self.execute(f"declare duly_cursor no scroll cursor for {query}")
        while rows := await self.fetch(f"fetch forward {int(prefetch)} from duly_cursor"):
            for row in rows:
                yield row
        await self.execute("close duly_cursor")

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        """Ends the connection in place of asyncpg's cancel request: the pooler drops the session with what runs in it,
        while a request may come after the session was lent to another client. PgBouncer 1.18 has ended over one.
        """
        del cancel_waiter
        self._loop.call_soon(self.terminate)
        if not waiter.done():
            waiter.set_result(None)

    def _is_alone(self, query: str) -> bool:
        """Returns whether the statement would run outside of a transaction, and need not."""
        return not self.is_in_transaction() and " concurrently" not in query
