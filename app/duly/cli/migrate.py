"""Body of `duly migrate`."""

import asyncio
from functools import partial
from typing import Any

import typer

from duly.cli.command_setup import new_database, opened_database, read_settings
from duly.cli.each_cell import in_each_cell
from duly.cli.errors import say
from duly.cli.prepare_database import CannotServe, prepare, recognise_only
from duly.domain.cells import ONLY, CellNumber
from duly.settings import Settings
from duly.store.ledger.retention import drop_expired
from duly.store.postgres.database import Database, DatabaseError


def run_migration(flags: dict[str, Any], *, drops: bool = False) -> None:
    """Migrates the database, or each cell, and prints the revisions applied. New cells are recorded as such."""
    settings = read_settings(flags)
    in_each_cell(settings, partial(_migrate_and_print, drops=drops))
    if settings.cells is not None:
        asyncio.run(_record_cells(settings))


def _migrate_and_print(settings: Settings, cell: CellNumber, *, drops: bool) -> None:
    with opened_database(settings) as opened:
        try:
            done, dropped = asyncio.run(_migrate(settings, opened.url, is_only=cell == ONLY, drops=drops))
        except CannotServe as error:
            say(str(error))
            raise typer.Exit(1) from None
    print(f"migrated: {', '.join(done)}" if done else "the database is up to date")
    if drops:
        print(f"dropped: {', '.join(dropped)}" if dropped else "no partition is older than the retention")


async def _record_cells(settings: Settings) -> None:
    """Records which cell each new database is, or ends the command if one is another cell than the list says."""
    from duly.cells.cell_list import cell_list, database_of  # noqa: PLC0415  # with several cells only
    from duly.cells.installation import Installation  # noqa: PLC0415

    databases = {cell.number: database_of(cell, settings) for cell in cell_list(settings)}
    try:
        errors = await Installation(len(databases), writes=True).recognise(databases)
    finally:
        for database in databases.values():
            await database.close()
    for cell, error in sorted(errors.items()):
        say(f"cell {cell}: {error.line}" if isinstance(error, DatabaseError) else str(error))
    if errors:
        raise typer.Exit(1)


async def _migrate(settings: Settings, url: str, *, is_only: bool, drops: bool) -> tuple[list[str], list[str]]:
    database = new_database(settings, url)
    try:
        done = await prepare(database, migrates=True)
        if is_only:
            await recognise_only(database, writes=True)
        return done, await _drop(database, settings.retention_days) if drops else []
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    finally:
        await database.close()


async def _drop(database: Database, retention_days: int) -> list[str]:
    async with database.connection() as connection:
        return await drop_expired(connection, retention_days=retention_days)
