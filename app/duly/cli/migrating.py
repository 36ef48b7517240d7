"""`duly migrate`: bring a database to the newest revision."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from duly.cli.opening import new_database, opened_database, read_settings, say
from duly.cli.serving import CannotServe, prepare
from duly.settings import Settings
from duly.store.migrations import missing_revisions


def migrate(
    *,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database lies.")] = None,
) -> None:
    """Bring the database to the newest revision, and make the partitions of the coming days."""
    settings = read_settings({"database_url": database_url, "data_dir": data_dir})
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
        missing = await missing_revisions(database)
        await prepare(database, migrates=True)
    finally:
        await database.close()
    return missing
