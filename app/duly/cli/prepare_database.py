"""Preparation of a database for a service: migrations, rights, partitions and secret keys."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance.key_rotation import KeyDiffers, recognise
from duly.store.postgres.database import Database, DatabaseError
from duly.store.postgres.partition_function import lend_making
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.schema.revisions import DatabaseNewer, missing_revisions
from duly.store.schema.role_rights import Rights, missing_rights, missing_rights_to_migrate

log = structlog.stdlib.get_logger("duly.serve")


class CannotServe(Exception):
    """Why this process cannot start, in one sentence that says what to do."""


async def prepare(database: Database, *, migrates: bool) -> list[str]:
    """Brings the database to the newest revision, or makes sure that it is there. Returns the revisions it lacked.

    Raises:
        CannotServe: it cannot be reached, belongs to a newer release, or is behind and `migrates` is false.
    """
    try:
        if not migrates:
            await _require(database, missing_rights)
        missing = await _missing_revisions(database)
        if missing and not migrates:
            raise CannotServe(
                f"the database lacks {len(missing)} migrations ({', '.join(missing)}); "
                "run `duly migrate`, or start with `duly serve --migrate`"
            )
        if missing:
            from duly.store.schema.migrations import migrate  # noqa: PLC0415  # half a second that a current database needs not

            await _require(database, missing_rights_to_migrate)
            await migrate(database)
        else:
            await _ensure_partitions(database, lends=migrates)
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    return missing


async def _missing_revisions(database: Database) -> list[str]:
    """As `missing_revisions`; a database that a newer release has expanded lacks nothing.

    Raises:
        CannotServe: a newer release has taken away what this one needs.
    """
    try:
        return await missing_revisions(database)
    except DatabaseNewer as error:
        if not error.serves:
            raise CannotServe(f"the database belongs to a newer release: {error}; upgrade Duly") from None
        log.warning(f"the database was migrated by a newer release: {error}; upgrade Duly", action="database_newer")
        return []


async def _ensure_partitions(database: Database, *, lends: bool) -> None:
    """The partitions of the coming days must be there before the first job is."""
    async with database.connection() as connection:
        if lends:
            await lend_making(connection, PARTITIONED)
        await ensure_partitions(connection)


async def _require(database: Database, look: Callable[[Any, str | None], Awaitable[Rights]]) -> None:
    async with database.connection() as connection:
        lacking = await look(connection, database.schema)
    if lacking.grants:
        raise CannotServe(
            f'the database role "{lacking.role}" lacks rights; run as the owner: {"; ".join(lacking.grants)}'
        )


async def recognise_keys(database: Database, keyring: Keyring) -> None:
    """Makes sure that the secrets in this database were sealed with these keys, and warns of those that were not.

    Raises:
        CannotServe: a key has the id of another one, or the database cannot be reached.
    """
    try:
        lacking = await recognise(database, keyring)
    except KeyDiffers as error:
        raise CannotServe(f"{error}; check DULY_SECRET_KEYS") from None
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    if lacking:
        log.warning(
            f"secrets were sealed with keys that are not among the secret keys: {', '.join(lacking)}; "
            "webhooks that need them fail until DULY_SECRET_KEYS holds them too",
            action="secret_keys_lacking",
            keys=lacking,
        )
