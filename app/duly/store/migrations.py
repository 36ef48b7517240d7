"""Running the migrations, telling whether they are behind, and comparing them with the declared tables."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from sqlalchemy import Connection

from duly.store.database import Database
from duly.store.partitions import ensure_partitions
from duly.store.tables import metadata

# One key for all: whoever migrates holds it, so that nodes that start together do not race.
LOCK = "select pg_advisory_lock(7305808870034470001)"
UNLOCK = "select pg_advisory_unlock(7305808870034470001)"

_PARTITION = re.compile(r"_\d{8}(_|$)")


class DatabaseNewer(Exception):
    """The database stands at a revision that this release does not know: a newer one migrated it."""


def migrations_folder() -> Path:
    """`duly/migrations` in an installed wheel, the project's own `migrations/` in a checkout."""
    package = Path(str(files("duly")))
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def is_ours(name: str | None, type_: str, _parents: object) -> bool:
    """Whether a name in the database is to be compared: partitions are made at run time and are not."""
    return not (type_ in {"table", "index"} and name is not None and _PARTITION.search(name))


async def migrate(database: Database) -> None:
    """Brings the database to the newest revision and makes the partitions that the next days need."""
    async with database.connection() as connection:
        await connection.execute(LOCK)
        try:
            await database.run_synchronously(_upgrade)
        finally:
            await connection.execute(UNLOCK)
        await ensure_partitions(connection)


async def missing_revisions(database: Database) -> list[str]:
    """The revisions that this database lacks, oldest first; empty where it is current.

    Raises:
        DatabaseNewer: a newer release migrated it.
    """
    return await database.run_synchronously(_missing)


async def differences(database: Database) -> list[Any]:
    """What Alembic would change to make a migrated database equal the declared tables; empty where they agree."""
    return await database.run_synchronously(_differences)


def _configuration(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    configuration.attributes["connection"] = connection
    return configuration


def _upgrade(connection: Connection) -> None:
    command.upgrade(_configuration(connection), "head")
    connection.commit()


def _missing(connection: Connection) -> list[str]:
    scripts = ScriptDirectory.from_config(_configuration(connection))
    current = MigrationContext.configure(connection).get_current_revision()
    try:
        behind = list(scripts.iterate_revisions("head", current or "base"))
    except RevisionError:
        raise DatabaseNewer(f"it stands at the revision {current}, which this release does not know") from None
    return [script.revision for script in behind][::-1]


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"include_name": is_ours})
    return list(compare_metadata(context, metadata))
