"""The errors of Postgres by class: a code, the words of Postgres without values, and what the operator can do.

    DatabaseError
    ├── DatabaseAway            nothing is known of the statement; the same one may succeed a moment later
    │   └── DatabaseSlow        it did not end in time, or was too large
    └── RecordRefused           the statement was refused for what it holds
        ├── RecordBusy          another transaction was in its way
        └── DatabaseUnfit       the database is not as this release needs it: the operator mends that

The SQLSTATE classes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import asyncpg
from asyncpg.exceptions._base import DataError as ClientDataError

from duly.domain.ids import made_at


class Trouble(NamedTuple):
    """One class of errors: its code, a sentence for clients, and the remedy for the operator."""

    code: str
    message: str
    remedy: str
    passes: bool = True


UNREACHABLE = Trouble(
    "DATABASE_UNAVAILABLE", "The database cannot be reached.", "check DULY_DATABASE_URL, or leave it out"
)
_UNAVAILABLE = "DATABASE_UNAVAILABLE"
NO_ANSWER = Trouble(
    _UNAVAILABLE, "The database did not answer in time.", "look at its load and its locks: pg_stat_activity, pg_locks"
)
NO_CONNECTION = Trouble(
    _UNAVAILABLE, "No connection to the database became free in time.", "raise DULY_DATABASE_CONNECTIONS"
)
STOPPED = Trouble(_UNAVAILABLE, "The service is stopping.", "submit it again")
_CLOSED = Trouble(_UNAVAILABLE, "The database closed the connection.", "the server's log says why")
_STARTING = Trouble(
    "DATABASE_STARTING", "The database is starting, stopping or recovering.", "the server's log says how far it is"
)
_LOGIN = Trouble(
    "DATABASE_LOGIN_REFUSED",
    "The database refused the login.",
    "check the user and the password in DULY_DATABASE_URL, and pg_hba.conf",
    passes=False,
)
_TLS = Trouble(
    "DATABASE_TLS_FAILED",
    "The encrypted connection to the database failed.",
    "check sslmode, sslrootcert, sslcert and sslkey in DULY_DATABASE_URL",
    passes=False,
)
_OPTIONS = Trouble(
    "DATABASE_OPTIONS_REFUSED",
    "The database connection cannot be opened with these options.",
    "check the options in DULY_DATABASE_URL",
    passes=False,
)
_NO_DATABASE = Trouble(
    "DATABASE_MISSING", "The database does not exist.", "create it, or check DULY_DATABASE_URL", passes=False
)
_CONNECTIONS = Trouble(
    "DATABASE_CONNECTIONS_USED_UP",
    "The connections of the database are used up.",
    "raise max_connections (or the limit of the role or the pooler), or lower DULY_DATABASE_CONNECTIONS",
)
DISK_FULL = Trouble("DATABASE_DISK_FULL", "The disk of the database is full.", "free space on the database's disk")
_MEMORY = Trouble(
    "DATABASE_OUT_OF_MEMORY",
    "The database is out of memory.",
    "look at the server's log; raise max_locks_per_transaction where it names that",
)
_LIMIT = Trouble("DATABASE_LIMIT_REACHED", "The database reached a limit.", "raise the limit that it names")
READ_ONLY = Trouble(
    "DATABASE_READ_ONLY",
    "The database is read-only.",
    "connect to the primary (target_session_attrs=read-write), or turn default_transaction_read_only off",
)
_STATEMENT_TIMEOUT = Trouble(
    "DATABASE_STATEMENT_TIMEOUT",
    "The database cancelled the statement for its statement_timeout.",
    "raise statement_timeout, and look at what the database is busy with",
)
_CANCELLED = Trouble(
    "DATABASE_STATEMENT_CANCELLED",
    "The statement was cancelled in the database.",
    "find who called pg_cancel_backend",
)
_SESSION_TIMEOUT = Trouble(
    "DATABASE_SESSION_TIMEOUT",
    "The database ended the session for one of its timeouts.",
    "raise the timeout that it names for the role of Duly",
)
_BUSY = Trouble(
    "DATABASE_BUSY", "Another transaction of the database is in the way.", "look for its holder in pg_locks"
)
_POOLER = Trouble(
    "DATABASE_POOLER",
    "A prepared statement was lost on the way to the database, as behind a transaction pooler.",
    "set DULY_TRANSACTION_POOLING=true",
    passes=False,
)
_CHANGED = Trouble("DATABASE_CHANGED", "The schema of the database has just changed.", "nothing; it passes")
_IO = Trouble("DATABASE_IO_ERROR", "The database cannot read or write its files.", "look at its disk and its log")
PERMISSION = Trouble(
    "DATABASE_PERMISSION_DENIED", "The database role lacks a right.", "run `duly migrate` as the owner", passes=False
)
_SCHEMA = Trouble(
    "DATABASE_SCHEMA_MISSING",
    "The database lacks a table, a column or a function that this release needs.",
    "run `duly migrate`, and check DULY_DATABASE_SCHEMA",
    passes=False,
)
PARTITION_MISSING = Trouble(
    "DATABASE_PARTITION_MISSING",
    "The database lacks the partition of a day.",
    "run `duly migrate` as the owner of the tables, and compare the clocks of the nodes",
    passes=False,
)
PARTITION_MADE = Trouble(
    "DATABASE_PARTITION_MISSING", "The partition of the database was missing and has just been made.", "submit it again"
)
_DAMAGED = Trouble(
    "DATABASE_DAMAGED", "The database reports an error of its own.", "look at the server's log", passes=False
)
_RULE = Trouble(
    "DATABASE_REFUSED",
    "A constraint or a trigger of the database refused it.",
    "look at what was added to the tables of Duly, and run `duly migrate`",
    passes=False,
)
_UNKNOWN = Trouble("DATABASE_ERROR", "The database reported an error.", "look at the server's log", passes=False)
_CONTENT = Trouble("DATABASE_CONTENT_REFUSED", "The database cannot hold a value.", "report it", passes=False)

_AWAY: dict[str, Trouble] = {
    **dict.fromkeys(("25P03", "25P04", "57P05"), _SESSION_TIMEOUT),
    **dict.fromkeys(("26000", "42P05"), _POOLER),
    "08": _CLOSED,
    "25": _CLOSED,
    "57": _CLOSED,
    "57P03": _STARTING,
    "28": _LOGIN,
    "3D": _NO_DATABASE,
    "53": _LIMIT,
    "53100": DISK_FULL,
    "53200": _MEMORY,
    "53300": _CONNECTIONS,
    "58": _IO,
    "25006": READ_ONLY,
    "57014": _STATEMENT_TIMEOUT,
}
_BUSY_STATES = frozenset({"40001", "40P01", "55P03"})
_UNFIT: dict[str, Trouble] = {
    "42501": PERMISSION,
    "42P01": _SCHEMA,
    "42703": _SCHEMA,
    "42883": _SCHEMA,
    "3F": _SCHEMA,
    "XX": _DAMAGED,
    "23": _RULE,
    "22": _CONTENT,
    "54": _CONTENT,
    "P0": _RULE,
    "55": _RULE,
    "09": _RULE,
    "44": _RULE,
}
# What poolers say in the words of a protocol violation (08P01), or of an authentication error.
_POOLER_WORDS = (
    (re.compile(r"unsupported startup parameter", re.IGNORECASE), _OPTIONS),
    (
        re.compile(r"no more connections allowed|too many (clients|connections)|connection slots"),
        _CONNECTIONS,
    ),
    (re.compile(r"query_wait_timeout"), _CONNECTIONS),
    (re.compile(r"password authentication failed|no such user|SASL", re.IGNORECASE), _LOGIN),
    (re.compile(r"no such database", re.IGNORECASE), _NO_DATABASE),
    (
        re.compile(r"server_login_retry|server_connect_timeout|cannot connect"),
        UNREACHABLE,
    ),
    (re.compile(r"idle[ _]transaction[ _]timeout|idle_timeout"), _SESSION_TIMEOUT),
)


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class DatabaseError(Exception):
    """An error of the database. The text is for logs and people, without values.

    Args:
        text: what happened, in the words of Postgres.
        trouble: its class.
        connecting: while connecting, the text names users, databases and hosts: it is not for clients.
    """

    default: Trouble = UNREACHABLE

    def __init__(self, text: str = "", trouble: Trouble | None = None, *, connecting: bool = False) -> None:
        super().__init__(text)
        self.connecting = connecting
        self.trouble = trouble or self.default
        self.words = text

    @property
    def line(self) -> str:
        """One line: what is wrong, in the words of Postgres, and the remedy."""
        sentence = self.trouble.message[:1].lower() + self.trouble.message[1:].rstrip(".")
        return "; ".join(filter(None, (": ".join(filter(None, (sentence, self.words))), self.trouble.remedy)))


class DatabaseAway(DatabaseError):
    """The database does not serve now; the statement may or may not have been carried out."""


class DatabaseSlow(DatabaseAway):
    """The statement did not end in time, or was too large; it may or may not have been carried out."""


class RecordRefused(DatabaseError):
    """Postgres refused a statement for what it holds; nothing of it was recorded."""

    default = _CONTENT

    @property
    def of_data(self) -> bool:
        """Whether a value was refused; else a right, a partition or the like is missing."""
        return self.trouble in {_CONTENT, _RULE}


class RecordBusy(RecordRefused):
    """Another transaction held what the statement needs for longer than it may wait, or changed it first."""

    default = _BUSY


class DatabaseUnfit(RecordRefused):
    """The database is not as this release needs it (rights, partitions, rules of others); nothing was recorded."""

    default = _RULE


class PartitionMissing(DatabaseUnfit):
    """A row's partition is not there. `day` is the row's, where Postgres shows it (the role may read the column)."""

    default = PARTITION_MISSING

    def __init__(self, text: str, *, table: str, detail: str) -> None:
        super().__init__(text)
        key = _UUID.search(detail)
        self.table = table
        self.day = made_at(UUID(key[0])).date() if key else None


# All that says nothing of the statement itself: the same one may succeed a moment later.
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


def _ignore(_: DatabaseError) -> None:
    """Counts nothing."""


@contextmanager
def translated(note: Callable[[DatabaseError], None] = _ignore, *, role: str = "") -> Iterator[None]:
    """Turns the driver's many errors into those above.

    Args:
        note: called with each error that was made, as for a metric.
        role: the role that lacks a right, for the GRANT in the remedy.
    """
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InternalClientError, asyncpg.InterfaceError, OSError) as error:
        found = error_of(error, role=role)  # a `TimeoutError` is an `OSError`
        note(found)
        raise found from error


def error_of(error: Exception, *, role: str = "", connecting: bool = False) -> DatabaseError:
    """The error of the driver as one of Duly's. While connecting, all that the server says means that it is away."""
    if isinstance(error, asyncpg.PostgresError):
        return _of_server(error, role=role, connecting=connecting)
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TimeoutError):
        return DatabaseAway("", NO_ANSWER) if connecting else DatabaseSlow("", NO_ANSWER)
    if isinstance(error, ClientDataError):
        return RecordRefused(f"{type(error).__name__}: {_without_values(str(error), '22')}")
    if isinstance(error, ssl.SSLError):
        return DatabaseAway(words, _TLS)
    if isinstance(error, asyncpg.ClientConfigurationError):
        return DatabaseAway(words, _OPTIONS)
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        return DatabaseAway(words, READ_ONLY if isinstance(error, asyncpg.TargetServerAttributeNotMatched) else _CLOSED)
    return DatabaseAway(words, UNREACHABLE, connecting=True)


