"""`duly serve`: its flags."""

from pathlib import Path
from typing import Annotated

import typer

from duly.settings import Role


def serve(  # noqa: PLR0913  # each is a flag
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (8000); 0 for any free one.")] = None,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Postgres 15 to 18; the embedded one if none.")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the embedded database lies.")] = None,
    handlers: Annotated[list[str] | None, typer.Option(metavar="MODULE", help="Handlers to run; repeatable.")] = None,
    processes: Annotated[int | None, typer.Option(help="Whole processes behind one socket (1).")] = None,
    role: Annotated[list[Role] | None, typer.Option(help="What to take on; repeatable (all).")] = None,
    slots: Annotated[int | None, typer.Option(help="Jobs at once in a process (100).")] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Migrate the database first.")] = False,
    hints: Annotated[bool, typer.Option("--hints", help="Print commands to try.")] = False,
) -> None:
    """Run the service until it is told to stop (SIGTERM or Ctrl-C), then end in good order."""
    from duly.cli.service import run_service  # noqa: PLC0415  # the other commands must not wait for all it imports

    run_service(
        {
            "host": host,
            "port": port,
            "database_url": database_url,
            "data_dir": data_dir,
            "handlers": tuple(handlers or ()),
            "processes": processes,
            "roles": tuple(role or ()),
            "worker_slots": slots,
        },
        migrate=migrate,
        hints=hints,
    )
