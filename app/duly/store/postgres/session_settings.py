"""Settings of sessions, sent as statements, since poolers reject start-up parameters.

A session on the server itself, or through a pooler in session mode, keeps them until it ends. A pooler in transaction
mode lends the session to other clients after each transaction, so each transaction sets its own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import asyncpg

from duly.store.postgres.catalog_types import CatalogTypesConnection
from duly.store.postgres.settings_message import SettingMessages, setting_query

# Timeouts set for a role or a database would abort long reads, `duly check` and migrations, and end the sessions that
# listen. The callers of statements have their own timeouts.
TIMEOUTS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "'read committed'",
}
TRANSACTION_TIMEOUT_SINCE = 17

_Executor: TypeAlias = Callable[[Any, float | None], Awaitable[Any]]


class _Settings:
    """Statements that set a session or a transaction."""

    def __init__(self, settings: Mapping[str, str], *, server_major: int) -> None:
        self._all = {**TIMEOUTS, **settings}
        if server_major >= TRANSACTION_TIMEOUT_SINCE:
            self._all["transaction_timeout"] = "0"
        self._server_major = server_major
        self.of_session = _set_each(self._all)
        # They do not apply within a transaction.
        later = {"idle_session_timeout", "default_transaction_isolation"}
        of_transaction = {name: value for name, value in self._all.items() if name not in later}
        self.of_transaction = "".join(f"set local {name} = {value};" for name, value in of_transaction.items())
        self.of_statement = setting_query(of_transaction)

    def changed(self, settings: Mapping[str, str]) -> "tuple[_Settings, str]":
        """Returns the settings with other values, and the statements that set these."""
        different = {name: value for name, value in settings.items() if self._all.get(name) != value}
        return _Settings({**self._all, **settings}, server_major=self._server_major), _set_each(different)


def _set_each(settings: Mapping[str, str]) -> str:
    return "".join(f"set {name} = {value};" for name, value in settings.items())


class DirectConnection(CatalogTypesConnection):
    """Connection that keeps its settings while it is open; a reset restores them."""

    _settings: _Settings

    async def begin_session(self, settings: Mapping[str, str], *, query: str = "") -> bool:
        """Sets these settings, whose values are SQL. Returns whether a query found a row, at no further cost."""
        self._settings = _Settings(settings, server_major=self.get_server_version().major)
        return await self.execute(self._settings.of_session + query) == "SELECT 1"

    async def change_settings(self, settings: Mapping[str, str]) -> None:
        """Changes some settings of the session."""
        self._settings, statements = self._settings.changed(settings)
        await self.execute(statements)

    def get_reset_query(self) -> str:
        return super().get_reset_query() + self._settings.of_session


class PooledConnection(CatalogTypesConnection):
    """Connection that sets each transaction, and executes only statements outside of one that Postgres requires to be
    there.

    A prepared statement outside of a transaction is sent behind the messages that set its own, which takes one round
    trip instead of three. For this, private methods of asyncpg are overridden, whose version is therefore bounded.
    """

    _settings: _Settings | None = None

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._messages = SettingMessages()

    async def begin_session(self, settings: Mapping[str, str], *, query: str = "") -> bool:
        """Stores these settings, whose values are SQL, for later transactions. Runs no query."""
        del query
        self._settings = _Settings(settings, server_major=self.get_server_version().major)
        return False

    async def change_settings(self, settings: Mapping[str, str]) -> None:
        """Changes some settings of later transactions."""
        if self._settings is not None:
            self._settings, _ = self._settings.changed(settings)

    def get_reset_query(self) -> str:
        """Returns nothing, since the session belongs to the pooler."""
        return ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # asyncpg's
        if query.startswith("BEGIN"):
            query += self._settings.of_transaction if self._settings else ""
        elif self._is_alone(query) and not (args and self._is_prepared(query)):
            async with self.transaction():
                return await self.execute(query, *args, timeout=timeout)
        return await super().execute(query, *args, timeout=timeout)

    async def fetch(self, query: str, *args: Any, **named: Any) -> Any:
        return await self._in_transaction(super().fetch, query, *args, **named)

    async def fetchrow(self, query: str, *args: Any, **named: Any) -> Any:
        return await self._in_transaction(super().fetchrow, query, *args, **named)

    async def fetchval(self, query: str, *args: Any, **named: Any) -> Any:
        return await self._in_transaction(super().fetchval, query, *args, **named)

    async def _in_transaction(self, run: Callable[..., Awaitable[Any]], query: str, *args: Any, **named: Any) -> Any:
        """Runs a statement in the caller's transaction, or in one of its own."""
        try:
            if not self._is_alone(query) or self._is_prepared(query):
                return await run(query, *args, **named)
            async with self.transaction():
                return await run(query, *args, **named)
        except asyncpg.InvalidSQLStatementNameError:
            self.terminate()  # its other statements are lost too, in a restart of the pooler for example
            raise

    async def _do_execute(
        self,
        query: str,
        executor: _Executor,
        timeout: float | None,  # noqa: ASYNC109  # asyncpg's signature
        retry: bool = True,  # noqa: FBT001, FBT002  # likewise
        **named: Any,
    ) -> tuple[Any, Any]:
        if self._is_alone(query) and self._is_prepared(query):
            # A second try would prepare the statement, without the settings.
            executor, retry = partial(self._behind_settings, executor), False
        result: tuple[Any, Any] = await super()._do_execute(  # type: ignore[misc]  # private
            query, executor, timeout, retry, **named
        )
        return result

    async def _behind_settings(self, executor: _Executor, statement: Any, timeout: float | None) -> Any:  # noqa: ASYNC109
        """Sends a statement behind the settings of its transaction."""
        if self._settings is not None:
            self._transport.write(self._messages.of(self._settings.of_statement))  # type: ignore[attr-defined]
        try:
            return await executor(statement, timeout)
        except (asyncpg.InterfaceError, asyncpg.DataError) as error:
            if getattr(error, "severity", None) is None:  # not from the server: nothing follows the settings
                self.terminate()
            raise

    def _is_prepared(self, query: str) -> bool:
        key = (query, self._protocol.get_record_class(), False)  # type: ignore[attr-defined]  # private
        return bool(self._stmt_cache.has(key))  # type: ignore[attr-defined]

    async def cursor(  # type: ignore[override]  # only this form is used
        self, query: str, *args: Any, prefetch: int
    ) -> AsyncIterator[Any]:
        """Yields the rows of a query in the caller's transaction. asyncpg's own cursor prepares a named statement,
        which stays in the session.
        """
        await self.execute(f"declare duly_cursor no scroll cursor for {query}", *args)
        while rows := await self.fetch(f"fetch forward {int(prefetch)} from duly_cursor"):
            for row in rows:
                yield row
        await self.execute("close duly_cursor")

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        """Closes the connection instead of sending asyncpg's cancel request: the pooler drops the session with its
        statement, while a request may arrive after the session was lent to another client.
        """
        del cancel_waiter
        self._loop.call_soon(self.terminate)  # type: ignore[attr-defined]  # private
        if not waiter.done():
            waiter.set_result(None)

    def _is_alone(self, query: str) -> bool:
        """Returns whether the statement would run outside of a transaction without need."""
        return not self.is_in_transaction() and " concurrently" not in query
