"""`duly doctor`: its flags."""

from pathlib import Path
from typing import Annotated

import typer

from duly.cli.arguments import AsJson


def doctor(
    *,
    as_json: AsJson = False,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database lies.")] = None,
) -> None:
    """Look for what is wrong with the database, each finding with its remedy. Exit code 0 where nothing is, else 1."""
    from duly.cli.examining import run_doctor  # noqa: PLC0415  # the other commands must not wait for its imports

    run_doctor({"database_url": database_url, "data_dir": data_dir}, as_json=as_json)
