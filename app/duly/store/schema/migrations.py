"""Runs the migrations, and compares them with the declared tables."""

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

from duly.store.postgres.advisory_locks import MIGRATION, hold
from duly.store.postgres.database import Database, DatabaseError, DatabaseOutage, quoted, translated
from duly.store.postgres.database_errors import error_of
from duly.store.postgres.partition_function import lend_making
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.schema.revisions import migrations_folder
from duly.store.schema.tables import metadata

HAS_SCHEMA = "select exists (select from pg_namespace where nspname = $1)"

Result = TypeVar("Result")

_PARTITION = re.compile(r"_\d{8}(_|$)")


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Whether a name in the database is to be compared: partitions are made at run time and are not."""
    return not (type_ in {"table", "index"} and name is not None and _PARTITION.search(name))


async def migrate(database: Database, *, to: str = "head") -> None:
    """Brings the database to a revision, the newest by default, and makes the partitions that the next days need."""
    async with database.connection() as connection:
        if database.schema is not None and not await connection.fetchval(HAS_SCHEMA, database.schema):
            await connection.execute(f"create schema if not exists {quoted(database.schema)}")
        # Nodes that start together do not race: the lock is the transaction's, on a connection of its own.
        async with connection.transaction():
            await hold(connection, MIGRATION)
            await _with_alembic(database, partial(_upgrade, to=to))
        await lend_making(connection, PARTITIONED)
        await ensure_partitions(connection)


async def differences(database: Database) -> list[Any]:
    """What Alembic would change to make a migrated database equal the declared tables; empty where they agree."""
    return await _with_alembic(database, _differences)


async def _with_alembic(database: Database, work: Callable[[Connection], Result]) -> Result:
    """Runs code that wants SQLAlchemy's own synchronous connection."""
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=database.connect,
        poolclass=NullPool,
        # Behind a transaction pooler a statement that is prepared by name stays in a session that is anybody's.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str},
    )
    with translated():
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        except DBAPIError as error:
            raise _of_alembic(error) from None


def _of_alembic(error: DBAPIError) -> DatabaseError:
    """The error of the driver that SQLAlchemy wrapped, with the statement and its values, in its own."""
    cause = getattr(error.orig, "driver_exception", None) or getattr(error.orig, "__cause__", None)
    return error_of(cause) if isinstance(cause, Exception) else DatabaseOutage(type(error.orig).__name__)


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection, *, to: str) -> None:
    command.upgrade(_configuration(connection), to)
    connection.commit()


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"include_name": is_ours})
    return list(compare_metadata(context, metadata))
