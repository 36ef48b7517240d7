"""Classes of database errors: a code and a message for clients, and the remedy for the operator."""

from typing import NamedTuple


class ErrorClass(NamedTuple):
    """Class of errors: its code, a message for clients, and the remedy for the operator. `passes`: a
    retry may succeed.
    """

    code: str
    message: str
    remedy: str
    passes: bool = True


UNREACHABLE = ErrorClass(
    "DATABASE_UNAVAILABLE", "The database cannot be reached.", "check DULY_DATABASE_URL, or leave it out"
)
UNAVAILABLE_CODE = "DATABASE_UNAVAILABLE"
NO_ANSWER = ErrorClass(
    UNAVAILABLE_CODE,
    "The database did not answer in time.",
    "check its load and its locks (pg_stat_activity, pg_locks)",
)
NO_CONNECTION = ErrorClass(
    UNAVAILABLE_CODE, "No database connection became available in time.", "raise DULY_DATABASE_CONNECTIONS"
)
STOPPED = ErrorClass(UNAVAILABLE_CODE, "The service is stopping.", "submit it again")
CLOSED = ErrorClass(UNAVAILABLE_CODE, "The database closed the connection.", "see the server's log")
STARTING = ErrorClass("DATABASE_STARTING", "The database is starting, stopping or recovering.", "see the server's log")
LOGIN = ErrorClass(
    "DATABASE_LOGIN_FAILED",
    "The database refused the login.",
    "check the user and the password in DULY_DATABASE_URL, and pg_hba.conf",
    passes=False,
)
UNENCRYPTED = LOGIN._replace(
    remedy="set sslmode=verify-full and sslrootcert (or sslmode=require) in DULY_DATABASE_URL, or check pg_hba.conf"
)
UNCERTIFIED = LOGIN._replace(
    remedy="set sslcert and sslkey in DULY_DATABASE_URL to a certificate of this user, or check pg_hba.conf"
)
TLS = ErrorClass(
    "DATABASE_TLS_FAILED",
    "The encrypted connection to the database failed.",
    "check sslmode, sslrootcert, sslcert and sslkey in DULY_DATABASE_URL",
    passes=False,
)
OPTIONS = ErrorClass(
    "DATABASE_OPTIONS_REJECTED",
    "The database connection cannot be opened with these options.",
    "check the options in DULY_DATABASE_URL",
    passes=False,
)
NO_DATABASE = ErrorClass(
    "DATABASE_MISSING", "The database does not exist.", "create it, or check DULY_DATABASE_URL", passes=False
)
CONNECTIONS = ErrorClass(
    "DATABASE_TOO_MANY_CONNECTIONS",
    "The database has too many connections.",
    "raise max_connections (or the limit of the role or the pooler), or lower DULY_DATABASE_CONNECTIONS",
)
DISK_FULL = ErrorClass("DATABASE_DISK_FULL", "The disk of the database is full.", "free space on the database's disk")
MEMORY = ErrorClass(
    "DATABASE_OUT_OF_MEMORY",
    "The database is out of memory.",
    "see the server's log; raise max_locks_per_transaction where it names that",
)
LIMIT = ErrorClass("DATABASE_LIMIT_REACHED", "The database reached a limit.", "raise the limit that it names")
READ_ONLY = ErrorClass(
    "DATABASE_READ_ONLY",
    "The database is read-only.",
    "connect to the primary (target_session_attrs=read-write), or turn default_transaction_read_only off",
)
STATEMENT_TIMEOUT = ErrorClass(
    "DATABASE_STATEMENT_TIMEOUT",
    "The statement exceeded the statement_timeout of the database.",
    "raise statement_timeout, and check the load of the database",
)
CANCELLED = ErrorClass(
    "DATABASE_STATEMENT_CANCELLED",
    "The statement was cancelled in the database.",
    "find the caller of pg_cancel_backend",
)
SESSION_TIMEOUT = ErrorClass(
    "DATABASE_SESSION_TIMEOUT",
    "A timeout of the database ended the session.",
    "raise the timeout that it names for the role of Duly",
)
BUSY = ErrorClass("DATABASE_BUSY", "Another transaction of the database holds a lock.", "find the holder in pg_locks")
POOLER = ErrorClass(
    "DATABASE_TRANSACTION_POOLER",
    "A prepared statement was lost on the way to the database, as behind a transaction pooler.",
    "set DULY_TRANSACTION_POOLING=true; where it is set, none: the next connection prepares its own",
    passes=False,
)
CHANGED = ErrorClass("DATABASE_SCHEMA_CHANGED", "The schema of the database has just changed.", "none; it is temporary")
IO = ErrorClass("DATABASE_IO_ERROR", "The database cannot read or write its files.", "check its disk and its log")
PERMISSION = ErrorClass(
    "DATABASE_PERMISSION_DENIED",
    "The database role lacks a privilege.",
    "run `duly migrate` as the owner",
    passes=False,
)
SCHEMA = ErrorClass(
    "DATABASE_SCHEMA_MISSING",
    "The database lacks a table, a column or a function that this release needs.",
    "run `duly migrate`, and check DULY_DATABASE_SCHEMA",
    passes=False,
)
PARTITION_MISSING = ErrorClass(
    "DATABASE_PARTITION_MISSING",
    "A partition of the database is missing.",
    "run `duly migrate` as the owner of the tables, and compare the clocks of the nodes",
    passes=False,
)
PARTITION_MADE = ErrorClass(
    "DATABASE_PARTITION_MISSING", "A missing partition of the database has just been created.", "submit it again"
)
DAMAGED = ErrorClass(
    "DATABASE_INTERNAL_ERROR", "The database reported an internal error.", "see the server's log", passes=False
)
RULE = ErrorClass(
    "DATABASE_CONSTRAINT_VIOLATED",
    "A constraint or a trigger of the database rejected it.",
    "check additions to the tables of Duly, and run `duly migrate`",
    passes=False,
)
UNKNOWN = ErrorClass("DATABASE_ERROR", "The database reported an error.", "see the server's log", passes=False)
CONTENT = ErrorClass("DATABASE_VALUE_REJECTED", "The database rejected a value.", "report it", passes=False)