def _of_server(  # noqa: PLR0911  # a table, one return a row
    error: asyncpg.PostgresError, *, role: str, connecting: bool
) -> DatabaseError:
    state = error.sqlstate or ""
    words = _without_values(str(error.args[0] if error.args else ""), state)
    if state in _BUSY_STATES and not connecting:
        return RecordBusy(words)
    if state == "23514" and not error.constraint_name and error.table_name:  # whatever the language of its messages
        return PartitionMissing(words, table=error.table_name, detail=error.detail or "")
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return DatabaseAway(words, _CHANGED)
    if (trouble := _away(state, words)) is not None:
        slow = trouble in {_STATEMENT_TIMEOUT, _CANCELLED, _MEMORY} and not connecting
        return DatabaseSlow(words, trouble) if slow else DatabaseAway(words, trouble, connecting=connecting)
    unfit = _UNFIT.get(state) or _UNFIT.get(state[:2])
    if unfit is PERMISSION:
        unfit = unfit._replace(remedy=_grant(words, role or "the role of Duly"))
    if connecting:
        return DatabaseAway(words, unfit if unfit and unfit.code == PERMISSION.code else UNREACHABLE, connecting=True)
    if unfit is _CONTENT:
        return RecordRefused(f"{type(error).__name__}: {words}")
    return RecordRefused(words, unfit) if unfit is _SCHEMA else DatabaseUnfit(words, unfit or _UNKNOWN)


