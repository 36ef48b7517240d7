"""The revisions of the schema: those that this release knows, and those that a database lacks.

Apart from `migrations`, so that a service on a current database imports neither Alembic nor SQLAlchemy: they take
longer to import than all the rest of a start.
"""

import re
from importlib.resources import files
from pathlib import Path

from duly.store.postgres.database import Connection, Database

# Migrations expand the schema, so that the release before goes on working. One that takes something away is put in
# here.
CONTRACTIONS = "select revision from contractions"

_FILE = re.compile(r"(\d{4})_\w+\.py")


class DatabaseNewer(Exception):
    """The database is at a revision that this release does not know: a newer one migrated it.

    `serves`: it only expanded the schema, so that this release may work on it during an upgrade.
    """

    def __init__(self, message: str, *, serves: bool) -> None:
        super().__init__(message)
        self.serves = serves


def migrations_folder() -> Path:
    """`duly/migrations` in an installed wheel, the project's own `migrations/` in a checkout."""
    package = Path(str(files("duly")))
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


def known_revisions() -> list[str]:
    """All revisions of this release, oldest first: each migration is a file whose name begins with its revision."""
    names = (path.name for path in (migrations_folder() / "versions").iterdir())
    return sorted(match[1] for name in names if (match := _FILE.fullmatch(name)))


async def missing_revisions(database: Database) -> list[str]:
    """The revisions that this database lacks, oldest first; empty where it is current.

    Raises:
        DatabaseNewer: a newer release migrated it.
        DatabaseOutage, RecordRefused: see `duly.store.postgres.database`.
    """
    async with database.connection() as connection:
        return await revisions_missing(connection)


async def revisions_missing(connection: Connection) -> list[str]:
    """The same, on a connection of the caller's."""
    made = await connection.fetchval("select to_regclass('alembic_version') is not null")
    current = await connection.fetchval("select version_num from alembic_version") if made else None
    known = known_revisions()
    if current is None:
        return known
    if current not in known:
        kept = await connection.fetchval("select to_regclass('contractions') is not null")
        serves = kept and {row[0] for row in await connection.fetch(CONTRACTIONS)} <= set(known)
        raise DatabaseNewer(f"it is at the revision {current}, which this release does not know", serves=serves)
    return known[known.index(current) + 1 :]
