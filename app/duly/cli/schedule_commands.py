"""Commands `duly schedules`: list, show, create, run, pause, resume and delete."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duly.cli.client_arguments import AsJson, Output, Url, connect, read_parameters, wants_json
from duly.cli.completions import complete_job_types, complete_queues, complete_schedules
from duly.cli.errors import one_line_errors
from duly.cli.output import compact, print_fields, print_json
from duly.cli.tables import print_table
from duly.client.default_url import DEFAULT_URL
from duly.domain.safe_str import one_line

if TYPE_CHECKING:
    from duly.client import JobRequest

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Name of the schedule.", show_default=False, autocompletion=complete_schedules),
]
_HEADER = ("SCHEDULE", "CRON", "ZONE", "TYPE", "NEXT", "LAST", "STATE")


def schedules() -> typer.Typer:
    """Returns the group of commands `duly schedules`."""
    commands = typer.Typer(help="Manage recurring jobs.", no_args_is_help=True, rich_markup_mode=None)
    commands.command("list")(list_schedules)
    commands.command("show")(show_schedule)
    commands.command("create")(create_schedule)
    commands.command("run")(run_schedule)
    commands.command("pause")(pause_schedule)
    commands.command("resume")(resume_schedule)
    commands.command("delete")(delete_schedule)
    return commands


def list_schedules(*, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the schedules by name. As JSON, one on each line."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            if as_json:
                for schedule in client.schedules.list():
                    print_json(schedule)
            else:
                print_table(_HEADER, map(_row, client.schedules.list()))


def show_schedule(
    name: Name,
    *,
    count: Annotated[int, typer.Option(min=1, max=100, help="Number of due times.")] = 10,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show a schedule and its next due times, by the clock of its time zone."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            schedule = client.schedules.get(name)
            due = client.read("schedules", name, "due-times", count=count)["items"]
        if as_json:
            print_json({**schedule, "dueTimes": due}, indent=2)
        else:
            print_fields(_fields(schedule))
            for each in due:
                print(one_line(f"{'due':<10} {each['localTime']}  ({each['dueAt']})"))


def create_schedule(  # noqa: PLR0913  # each is an option of the command line
    name: Name,
    cron: Annotated[str, typer.Argument(metavar="CRON", help='Due times, such as "0 3 * * *".', show_default=False)],
    job_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="Job type.", show_default=False, autocompletion=complete_job_types)
    ],
    *,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Parameter; repeat for several.")
    ] = None,
    json_source: Annotated[
        str | None, typer.Option("--json-param", metavar="JSON|@FILE|-", help="All parameters as JSON.")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Queue (default: default).", autocompletion=complete_queues)] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone, such as Europe/Berlin.")] = "UTC",
    paused: Annotated[bool, typer.Option("--paused", help="Create it paused.")] = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Create a schedule, or replace the one of this name."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        submission: JobRequest = {"type": job_type, "parameters": read_parameters(param or [], json_source=json_source)}
        if queue is not None:
            submission["queue"] = queue
        with connect(url) as client:
            made = client.schedules.put(name, cron, submission, timezone=timezone, paused=paused)
        _print(made, as_json=as_json)


def run_schedule(name: Name, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Submit the job of a schedule now. Its due times do not change."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.schedules.run(name)
        if as_json:
            print_json(job, indent=2)
        else:
            print_fields({"job": job["jobId"], "status": job["status"], "created": job["createdAt"]})


def pause_schedule(name: Name, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Pause a schedule: it is not due until it is resumed."""
    with one_line_errors(), connect(url) as client:
        _print(client.schedules.update(name, paused=True), as_json=wants_json(output, as_json=as_json))


def resume_schedule(name: Name, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Resume a paused schedule."""
    with one_line_errors(), connect(url) as client:
        _print(client.schedules.update(name, paused=False), as_json=wants_json(output, as_json=as_json))


def delete_schedule(name: Name, *, url: Url = DEFAULT_URL) -> None:
    """Delete a schedule. Its jobs remain."""
    with one_line_errors():
        with connect(url) as client:
            client.schedules.delete(name)
        print_fields({"schedule": name, "state": "deleted"})


def _print(schedule: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(schedule, indent=2)
    else:
        print_fields(_fields(schedule))


def _state(schedule: Mapping[str, Any]) -> str:
    if schedule["paused"]:
        return "paused"
    return f"refused: {schedule['lastError']['message']}" if schedule["lastError"] else "active"


def _row(schedule: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        *(schedule[member] for member in ("name", "cron", "timezone")),
        schedule["submission"]["type"],
        schedule["nextRunAt"],
        schedule["lastRunAt"],
        _state(schedule),
    )


def _fields(schedule: Mapping[str, Any]) -> dict[str, str]:
    last = schedule["lastJob"]
    return {
        "schedule": schedule["name"],
        "cron": f"{schedule['cron']} ({schedule['timezone']})",
        "state": _state(schedule),
        "submits": compact(schedule["submission"]),
        "overlap": schedule["overlap"],
        "catch up": schedule["catchUp"],
        "last job": f"{last['jobId']}, due {last['dueAt']}" if last else "",
        "next": schedule["nextRunAt"] or "",
    }
