"""Migrating as a command does it."""

import asyncio
from typing import Any

import typer

from duly.cli.opening import new_database, opened_database, read_settings, say
from duly.cli.serving import CannotServe, prepare
from duly.settings import Settings


def run_migration(flags: dict[str, Any]) -> None:
    """Migrates, and prints what was done."""
    settings = read_settings(flags)
    with opened_database(settings) as opened:
        try:
            done = asyncio.run(_migrate(settings, opened.url))
        except CannotServe as error:
            say(str(error))
            raise typer.Exit(1) from None
    print(f"migrated: {', '.join(done)}" if done else "the database is current")


async def _migrate(settings: Settings, url: str) -> list[str]:
    database = new_database(settings, url)
    try:
        return await prepare(database, migrates=True)
    finally:
        await database.close()
