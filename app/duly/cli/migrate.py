"""Body of `duly migrate`."""

import asyncio
from typing import Any

import typer

from duly.cli.command_setup import new_database, opened_database, read_settings, say
from duly.cli.prepare_database import CannotServe, prepare
from duly.settings import Settings
from duly.store.ledger.retention import drop_expired
from duly.store.postgres.database import Database, DatabaseError


def run_migration(flags: dict[str, Any], *, drops: bool = False) -> None:
    """Migrates the database and prints the revisions applied."""
    settings = read_settings(flags)
    with opened_database(settings) as opened:
        try:
            done, dropped = asyncio.run(_migrate(settings, opened.url, drops=drops))
        except CannotServe as error:
            say(str(error))
            raise typer.Exit(1) from None
    print(f"migrated: {', '.join(done)}" if done else "the database is up to date")
    if drops:
        print(f"dropped: {', '.join(dropped)}" if dropped else "no partition is older than the retention")


async def _migrate(settings: Settings, url: str, *, drops: bool) -> tuple[list[str], list[str]]:
    database = new_database(settings, url)
    try:
        done = await prepare(database, migrates=True)
        return done, await _drop(database, settings.retention_days) if drops else []
    except DatabaseError as error:
        raise CannotServe(error.line) from None
    finally:
        await database.close()


async def _drop(database: Database, retention_days: int) -> list[str]:
    async with database.connection() as connection:
        return await drop_expired(connection, retention_days=retention_days)
