"""Commands `duly holds`, with their flags. They work on the database directly."""

from datetime import datetime
from typing import Annotated

import typer

from duly.cli.client_arguments import AsJson
from duly.cli.operator_commands import DatabaseUrl, DataDir

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the hold.", show_default=False)]
DAY = ["%Y-%m-%d"]

# The bodies are imported by the command that runs, so that `--help` and the other commands start fast.


def holds() -> typer.Typer:
    """Returns the group of commands `duly holds`."""
    commands = typer.Typer(
        help="Keep days of jobs beyond the retention, in the database directly.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    commands.command("create")(create_hold)
    commands.command("list")(list_holds)
    commands.command("release")(release_hold)
    return commands


def create_hold(  # noqa: PLR0913  # each is a flag
    name: Name,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Reason, as listed.", show_default=False)],
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Only days with jobs of this tenant.")
    ] = None,
    job: Annotated[str | None, typer.Option("--job", metavar="ID", help="The day of this job.")] = None,
    first: Annotated[
        datetime | None, typer.Option("--from", metavar="DATE", formats=DAY, help="First day, in UTC (default: any).")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", metavar="DATE", formats=DAY, help="Last day, in UTC (default: any).")
    ] = None,
    database_url: DatabaseUrl = None,
    data_dir: DataDir = None,
) -> None:
    """Keep days of jobs, with all their history, until the hold is released."""
    from duly.cli.holds import run_create  # noqa: PLC0415
    from duly.store.ledger.retention_holds import Hold  # noqa: PLC0415

    days = (first.date() if first else None, last.date() if last else None)
    flags = {"database_url": database_url, "data_dir": data_dir}
    run_create(flags, Hold(name, reason, None, *days), tenant=tenant, job=job)


def list_holds(*, as_json: AsJson = False, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """List the holds, with their reasons."""
    from duly.cli.holds import run_list  # noqa: PLC0415

    run_list({"database_url": database_url, "data_dir": data_dir}, as_json=as_json)


def release_hold(name: Name, *, database_url: DatabaseUrl = None, data_dir: DataDir = None) -> None:
    """Release a hold. Days past the retention are dropped within an hour."""
    from duly.cli.holds import run_release  # noqa: PLC0415

    run_release({"database_url": database_url, "data_dir": data_dir}, name)
