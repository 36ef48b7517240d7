"""`duly check`: its flags."""

from pathlib import Path
from typing import Annotated

import typer

from duly.cli.arguments import AsJson


def check(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild from the ledger what other tables have lost.")
    ] = False,
    as_json: AsJson = False,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database lies.")] = None,
) -> None:
    """Check that what is recorded of all jobs holds together. Exit code 0 where it does, else 1."""
    from duly.cli.checking import run_check  # noqa: PLC0415  # the other commands must not wait for its imports

    run_check({"database_url": database_url, "data_dir": data_dir}, repairs=repair, as_json=as_json)
