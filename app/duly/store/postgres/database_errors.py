"""Errors of Postgres by class: a code, the message of Postgres without values, and the remedy.

    DatabaseError
    ├── DatabaseOutage            result of the statement unknown; the same one may succeed a moment later
    │   └── DatabaseTimeout       the statement did not end in time, or was too large
    └── RecordRefused             the statement was rejected for its content
        ├── RecordBusy            another transaction held a lock
        └── DatabaseMisconfigured the database does not match this release; the operator must act

The SQLSTATE classes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg
from asyncpg.exceptions._base import DataError as ClientDataError

from duly.domain.ids import made_at
from duly.store.postgres.error_classes import (
    BUSY,
    CANCELLED,
    CHANGED,
    CLOSED,
    CONNECTIONS,
    CONTENT,
    DAMAGED,
    DISK_FULL,
    IO,
    LIMIT,
    LOGIN,
    MEMORY,
    NO_ANSWER,
    NO_DATABASE,
    OPTIONS,
    PARTITION_MISSING,
    PERMISSION,
    POOLER,
    READ_ONLY,
    RULE,
    SCHEMA,
    SESSION_TIMEOUT,
    STARTING,
    STATEMENT_TIMEOUT,
    TLS,
    UNCERTIFIED,
    UNENCRYPTED,
    UNKNOWN,
    UNREACHABLE,
    ErrorClass,
)

_AWAY: dict[str, ErrorClass] = {
    **dict.fromkeys(("25P03", "25P04", "57P05"), SESSION_TIMEOUT),
    **dict.fromkeys(("26000", "42P05"), POOLER),
    "08": CLOSED,
    "25": CLOSED,
    "57": CLOSED,
    "57P03": STARTING,
    "28": LOGIN,
    "3D": NO_DATABASE,
    "53": LIMIT,
    "53100": DISK_FULL,
    "53200": MEMORY,
    "53300": CONNECTIONS,
    "58": IO,
    "25006": READ_ONLY,
    "57014": STATEMENT_TIMEOUT,
}
_BUSY_STATES = frozenset({"40001", "40P01", "55P03"})
_UNFIT: dict[str, ErrorClass] = {
    "42501": PERMISSION,
    "42P01": SCHEMA,
    "42703": SCHEMA,
    "42883": SCHEMA,
    "3F": SCHEMA,
    "XX": DAMAGED,
    "23": RULE,
    "22": CONTENT,
    "54": CONTENT,
    "P0": RULE,
    "55": RULE,
    "09": RULE,
    "44": RULE,
}
# Messages of a refused login, and of poolers in a protocol violation (08P01) or an authentication error. In another
# language (`lc_messages`), the class of the code remains, with its general remedy.
_MESSAGES = (
    (re.compile(r"no encryption|SSL off|SSL connection is required|SSL required", re.IGNORECASE), UNENCRYPTED),
    (re.compile(r"client certificate|certificate authentication failed", re.IGNORECASE), UNCERTIFIED),
    (re.compile(r"unsupported startup parameter", re.IGNORECASE), OPTIONS),
    (
        re.compile(r"no more connections allowed|too many (clients|connections)|connection slots"),
        CONNECTIONS,
    ),
    (re.compile(r"query_wait_timeout"), CONNECTIONS),
    (re.compile(r"password authentication failed|no such user|SASL", re.IGNORECASE), LOGIN),
    (re.compile(r"no such database", re.IGNORECASE), NO_DATABASE),
    (
        re.compile(r"server_login_retry|server_connect_timeout|cannot connect"),
        UNREACHABLE,
    ),
    (re.compile(r"idle[ _]transaction[ _]timeout|idle_timeout"), SESSION_TIMEOUT),
)


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DatabaseError(Exception):
    """Error of the database. Its text is for logs and operators, and has no values.

    Args:
        text: message of Postgres.
        trouble: class of the error.
        connecting: the text names users, databases and hosts, and is not for clients.
    """

    default: ErrorClass = UNREACHABLE

    def __init__(self, text: str = "", error_class: ErrorClass | None = None, *, connecting: bool = False) -> None:
        super().__init__(text)
        self.connecting = connecting
        self.error_class = error_class or self.default
        self.words = text

    @property
    def line(self) -> str:
        """Returns one line: the error, the message of Postgres, and the remedy."""
        sentence = self.error_class.message[:1].lower() + self.error_class.message[1:].rstrip(".")
        return "; ".join(filter(None, (": ".join(filter(None, (sentence, self.words))), self.error_class.remedy)))


class DatabaseOutage(DatabaseError):
    """Database unavailable now; the statement may or may not have been executed.

    Attributes:
        unsent: True if no connection could be opened: nothing is recorded, and it may be sent to another database.
    """

    unsent = False


class DatabaseTimeout(DatabaseOutage):
    """Statement that did not end in time, or was too large; it may or may not have been executed."""


class RecordRefused(DatabaseError):
    """Statement that Postgres rejected for its content; nothing was recorded."""

    default = CONTENT

    @property
    def of_data(self) -> bool:
        """Returns whether a value was rejected; otherwise a privilege, a partition or the like is missing."""
        return self.error_class in {CONTENT, RULE}


class RecordBusy(RecordRefused):
    """Statement that waited too long for a lock, or whose rows another transaction changed first."""

    default = BUSY


class DatabaseMisconfigured(RecordRefused):
    """Database that does not match this release (privileges, partitions, foreign constraints); nothing was recorded."""

    default = RULE


class PartitionMissing(DatabaseMisconfigured):
    """Missing partition of a row. `day` is the row's, if Postgres shows it (the role may read the column)."""

    default = PARTITION_MISSING

    def __init__(self, text: str, *, table: str, detail: str) -> None:
        super().__init__(text)
        key = _UUID.search(detail)
        self.table = table
        self.day = made_at(UUID(key[0])).date() if key else None


