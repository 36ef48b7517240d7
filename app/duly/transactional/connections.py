"""Submission on a connection of any supported driver, found by the type of the connection. Imports no driver.

asyncpg, psycopg 3, SQLAlchemy with any driver for Postgres, and Django.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, Unpack, overload
from uuid import UUID

from duly.transactional.statement import DEFAULT_SCHEMA, Call, TransactionOptions, call_of, statement


class UnknownConnection(TypeError):
    """Object that is not a connection of a supported driver, such as a pool."""


class AsyncTransaction(Protocol):
    """Connection of asyncpg, asynchronous connection or session of psycopg or SQLAlchemy."""

    def execute(self, *args: Any, **kwargs: Any) -> Awaitable[Any]: ...


class Transaction(Protocol):
    """Connection or session of psycopg or SQLAlchemy."""

    def execute(self, *args: Any, **kwargs: Any) -> Any: ...


class DjangoConnection(Protocol):
    """Connection of Django."""

    vendor: Any

    def cursor(self) -> AbstractContextManager[Any]: ...


@overload
def submit(
    connection: AsyncTransaction,
    type: str,
    parameters: Any = None,
    *,
    schema: str = ...,
    **options: Unpack[TransactionOptions],
) -> Awaitable[UUID]: ...
@overload
def submit(
    connection: Transaction | DjangoConnection,
    type: str,
    parameters: Any = None,
    *,
    schema: str = ...,
    **options: Unpack[TransactionOptions],
) -> UUID: ...
def submit(
    connection: Any,
    type: str,  # noqa: A002  # the contract's word
    parameters: Any = None,
    *,
    schema: str = DEFAULT_SCHEMA,
    **options: Unpack[TransactionOptions],
) -> UUID | Awaitable[UUID]:
    """Submits a job in the transaction that the connection is in. It exists once that has committed.

    Args:
        connection: connection or session; without a transaction, the job is submitted at once.
        type: job type.
        parameters: a pydantic model, a dataclass or anything that JSON can carry.
        schema: schema of the function.
        options: as of `duly.client.Client.submit`; also `idempotency_key`, `correlation_id`, `traceparent`, `tenant`.

    Returns:
        The job's id; an awaitable of it for an asynchronous connection.

    Raises:
        UnknownConnection: the driver is not supported.
        TypeError, ValueError: an option is unknown, or a value has no form in JSON.
    """
    call = call_of(type, parameters, options)
    for base in _bases(connection):
        if (adapter := _ADAPTERS.get(base)) is not None:
            return adapter(connection, schema, call)
    raise UnknownConnection(
        f"{_name(connection)} is not a connection of asyncpg, psycopg 3, SQLAlchemy or Django; "
        "pass the connection or session that has the transaction"
    )


def _bases(connection: object) -> list[str]:
    """Returns the names of the connection's types, without the modules inside of a package."""
    return [f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(connection).__mro__]


def _name(connection: object) -> str:
    return f"{type(connection).__module__}.{type(connection).__qualname__}"


async def _asyncpg(connection: Any, schema: str, call: Call) -> UUID:
    return _id(await connection.fetchval(statement(schema, "$1", "$2", "$3"), *call))


_POSITIONAL = ("%s",) * 3


def _psycopg(connection: Any, schema: str, call: Call) -> UUID:
    from psycopg.rows import tuple_row  # noqa: PLC0415  # of the driver in use

    with connection.cursor(row_factory=tuple_row) as cursor:
        return _id(cursor.execute(statement(schema, *_POSITIONAL), call).fetchone()[0])


async def _psycopg_async(connection: Any, schema: str, call: Call) -> UUID:
    from psycopg.rows import tuple_row  # noqa: PLC0415  # of the driver in use

    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement(schema, *_POSITIONAL), call)
        return _id((await cursor.fetchone())[0])


def _named(schema: str, call: Call) -> tuple[Any, Mapping[str, str]]:
    from sqlalchemy import text  # noqa: PLC0415  # of the library in use

    return text(statement(schema, *(f":{name}" for name in Call._fields))), call._asdict()


def _sqlalchemy(connection: Any, schema: str, call: Call) -> UUID:
    return _id(connection.execute(*_named(schema, call)).scalar_one())


async def _sqlalchemy_async(connection: Any, schema: str, call: Call) -> UUID:
    return _id((await connection.execute(*_named(schema, call))).scalar_one())


def _django(connection: Any, schema: str, call: Call) -> UUID:
    if connection.vendor != "postgresql":
        raise UnknownConnection(f"the database is {connection.vendor}; for that, use an outbox and `duly relay`")
    with connection.cursor() as cursor:
        cursor.execute(statement(schema, *_POSITIONAL), call)
        return _id(cursor.fetchone()[0])


def _id(value: object) -> UUID:
    """Returns the id that a driver returned, as text or as a UUID of its own."""
    return value if type(value) is UUID else UUID(str(value))


_ADAPTERS: Mapping[str, Callable[[Any, str, Call], UUID | Awaitable[UUID]]] = {
    "asyncpg.Connection": _asyncpg,
    "asyncpg.PoolConnectionProxy": _asyncpg,
    "psycopg.Connection": _psycopg,
    "psycopg.AsyncConnection": _psycopg_async,
    "sqlalchemy.Connection": _sqlalchemy,
    "sqlalchemy.Session": _sqlalchemy,
    "sqlalchemy.scoped_session": _sqlalchemy,
    "sqlalchemy.AsyncConnection": _sqlalchemy_async,
    "sqlalchemy.AsyncSession": _sqlalchemy_async,
    "sqlalchemy.async_scoped_session": _sqlalchemy_async,
    "django.BaseDatabaseWrapper": _django,
    "django.ConnectionProxy": _django,
}
