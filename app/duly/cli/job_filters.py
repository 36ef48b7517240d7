"""Filters of jobs, as options of `duly list`, `duly retry` and `duly cancel`."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from duly.cli.client_arguments import read_labels
from duly.cli.completions import complete_job_types, complete_queues
from duly.cli.errors import one_line_errors
from duly.domain.events import Status

if TYPE_CHECKING:
    from duly.client import JobFilters

# By the names that the client has for them.
_OPTIONS: Mapping[str, Any] = {
    "statuses": Annotated[list[Status] | None, typer.Option("--status", help="Status; repeat for several.")],
    "types": Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Job type; repeat for several.", autocompletion=complete_job_types),
    ],
    "queues": Annotated[
        list[str] | None,
        typer.Option("--queue", metavar="QUEUE", help="Queue; repeat for several.", autocompletion=complete_queues),
    ],
    "batch_ids": Annotated[
        list[str] | None, typer.Option("--batch", metavar="BATCH", help="Batch ID; repeat for several.")
    ],
    "parent_ids": Annotated[
        list[str] | None, typer.Option("--parent", metavar="JOB", help="ID of the parent job; repeat for several.")
    ],
    "labels": Annotated[
        list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Label; with several, all must match.")
    ],
    "created_after": Annotated[
        str | None,
        typer.Option(
            "--created-after", metavar="TIME", help="Created at this time or later, such as 2026-01-27T10:00:00Z."
        ),
    ],
    "created_before": Annotated[
        str | None, typer.Option("--created-before", metavar="TIME", help="Created before this time.")
    ],
}


def takes_job_filters(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the filters as options of a command, which receives those that are given as its argument `filters`.

    Errors of the command end it with one line.
    """

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        given = {name: options.pop(name) for name in _OPTIONS}
        with one_line_errors():
            command(*arguments, filters=_read(given), **options)

    own = inspect.signature(command)
    kinds = inspect.Parameter
    parameters = [parameter for parameter in own.parameters.values() if parameter.name != "filters"]
    parameters += [kinds(name, kinds.KEYWORD_ONLY, default=None, annotation=of) for name, of in _OPTIONS.items()]
    # Typer reads both.
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _read(given: Mapping[str, Any]) -> "JobFilters":
    """Returns the filters that were given, as the client has them."""
    filters = {name: value for name, value in given.items() if value}
    if "statuses" in filters:
        filters["statuses"] = [status.value for status in filters["statuses"]]
    if "labels" in filters:
        filters["labels"] = read_labels(filters["labels"])
    return cast("JobFilters", filters)
