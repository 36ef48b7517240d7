"""Commands `duly queues`: list, pause, resume and limits."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duly.cli.client_arguments import AsJson, Output, Url, connect, wants_json
from duly.cli.completions import complete_queues
from duly.cli.errors import CommandLineError, one_line_errors
from duly.cli.output import print_fields, print_json
from duly.cli.tables import print_table
from duly.client.default_url import DEFAULT_URL
from duly.domain.durations import duration_words

if TYPE_CHECKING:
    from duly.client.answers import RateLimit

QueueName = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Queue.", show_default=False, autocompletion=complete_queues)
]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Maximum number of jobs that run at once.")]
Rate = Annotated[
    str | None, typer.Option(metavar="N/SECONDS", help="Maximum number of jobs that start, such as 100/60.")
]
Remove = Annotated[bool, typer.Option("--remove", help="Remove all limits.")]
_WAITING = ("scheduled", "parked", "held", "blocked", "running")
QUEUE_HEADER = ("QUEUE", "READY", "OLDEST", *map(str.upper, _WAITING), "IN/s", "OUT/s", "STATE")


def queues() -> typer.Typer:
    """Returns the group of commands `duly queues`."""
    commands = typer.Typer(help="List, pause, resume and limit queues.", no_args_is_help=True, rich_markup_mode=None)
    commands.command("list")(list_queues)
    commands.command("pause")(pause_queue)
    commands.command("resume")(resume_queue)
    commands.command("limits")(limit_queue)
    return commands


def list_queues(*, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the queues with their depth, age and rates. As JSON, one on each line."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            if as_json:
                for queue in client.queues.list():
                    print_json(queue)
            else:
                print_table(QUEUE_HEADER, map(queue_row, client.queues.list()))


def pause_queue(queue: QueueName, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Pause a queue: no job of it starts. Jobs can still be submitted, and running ones go on."""
    with one_line_errors(), connect(url) as client:
        _print_state(client.queues.pause(queue), as_json=wants_json(output, as_json=as_json))


def resume_queue(queue: QueueName, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Resume a paused queue."""
    with one_line_errors(), connect(url) as client:
        _print_state(client.queues.resume(queue), as_json=wants_json(output, as_json=as_json))


def limit_queue(
    queue: QueueName,
    *,
    concurrency: Concurrency = None,
    rate: Rate = None,
    remove: Remove = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the limits of a queue, or replace them: a limit that is not given is removed."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        if remove and (concurrency or rate):
            raise CommandLineError("--remove excludes --concurrency and --rate")
        with connect(url) as client:
            if remove:
                client.queues.remove_limits(queue)
            elif concurrency is not None or rate is not None:
                client.queues.set_limits(queue, concurrency=concurrency, rate=_rate(rate))
            limits = client.queues.limits(queue)
        if as_json:
            print_json(limits, indent=2)
        else:
            print_fields({"queue": queue, **_limit_words(limits)})


def queue_row(queue: Mapping[str, Any]) -> tuple[object, ...]:
    """Returns the cells of a queue below `QUEUE_HEADER`."""
    age = queue["oldestAgeSeconds"]
    return (
        queue["queue"],
        queue["depth"],
        None if age is None else duration_words(age),
        *(queue.get(member) for member in _WAITING),
        *(float(queue[member]) for member in ("inPerSecond", "outPerSecond")),
        "paused" if queue["paused"] else "active",
    )


def _print_state(queue: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(queue, indent=2)
    else:
        print_fields({"queue": queue["queue"], "state": "paused" if queue["paused"] else "active"})


def _rate(text: str | None) -> "RateLimit | None":
    if text is None:
        return None
    count, _, seconds = text.partition("/")
    try:
        return {"count": int(count), "seconds": float(seconds)}
    except ValueError:
        raise CommandLineError(f"--rate must be N/SECONDS, such as 100/60, not {text!r}") from None


def _limit_words(limits: Mapping[str, Any]) -> dict[str, str]:
    concurrency, rate = limits.get("concurrency"), limits.get("rate")
    return {
        "running": f"at most {concurrency:,} at once" if concurrency is not None else "not limited",
        "starting": f"at most {rate['count']:,} in {rate['seconds']:g} s" if rate is not None else "not limited",
    }
