"""Commands `duly outbox-ddl` and `duly relay`."""

import signal
from enum import StrEnum
from typing import Annotated

import typer

from duly.cli.client_arguments import Url
from duly.cli.extras import needs


class OutboxDialect(StrEnum):
    """Kinds of databases that an outbox may be in."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    SQLITE = "sqlite"


def outbox_ddl(
    dialect: Annotated[OutboxDialect, typer.Argument(help="Kind of the database.", show_default=False)],
) -> None:
    """Print the table duly_outbox, which the relay reads."""
    from duly.relay.outbox_table import DIALECTS  # noqa: PLC0415

    print(DIALECTS[dialect].ddl, end="")


def relay(
    *,
    source: Annotated[
        str,
        typer.Option(
            envvar="DULY_RELAY_SOURCE",
            metavar="URL",
            help="Database with the outbox, as an SQLAlchemy URL.",
            show_default=False,
            show_envvar=True,
        ),
    ],
    url: Url = "",
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Rows in memory at a time.")] = 100,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete submitted rows instead of ticking them off.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Exit once no row is left that can be submitted.")] = False,
) -> None:
    """Submit the rows of an outbox in another database, each once."""
    with needs("relay"):
        from duly.cli.relay import run_relay  # noqa: PLC0415

    run_relay(source, url, batch=batch, deletes=delete, once=once, signals=(signal.SIGTERM, signal.SIGINT))
