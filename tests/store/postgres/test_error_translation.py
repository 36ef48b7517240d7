"""An error of the driver says something of one item, of the moment, or of the connection; never the wrong one."""

import asyncio

import asyncpg
import pytest
from asyncpg.exceptions._base import DataError as ClientDataError

from duly.store.postgres.database import (
    DatabaseError,
    DatabaseMisconfigured,
    DatabaseOutage,
    DatabaseTimeout,
    RecordBusy,
    RecordRefused,
)
from duly.store.postgres.database_errors import PartitionMissing, error_of, translated


def of(sqlstate: str, **fields: str) -> asyncpg.PostgresError:
    """Returns an error with this SQLSTATE, as the server reports it."""
    made = asyncpg.PostgresError.new({"C": sqlstate, "M": "words", "S": "ERROR", **fields})
    assert isinstance(made, asyncpg.PostgresError)
    return made


DATA = ("22021", "22P02", "54000", "P0001", "44000", "23502", "23503")
UNFIT = ("42501", "42P01", "42703", "3F000", "XX000", "XX001", "99999")
AWAY = ("57P01", "57P03", "53100", "53300", "25006", "25P02", "25P03", "08006", "58030", "26000")


@pytest.mark.parametrize("error", [*map(of, DATA), of("23514", n="theirs"), ClientDataError("$4: 7")], ids=repr)
def test_a_value_that_is_refused_is_told_from_a_database_that_lacks_something(error: Exception) -> None:
    refused = error_of(error)
    assert isinstance(refused, RecordRefused) and refused.of_data


@pytest.mark.parametrize("error", [*map(of, UNFIT), of("23514", t="jobs")], ids=repr)
def test_what_the_database_lacks_is_no_fault_of_a_value(error: Exception) -> None:
    refused = error_of(error)
    assert isinstance(refused, RecordRefused) and not refused.of_data


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((of(code), RecordBusy) for code in ("40001", "40P01", "55P03")),
        *((of(code), DatabaseTimeout) for code in ("57014", "53200")),
        (TimeoutError(), DatabaseTimeout),
        *((of(code), DatabaseOutage) for code in AWAY),
        (ConnectionResetError(), DatabaseOutage),
        (asyncpg.InterfaceError("connection is closed"), DatabaseOutage),
        (asyncpg.InvalidCachedStatementError("cached plan must not change result type"), DatabaseOutage),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), DatabaseOutage),
        (of("23514", t="jobs"), PartitionMissing),
        (of("42501"), DatabaseMisconfigured),
    ],
    ids=repr,
)
def test_verbs_are_told_by_exception(error: Exception, expected: type[DatabaseError]) -> None:
    with pytest.raises(expected) as told, translated():
        raise error
    assert type(told.value) is expected


@pytest.mark.parametrize("error", [KeyError("ours"), asyncio.CancelledError()], ids=repr)
def test_an_error_that_is_not_the_databases_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)), translated():
        raise error