# Errors that are not about the statement: the same one may succeed a moment later.
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
)


# All errors of the driver; a `TimeoutError` is an `OSError`.
DRIVER = (asyncpg.PostgresError, asyncpg.InternalClientError, asyncpg.InterfaceError, OSError)


def _ignore(_: DatabaseError) -> None:
    """Ignores an error."""


@contextmanager
def translated(note: Callable[[DatabaseError], None] = _ignore, *, role: str = "") -> Iterator[None]:
    """Translates the driver's errors into those above.

    Args:
        note: called with each error, for example to count it.
        role: role without a privilege, for the GRANT in the remedy.
    """
    try:
        yield
    except DRIVER as error:
        found = error_of(error, role=role)
        note(found)
        raise found from error


def error_of(  # noqa: PLR0911  # a table, one return a row
    error: Exception, *, role: str = "", connecting: bool = False
) -> DatabaseError:
    """Returns the error of the driver as one of Duly. While connecting, every error of the server means an outage."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, role=role, connecting=connecting)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TimeoutError):
        return DatabaseOutage("", NO_ANSWER) if connecting else DatabaseTimeout("", NO_ANSWER)
    if isinstance(error, ClientDataError):
        return RecordRefused(f"{type(error).__name__}: {_without_values(str(error), '22')}")
    if isinstance(error, ssl.SSLError):
        return DatabaseOutage(words, TLS)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return DatabaseOutage(words, OPTIONS)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return DatabaseOutage(
            words, READ_ONLY if isinstance(error, asyncpg.TargetServerAttributeNotMatched) else CLOSED
        )
    return DatabaseOutage(words, UNREACHABLE, connecting=True)


def _of_server(  # noqa: PLR0911  # a table, one return a row
    error: asyncpg.PostgresError, *, role: str, connecting: bool
) -> DatabaseError:
    state = error.sqlstate or ""
    words = _without_values(str(error.args[0] if error.args else ""), state)
    if state in _BUSY_STATES and not connecting:
        return RecordBusy(words)
    if state == "23514" and not error.constraint_name and error.table_name:  # independent of the language of messages
        return PartitionMissing(words, table=error.table_name, detail=error.detail or "")
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return DatabaseOutage(words, CHANGED)
    if (error_class := _away(state, words)) is not None:
        slow = error_class in {STATEMENT_TIMEOUT, CANCELLED, MEMORY} and not connecting
        return (
            DatabaseTimeout(words, error_class) if slow else DatabaseOutage(words, error_class, connecting=connecting)
        )
    unfit = _UNFIT.get(state) or _UNFIT.get(state[:2])
    if unfit is PERMISSION:
        unfit = unfit._replace(remedy=_grant(words, role or "the role of Duly"))
    if connecting:
        return DatabaseOutage(words, unfit if unfit and unfit.code == PERMISSION.code else UNREACHABLE, connecting=True)
    if unfit is CONTENT:
        return RecordRefused(f"{type(error).__name__}: {words}")
    return RecordRefused(words, unfit) if unfit is SCHEMA else DatabaseMisconfigured(words, unfit or UNKNOWN)


def _away(state: str, words: str) -> ErrorClass | None:
    if state[:2] in {"08", "28", "57", "53"}:
        for pattern, error_class in _MESSAGES:
            if pattern.search(words):
                return error_class
    if state == "57014" and "user request" in words:
        return CANCELLED
    return _AWAY.get(state) or _AWAY.get(state[:2])


def _without_values(words: str, state: str) -> str:
    """Returns the primary message without the value that messages of class 22 contain."""
    return re.sub(r'".*"', '"…"', words, flags=re.DOTALL).partition(": ")[0] if state[:2] == "22" else words


_DENIED = re.compile(r"permission denied for (\w+(?: \w+)?) \"?([^\"]+)\"?$")
_RIGHTS = {
    "table": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "relation": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "sequence": "USAGE ON SEQUENCE",
    "schema": "USAGE, CREATE ON SCHEMA",  # names are resolved by the search path, so creating was denied
    "function": "EXECUTE ON FUNCTION",
    "database": "CONNECT, CREATE ON DATABASE",
}


def _grant(words: str, role: str) -> str:
    """Returns the GRANT for the owner."""
    denied = _DENIED.search(words)
    if denied is None or denied[1] not in _RIGHTS:
        return PERMISSION.remedy
    return f"run as the owner: GRANT {_RIGHTS[denied[1]]} {denied[2]} TO {role}"
