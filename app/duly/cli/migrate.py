"""`duly migrate`: its flags."""

from pathlib import Path
from typing import Annotated

import typer


def migrate(
    *,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database lies.")] = None,
    drop_expired: Annotated[
        bool,
        typer.Option("--drop-expired", help="Drop the days past DULY_RETENTION_DAYS."),
    ] = False,
) -> None:
    """Bring the database to the newest revision, and make the partitions of the coming days."""
    from duly.cli.migration import run_migration  # noqa: PLC0415  # the other commands must not wait for its imports

    run_migration({"database_url": database_url, "data_dir": data_dir}, drops=drop_expired)
