"""`duly secrets`: its commands and their flags."""

from pathlib import Path
from typing import Annotated

import typer


def secrets() -> typer.Typer:
    """The list of commands."""
    commands = typer.Typer(
        help="The keys that secrets are sealed with in the database.", no_args_is_help=True, rich_markup_mode=None
    )
    commands.command("new-key")(new_key)
    commands.command("reseal")(reseal)
    return commands


def new_key(
    *, id_: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id; a random one if none.")] = None
) -> None:
    """Print a new key as DULY_SECRET_KEYS takes it. It is kept nowhere."""
    from duly.cli.failures import USAGE, stop  # noqa: PLC0415  # the other commands must not wait for its imports
    from duly.domain import sealing  # noqa: PLC0415

    try:
        print(sealing.new_key(id_))
    except sealing.KeysWrong as error:
        stop(f"--id: {error}", code=USAGE)


def reseal(
    *,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database and its key lie.")] = None,
) -> None:
    """Seal with the first key what older keys sealed, and say what is left. Exit code 1 where a key is missing."""
    from duly.cli.resealing import run_reseal  # noqa: PLC0415  # nor for these

    run_reseal({"database_url": database_url, "data_dir": data_dir})
