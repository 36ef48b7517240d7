"""The errors of Postgres by class: what each is called, what it asks of the operator, and that it shows no values."""

import ssl

import asyncpg
import pytest

from duly.store.postgres.database import Database
from duly.store.postgres.database_errors import (
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseOutage,
    DatabaseTimeout,
    PartitionMissing,
    RecordBusy,
    RecordRefused,
    error_of,
    translated,
)

SECRET = "hunter2-secret"


def of_server(state: str, words: str, **fields: str) -> asyncpg.PostgresError:
    """An error as the driver makes it of what the server sends."""
    made = asyncpg.PostgresError.new({"C": state, "M": words, "S": "ERROR", **fields})
    assert isinstance(made, asyncpg.PostgresError)
    return made


PARTITION = of_server("23514", 'no partition of relation "jobs" found for row', t="jobs", s="public")
KINDS = [
    # state, words, class of error, code, what the line says beside Postgres's own words
    ("08006", "connection failure", DatabaseOutage, "DATABASE_UNAVAILABLE", "closed the connection"),
    ("57P01", "terminating connection due to administrator command", DatabaseOutage, "DATABASE_UNAVAILABLE", "closed"),
    ("57P03", "the database system is starting up", DatabaseOutage, "DATABASE_STARTING", "starting"),
    ("57014", "canceling statement due to statement timeout", DatabaseTimeout, "DATABASE_STATEMENT_TIMEOUT", "raise"),
    ("57014", "canceling statement due to user request", DatabaseTimeout, "DATABASE_STATEMENT_CANCELLED", "cancelled"),
    (
        "57P05",
        "terminating connection due to idle-session timeout",
        DatabaseOutage,
        "DATABASE_SESSION_TIMEOUT",
        "raise",
    ),
    ("25P03", "terminating connection due to idle-in-", DatabaseOutage, "DATABASE_SESSION_TIMEOUT", "timeout"),
    ("25P04", "terminating connection due to transaction timeout", DatabaseOutage, "DATABASE_SESSION_TIMEOUT", "raise"),
    ("25006", "cannot execute INSERT in a read-only transaction", DatabaseOutage, "DATABASE_READ_ONLY", "primary"),
    ("53100", "could not extend file: No space left on device", DatabaseOutage, "DATABASE_DISK_FULL", "free space"),
    ("53200", "out of shared memory", DatabaseTimeout, "DATABASE_OUT_OF_MEMORY", "max_locks_per_transaction"),
    ("53300", "sorry, too many clients already", DatabaseOutage, "DATABASE_TOO_MANY_CONNECTIONS", "max_connections"),
    ("53400", "configuration limit exceeded", DatabaseOutage, "DATABASE_LIMIT_REACHED", "raise the limit"),
    ("58030", "could not read block 0: Input/output error", DatabaseOutage, "DATABASE_IO_ERROR", "disk"),
    (
        "26000",
        'prepared statement "s" does not exist',
        DatabaseOutage,
        "DATABASE_TRANSACTION_POOLER",
        "DULY_TRANSACTION_POOLING",
    ),
    (
        "42P05",
        'prepared statement "s" already exists',
        DatabaseOutage,
        "DATABASE_TRANSACTION_POOLER",
        "DULY_TRANSACTION_POOLING",
    ),
    ("08P01", "unsupported startup parameter: options", DatabaseOutage, "DATABASE_OPTIONS_REJECTED", "options"),
    (
        "08P01",
        "no more connections allowed (max_client_conn)",
        DatabaseOutage,
        "DATABASE_TOO_MANY_CONNECTIONS",
        "pooler",
    ),
    ("08P01", "query_wait_timeout", DatabaseOutage, "DATABASE_TOO_MANY_CONNECTIONS", "pooler"),
    (
        "42501",
        "permission denied for table jobs",
        DatabaseMisconfigured,
        "DATABASE_PERMISSION_DENIED",
        "GRANT SELECT, INSERT",
    ),
    (
        "42501",
        "permission denied for schema app",
        DatabaseMisconfigured,
        "DATABASE_PERMISSION_DENIED",
        "GRANT USAGE, CREATE ON SCHEMA app",
    ),
    ("42501", "must be owner of table jobs", DatabaseMisconfigured, "DATABASE_PERMISSION_DENIED", "duly migrate"),
    ("XX001", "invalid page in block 0", DatabaseMisconfigured, "DATABASE_INTERNAL_ERROR", "log"),
    (
        "23514",
        'new row violates check constraint "theirs"',
        DatabaseMisconfigured,
        "DATABASE_CONSTRAINT_VIOLATED",
        "constraint",
    ),
    (
        "23502",
        'null value in column "new" of relation "jobs"',
        DatabaseMisconfigured,
        "DATABASE_CONSTRAINT_VIOLATED",
        "duly migrate",
    ),
    ("P0001", "no jobs on Sundays", DatabaseMisconfigured, "DATABASE_CONSTRAINT_VIOLATED", "trigger"),
    ("42P01", 'relation "jobs" does not exist', RecordRefused, "DATABASE_SCHEMA_MISSING", "duly migrate"),
    ("55P03", "canceling statement due to lock timeout", RecordBusy, "DATABASE_BUSY", "pg_locks"),
    ("40P01", "deadlock detected", RecordBusy, "DATABASE_BUSY", "holds a lock"),
]


