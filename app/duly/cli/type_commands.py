"""Command that writes types for the parameters and results of job types."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from duly.cli.client_arguments import Url
from duly.cli.errors import CommandLineError, one_line_errors
from duly.client.default_url import DEFAULT_URL


def types(
    *,
    lang: Annotated[str, typer.Option(metavar="py|ts", help="Language: Python or TypeScript.", show_default=False)],
    handlers: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Module with handlers to read instead of a service; repeat for several."),
    ] = None,
    job_type: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Job type; repeat for several (default: all).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write (default: standard output).")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Write types for the parameters and results of job types, from their JSON Schemas."""
    from duly.cli.types import run_types  # noqa: PLC0415

    with one_line_errors():
        if lang not in {"py", "ts"}:
            raise CommandLineError(f"--lang must be py or ts, not {lang!r}")
        language: Literal["py", "ts"] = "py" if lang == "py" else "ts"
        run_types(language, modules=handlers or [], names=job_type or [], output=output, url=url)
