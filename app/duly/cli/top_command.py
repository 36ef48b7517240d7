"""Command `duly top`."""

from typing import Annotated

import typer

from duly.cli.client_arguments import AsJson, Output, Url, connect, wants_json
from duly.cli.errors import one_line_errors
from duly.client.default_url import DEFAULT_URL


def top(
    *,
    interval: Annotated[
        float, typer.Option("--interval", "-n", metavar="SECONDS", min=0.1, help="Time between two frames.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one frame and exit.")] = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show queues, nodes and running jobs, live. Ends with q or Ctrl-C. As JSON, one frame on each line."""
    from duly.cli.top import run_top  # noqa: PLC0415  # imports rich

    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            run_top(client, interval=interval, once=once, as_json=as_json)