@pytest.mark.parametrize(("state", "words", "kind", "code", "also"), KINDS, ids=[f"{k[0]}-{k[3]}" for k in KINDS])
def test_an_error_is_told_in_the_words_of_postgres_with_a_code_and_a_remedy(
    state: str, words: str, kind: type[DatabaseError], code: str, also: str
) -> None:
    error = error_of(of_server(state, words, c="theirs"), role="duly_app")
    assert type(error) is kind
    assert error.error_class.code == code
    assert words in error.line
    assert also in error.line
    assert "cannot be reached" not in error.line


def test_a_missing_partition_is_known_in_every_language() -> None:
    for words in (PARTITION.args[0], "keine Partition von Relation gefunden"):
        error = error_of(of_server("23514", words, t="jobs", s="public"))
        assert (type(error), error.error_class.code) == (PartitionMissing, "DATABASE_PARTITION_MISSING")


def test_the_grant_names_the_role_that_lacks_it() -> None:
    error = error_of(of_server("42501", "permission denied for table jobs"), role="duly_app")
    assert error.line.endswith("GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE jobs TO duly_app")


@pytest.mark.parametrize(
    ("state", "words", "code"),
    [
        ("28P01", 'password authentication failed for user "u"', "DATABASE_LOGIN_FAILED"),
        ("28000", "no pg_hba.conf entry for host", "DATABASE_LOGIN_FAILED"),
        ("3D000", 'database "d" does not exist', "DATABASE_MISSING"),
        ("42501", 'permission denied for database "d"', "DATABASE_PERMISSION_DENIED"),
        ("53300", 'too many connections for role "u"', "DATABASE_TOO_MANY_CONNECTIONS"),
        ("55000", 'database "d" is not currently accepting connections', "DATABASE_UNAVAILABLE"),
    ],
)
def test_whatever_a_server_says_to_a_new_session_it_is_away(state: str, words: str, code: str) -> None:
    error = error_of(of_server(state, words), connecting=True)
    assert (type(error), error.error_class.code, error.connecting) == (DatabaseOutage, code, True)
    assert words in error.line


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "DATABASE_UNAVAILABLE", "cannot be reached"),
        (TimeoutError(), "DATABASE_UNAVAILABLE", "did not answer in time"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "DATABASE_TLS_FAILED", "sslrootcert"),
        (asyncpg.ClientConfigurationError("root certificate file"), "DATABASE_OPTIONS_REJECTED", "root certificate"),
        (asyncpg.TargetServerAttributeNotMatched("read-write"), "DATABASE_READ_ONLY", "primary"),
        (asyncpg.InterfaceError("connection is closed"), "DATABASE_UNAVAILABLE", "closed the connection"),
    ],
)
def test_what_the_driver_meets_on_the_way_is_told_apart(raised: Exception, code: str, says: str) -> None:
    error = error_of(raised)
    assert isinstance(error, DatabaseOutage)
    assert error.error_class.code == code
    assert says in error.line


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("22000", f"invalid input for query argument $1: {SECRET!r} (expected int)"),
        ("22P02", f'invalid input syntax for type json: "{SECRET}"'),
        ("22003", f'value "{SECRET}" is out of range for type integer'),
        ("22021", f'invalid byte sequence for encoding "UTF8": {SECRET}'),
    ],
)
def test_a_value_that_cannot_be_held_is_not_shown(state: str, words: str) -> None:
    error = error_of(of_server(state, words, D=f"Failing row contains ({SECRET})."))
    assert type(error) is RecordRefused
    assert SECRET not in f"{error} {error.line} {error!r}"
    assert words[:10] in str(error) or state == "22003"


def test_each_error_is_noted_once_by_its_code() -> None:
    noted: list[str] = []
    with pytest.raises(DatabaseOutage), translated(lambda error: noted.append(error.error_class.code)):
        raise of_server("53100", "No space left on device")
    assert noted == ["DATABASE_DISK_FULL"]


async def test_a_value_of_another_type_is_refused_and_does_not_count_as_an_outage(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(RecordRefused) as refused:
        async with database.connection() as connection:
            await connection.fetchval("select $1::int", SECRET)
    assert SECRET not in refused.value.line
    await database.close()
