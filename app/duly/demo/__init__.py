"""Demo: a job type over real data, and the command that shows the life of a job."""

from pathlib import Path
from typing import Annotated

import typer

from duly.cli.extras import needs

Output = Annotated[
    Path,
    typer.Option(envvar="DULY_DEMO_OUTPUT", metavar="FOLDER", help="Folder for the report.", resolve_path=True),
]


def demo(*, output: Output = Path("demo-output")) -> None:
    """Run a real job end to end: submit, run, stream and a signed webhook."""
    with needs("demo"):
        from duly.demo.command import run  # noqa: PLC0415 - the service imports this package as well, without running the demo

    run(output=output)
