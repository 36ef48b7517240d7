"""The demo: a real job type over real data, and the command that shows its whole life."""

from pathlib import Path
from typing import Annotated

import typer

Output = Annotated[
    Path,
    typer.Option(envvar="DULY_DEMO_OUTPUT", metavar="FOLDER", help="Where the report goes.", resolve_path=True),
]


def demo(*, output: Output = Path("demo-output")) -> None:
    """Run a real job end to end: accepted, run, streamed, and reported by a signed webhook."""
    from duly.demo.command import run  # noqa: PLC0415 - the service imports this package too, and runs no demo

    run(output=output)
