"""Runs the migrations, and compares the result with the declared tables."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from duly.store.postgres.advisory_locks import MIGRATION, holding
from duly.store.postgres.database import Database, DatabaseError, DatabaseOutage, quoted, translated
from duly.store.postgres.database_errors import error_of
from duly.store.postgres.epochs import lend_epochs
from duly.store.postgres.partition_function import lend_making
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.postgres.submit_function import lend_submitting
from duly.store.schema.migration_locks import until_unlocked, wait_briefly
from duly.store.schema.migrations_folder import migrations_folder
from duly.store.schema.tables import metadata

SCHEMA_EXISTS = "select exists (select from pg_namespace where nspname = $1)"

Result = TypeVar("Result")

_PARTITION = re.compile(r"_\d{8}(_|$)")


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Returns whether a name in the database is compared: partitions, which are made at run time, are not."""
    return not (type_ in {"table", "index"} and name is not None and _PARTITION.search(name))


async def migrate(database: Database, *, to: str = "head") -> None:
    """Migrates the database to a revision, by default the newest, and creates the partitions of the next days.

    Raises:
        RecordBusy: other transactions use a table that a migration changes, for a minute; the message names the oldest.
    """
    async with database.connection() as connection:
        if database.schema is not None and not await connection.fetchval(SCHEMA_EXISTS, database.schema):
            await connection.execute(f"create schema if not exists {quoted(database.schema)}")
        # Keeps nodes that start at the same time from racing. The transaction of the lock is on a separate connection.
        async with holding(connection, MIGRATION):
            await until_unlocked(
                connection, lambda wait: _with_alembic(database, partial(_upgrade, to=to, lock_milliseconds=wait))
            )
        await lend_making(connection, PARTITIONED)
        await lend_submitting(connection)
        await lend_epochs(connection)
        await ensure_partitions(connection)


async def differences(database: Database) -> list[Any]:
    """Returns the changes by which Alembic would make a migrated database equal the declared tables."""
    return await _with_alembic(database, _differences)


async def _with_alembic(database: Database, work: Callable[[Connection], Result]) -> Result:
    """Runs a function that needs a synchronous SQLAlchemy connection."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=database.connect,
        poolclass=NullPool,
        # Behind a transaction pooler a named prepared statement stays in a session that other clients use.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str},
    )
    with translated():
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        except DBAPIError as error:
            raise _of_alembic(error) from None


def _of_alembic(error: DBAPIError) -> DatabaseError:
    """Returns the driver's error that SQLAlchemy wrapped together with the statement and its values."""
    cause = getattr(error.orig, "driver_exception", None) or getattr(error.orig, "__cause__", None)
    return error_of(cause) if isinstance(cause, Exception) else DatabaseOutage(type(error.orig).__name__)


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection, *, to: str, lock_milliseconds: int) -> None:
    wait_briefly(connection, lock_milliseconds)
    command.upgrade(_configuration(connection), to)
    connection.commit()


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"include_name": is_ours})
    return list(compare_metadata(context, metadata))