def _away(state: str, words: str) -> Trouble | None:
    if state[:2] in {"08", "28", "57", "53"}:
        for pattern, trouble in _POOLER_WORDS:
            if pattern.search(words):
                return trouble
    if state == "57014" and "user request" in words:
        return _CANCELLED
    return _AWAY.get(state) or _AWAY.get(state[:2])


def _without_values(words: str, state: str) -> str:
    """The primary message. Of values that cannot be held (class 22) it shows the value: that is cut."""
    return re.sub(r'".*"', '"…"', words, flags=re.DOTALL).partition(": ")[0] if state[:2] == "22" else words


_DENIED = re.compile(r"permission denied for (\w+(?: \w+)?) \"?([^\"]+)\"?$")
_RIGHTS = {
    "table": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "relation": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "sequence": "USAGE ON SEQUENCE",
    "schema": "USAGE ON SCHEMA",
    "function": "EXECUTE ON FUNCTION",
    "database": "CONNECT, CREATE ON DATABASE",
}


def _grant(words: str, role: str) -> str:
    """The GRANT that the owner runs."""
    denied = _DENIED.search(words)
    if denied is None or denied[1] not in _RIGHTS:
        return PERMISSION.remedy
    return f"run as the owner: GRANT {_RIGHTS[denied[1]]} {denied[2]} TO {role}"
