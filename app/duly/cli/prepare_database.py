"""Preparation of a database for a service: migrations, privileges, partitions and secret keys."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import structlog

from duly.domain.cell_record import WrongCell, check_only
from duly.domain.cells import ONLY
from duly.domain.counted_noun import counted_noun
from duly.domain.sealing import Keyring
from duly.lifecycle.maintenance.key_rotation import SecretKeyMismatch, recognise
from duly.settings import Settings
from duly.store.access.version import has_keys
from duly.store.cells.cell_record import read_cell_record, write_cell_record
from duly.store.postgres.database import Database, DatabaseError, DatabaseMisconfigured, RecordBusy
from duly.store.postgres.epochs import begin_epoch, lend_epochs
from duly.store.postgres.partition_function import lend_making
from duly.store.postgres.partitions import PARTITIONED, ensure_partitions
from duly.store.postgres.submit_function import lend_submitting
from duly.store.schema.required_rights import Rights, missing_rights, missing_rights_to_migrate
from duly.store.schema.revisions import DatabaseNewer, missing_revisions

log = structlog.stdlib.get_logger("duly.serve")

# Each waits up to 200 ms for statements that hold the tables.
EPOCH_TRIES = 10


class CannotServe(Exception):
    """Failure to start. The message names the cause and the remedy."""


async def prepare(database: Database, *, migrates: bool) -> list[str]:
    """Migrates the database, or verifies that it is up to date. Returns the revisions applied.

    Raises:
        CannotServe: the database is unreachable, newer than this release, or outdated while `migrates` is false.
    """
    try:
        return await try_to_prepare(database, migrates=migrates)
    except DatabaseError as error:
        raise CannotServe(error.line) from None


async def try_to_prepare(database: Database, *, migrates: bool) -> list[str]:
    """Does what `prepare` does.

    Raises:
        CannotServe: the database is newer than this release, or outdated while `migrates` is false.
        DatabaseError: it does not answer, or refuses. What was done may be repeated.
    """
    if not migrates:
        await _require(database, missing_rights)
    missing = await _missing_revisions(database)
    if missing and not migrates:
        raise CannotServe(
            f"the database lacks {counted_noun(len(missing), 'migration')} ({', '.join(missing)}); "
            "run `duly migrate`, or start with `duly serve --migrate`"
        )
    if missing:
        from duly.store.schema.migrations import migrate  # noqa: PLC0415  # takes half a second, and is rarely needed

        await _require(database, missing_rights_to_migrate)
        await migrate(database)
    else:
        await _ensure_partitions(database, lends=migrates)
    await _begin_epoch(database)
    return missing


async def recognise_only(database: Database, *, writes: bool) -> None:
    """Verifies that a prepared database is the only one of its installation; records that it is, if it `writes`.

    Raises:
        CannotServe: it is one of several cells.
        DatabaseError: it does not answer.
    """
    async with database.connection() as connection:
        record = await read_cell_record(connection)
        if record is None and writes:
            with suppress(DatabaseMisconfigured):  # a role that is not the owner
                record = await write_cell_record(connection, ONLY, uuid4())
    try:
        check_only(record)
    except WrongCell as error:
        raise CannotServe(str(error)) from None


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
            await lend_submitting(connection)
            await lend_epochs(connection)
        await ensure_partitions(connection)


async def _begin_epoch(database: Database) -> None:
    """Begins an epoch of the ledger after a restore, before this node records anything. If that fails, a loop of the
    node tries again and reports the reason.
    """
    for _ in range(EPOCH_TRIES):
        with suppress(RecordBusy, DatabaseMisconfigured):
            async with database.connection() as connection:
                await begin_epoch(connection)
            return


async def _require(database: Database, look: Callable[[Any, str | None], Awaitable[Rights]]) -> None:
    async with database.connection() as connection:
        lacking = await look(connection, database.schema)
    if lacking.grants:
        raise CannotServe(
            f'the database role "{lacking.role}" lacks privileges; run as the owner: {"; ".join(lacking.grants)}'
        )


async def requires_key(database: Database, settings: Settings) -> bool:
    """Returns whether requests need an API key: one is set, or was made.

    Raises:
        DatabaseError: the database does not answer.
    """
    if settings.api_key is not None:
        return True
    async with database.connection() as connection:
        return await has_keys(connection)


async def recognise_keys(database: Database, keyring: Keyring) -> None:
    """Verifies the secret keys against this database and logs a warning for each key that is missing.

    Raises:
        CannotServe: a key has the ID of a different key.
        DatabaseError: the database does not answer.
    """
    try:
        lacking = await recognise(database, keyring)
    except SecretKeyMismatch as error:
        raise CannotServe(f"{error}; check DULY_SECRET_KEYS") from None
    if lacking:
        log.warning(
            f"secrets are encrypted with keys that DULY_SECRET_KEYS lacks: {', '.join(lacking)}; "
            "webhooks that need them fail until the keys are added",
            action="secret_keys_lacking",
            keys=lacking,
        )
