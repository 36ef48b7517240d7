"""Preparation of a database for a service: migrations, privileges, partitions and secret keys."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance.key_rotation import SecretKeyMismatch, recognise
from duly.store.postgres.database import Database, DatabaseError
from duly.store.postgres.partition_function import lend_making
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.schema.required_rights import Rights, missing_rights, missing_rights_to_migrate
from duly.store.schema.revisions import DatabaseNewer, missing_revisions

log = structlog.stdlib.get_logger("duly.serve")


class CannotServe(Exception):
    """Failure to start. The message names the cause and the remedy."""


async def prepare(database: Database, *, migrates: bool) -> list[str]:
    """Migrates the database, or verifies that it is up to date. Returns the revisions applied.

    Raises:
        CannotServe: the database is unreachable, newer than this release, or outdated while `migrates` is false.
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
            from duly.store.schema.migrations import migrate  # noqa: PLC0415  # takes half a second, and is rarely needed

            await _require(database, missing_rights_to_migrate)
            await migrate(database)
        else:
            await _ensure_partitions(database, lends=migrates)
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    return missing


async def _missing_revisions(database: Database) -> list[str]:
    """Returns the missing revisions; none for a database that a newer release has only expanded.

    Raises:
        CannotServe: a newer release has removed objects that this one needs.
    """
    try:
        return await missing_revisions(database)
    except DatabaseNewer as error:
        if not error.serves:
            raise CannotServe(f"the database was migrated by a newer release: {error}; upgrade Duly") from None
        log.warning(f"the database was migrated by a newer release: {error}; upgrade Duly", action="database_newer")
        return []


async def _ensure_partitions(database: Database, *, lends: bool) -> None:
    """Creates the partitions of the next days before the first job arrives."""
    async with database.connection() as connection:
        if lends:
            await lend_making(connection, PARTITIONED)
        await ensure_partitions(connection)


async def _require(database: Database, look: Callable[[Any, str | None], Awaitable[Rights]]) -> None:
    async with database.connection() as connection:
        lacking = await look(connection, database.schema)
    if lacking.grants:
        raise CannotServe(
            f'the database role "{lacking.role}" lacks privileges; run as the owner: {"; ".join(lacking.grants)}'
        )


async def recognise_keys(database: Database, keyring: Keyring) -> None:
    """Verifies the secret keys against this database and logs a warning for each key that is missing.

    Raises:
        CannotServe: a key has the ID of a different key, or the database is unreachable.
    """
    try:
        lacking = await recognise(database, keyring)
    except SecretKeyMismatch as error:
        raise CannotServe(f"{error}; check DULY_SECRET_KEYS") from None
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    if lacking:
        log.warning(
            f"secrets are encrypted with keys that DULY_SECRET_KEYS lacks: {', '.join(lacking)}; "
            "webhooks that need them fail until the keys are added",
            action="secret_keys_lacking",
            keys=lacking,
        )
