"""Revisions of the schema: those that this release knows, and those that a database lacks.

Separate from `migrations`, so that a service on a current database imports neither Alembic nor SQLAlchemy, which take
longer to import than the rest of a start.
"""

import re

from duly.store.postgres.database import Connection, Database
from duly.store.schema.migrations_folder import migrations_folder

# Migrations only add to the schema, so that the previous release keeps working. Those that remove something are listed
# in this table.
READ_CONTRACTIONS = "select revision from contractions"

_FILE = re.compile(r"(\d{4})_\w+\.py")


class DatabaseNewer(Exception):
    """Database at a revision of a newer release, which this one does not know.

    `serves`: the unknown migrations only added to the schema, so this release may use it during an upgrade.
    """

    def __init__(self, message: str, *, serves: bool) -> None:
        super().__init__(message)
        self.serves = serves


def known_revisions() -> list[str]:
    """Returns all revisions of this release, oldest first: names of migration files begin with their revision."""
    names = (path.name for path in (migrations_folder() / "versions").iterdir())
    return sorted(match[1] for name in names if (match := _FILE.fullmatch(name)))


async def missing_revisions(database: Database) -> list[str]:
    """Returns the revisions that this database lacks, oldest first.

    Raises:
        DatabaseNewer: a newer release migrated it.
        DatabaseOutage, RecordRefused: as described in `store.postgres.database_errors`.
    """
    async with database.connection() as connection:
        return await revisions_missing(connection)


async def revisions_missing(connection: Connection) -> list[str]:
    """Returns the same on the caller's connection."""
    made = await connection.fetchval("select to_regclass('alembic_version') is not null")
    current = await connection.fetchval("select version_num from alembic_version") if made else None
    known = known_revisions()
    if current is None:
        return known
    if current not in known:
        kept = await connection.fetchval("select to_regclass('contractions') is not null")
        serves = kept and {row[0] for row in await connection.fetch(READ_CONTRACTIONS)} <= set(known)
        raise DatabaseNewer(
            f"it is at revision {current}, and this release knows those up to {known[-1]}", serves=serves
        )
    return known[known.index(current) + 1 :]
