"""Commands that run or maintain the service, with their flags."""

from pathlib import Path
from typing import Annotated

import typer

from duly.cli.client_arguments import AsJson
from duly.cli.extras import needs
from duly.domain.node_role import Role

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url", metavar="URL", help="URL of a Postgres 15 to 18 (default: the embedded PostgreSQL)."
    ),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Data folder of the embedded PostgreSQL.")]

# The bodies are imported by the command that runs, so that `--help` and the other commands start fast.


def serve(  # noqa: PLR0913  # each is a flag
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (default: 127.0.0.1).", show_default=False)
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 for any free port (default: 8000).")] = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    handlers: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Module with handlers; repeat for several.")
    ] = None,
    processes: Annotated[int | None, typer.Option(help="Number of server processes (default: 1).")] = None,
    role: Annotated[list[Role] | None, typer.Option(help="Role to run; repeat for several (default: all).")] = None,
    slots: Annotated[
        int | None, typer.Option(help="Number of jobs that run at once in each process (default: 100).")
    ] = None,
    migrate: Annotated[bool, typer.Option("--migrate", help="Migrate the database before the start.")] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Exchange handlers when their source changes, for development.")
    ] = False,
    hints: Annotated[bool, typer.Option("--hints", help="Print example commands once ready.")] = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C, then shut down gracefully."""
    with needs("server"):
        from duly.cli.lean_imports import import_structlog  # noqa: PLC0415

        import_structlog()
        from duly.cli.serve import run_service  # noqa: PLC0415

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
        reload=reload,
    )


def migrate(
    *,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
    drop_expired: Annotated[
        bool, typer.Option("--drop-expired", help="Drop partitions older than DULY_RETENTION_DAYS.")
    ] = False,
) -> None:
    """Migrate the database to the latest revision and create the partitions of the next days."""
    with needs("server"):
        from duly.cli.migrate import run_migration  # noqa: PLC0415

    run_migration({"database_url": database_url, "data_dir": data_dir}, drops=drop_expired)


def check(
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild derived tables from the ledger where they differ.")
    ] = False,
    accepted: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Job IDs that a client knows, one on a line, or its JSON lines; finds lost ones."
        ),
    ] = None,
    as_json: AsJson = False,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Check every job and batch against the invariants. Exits with 0 if all hold and no job is lost, else with 1."""
    with needs("server"):
        from duly.cli.check import run_check  # noqa: PLC0415

    run_check({"database_url": database_url, "data_dir": data_dir}, repairs=repair, accepted=accepted, as_json=as_json)


def doctor(*, as_json: AsJson = False, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """Diagnose the database and print a remedy for each finding. Exits with 0 without findings, else with 1."""
    with needs("server"):
        from duly.cli.doctor import run_doctor  # noqa: PLC0415

    run_doctor({"database_url": database_url, "data_dir": data_dir}, as_json=as_json)


def secrets() -> typer.Typer:
    """Returns the group of commands `duly secrets`."""
    commands = typer.Typer(
        help="Manage the keys that encrypt secrets in the database.", no_args_is_help=True, rich_markup_mode=None
    )
    commands.command("new-key")(new_key)
    commands.command("reseal")(reseal)
    return commands


def new_key(
    *, id_: Annotated[str | None, typer.Option("--id", metavar="ID", help="Key ID (default: random).")] = None
) -> None:
    """Print a new key in the form of DULY_SECRET_KEYS. The key is not stored."""
    from duly.cli.errors import USAGE, stop  # noqa: PLC0415
    from duly.domain import sealing  # noqa: PLC0415

    try:
        print(sealing.new_key(id_))
    except sealing.InvalidKeys as error:
        stop(f"--id: {error}", code=USAGE)


def reseal(*, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """Encrypt all secrets with the first key and count those that remain. Exits with 1 if a key is missing."""
    with needs("server"):
        from duly.cli.secrets import run_reseal  # noqa: PLC0415

    run_reseal({"database_url": database_url, "data_dir": data_dir})
