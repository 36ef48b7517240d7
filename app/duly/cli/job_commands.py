"""Commands on one job: submit, watch, status, why, logs, steps and signal."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from duly.cli.client_arguments import (
    AsJson,
    JobId,
    Output,
    Url,
    connect,
    read_json_value,
    read_labels,
    read_parameters,
    wants_json,
)
from duly.cli.completions import complete_job_types, complete_queues
from duly.cli.errors import one_line_errors
from duly.cli.output import job_fields, print_fields, print_json, step_line
from duly.client.default_url import DEFAULT_URL
from duly.domain.safe_str import one_line

if TYPE_CHECKING:
    from duly.client import SubmitOptions


class Level(StrEnum):
    """Levels of log lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


JobType = Annotated[
    str,
    typer.Argument(
        metavar="TYPE",
        help="Job type, e.g. report-generation.",
        show_default=False,
        autocompletion=complete_job_types,
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Parameter; repeat for several. A VALUE that is JSON is read as JSON (5, true, null, [1,2], "
        '"5" for the text 5), any other as text (2015-01-31).',
    ),
]
JsonParameters = Annotated[
    str | None,
    typer.Option("--json", metavar="JSON|@FILE|-", help="All parameters as JSON: literal, from a file or from stdin."),
]
Queue = Annotated[str | None, typer.Option(help="Queue (default: default).", autocompletion=complete_queues)]
Priority = Annotated[int | None, typer.Option(help="Priority from -100 to 100; higher runs first (default: 0).")]
Delay = Annotated[float | None, typer.Option(metavar="SECONDS", help="Delay before the first attempt.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Timeout for each attempt.")]
MaxAttempts = Annotated[int | None, typer.Option(help="Maximum number of attempts.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="Label; repeat for several.")]
CallbackUrl = Annotated[str | None, typer.Option(metavar="URL", help="URL that receives the result.")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY", help="Key that makes the submission safe to repeat: the same key returns the first job."
    ),
]
SignalName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the signal.", show_default=False)]
SignalValue = Annotated[
    str | None,
    typer.Option("--body", metavar="JSON|@FILE|-", help="Body as JSON: literal, from a file or from stdin."),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job ends.")]

# Modules that load a package of their own are imported by the command that runs, so that `--help` starts fast.


def submit(  # noqa: PLR0913 - each is an option of the command line
    job_type: JobType,
    *,
    param: Parameters = None,
    json_source: JsonParameters = None,
    queue: Queue = None,
    priority: Priority = None,
    delay: Delay = None,
    timeout: Timeout = None,
    max_attempts: MaxAttempts = None,
    label: Labels = None,
    callback_url: CallbackUrl = None,
    idempotency_key: IdempotencyKey = None,
    wait: Wait = False,
    output: Output = "text",
    url: Url = DEFAULT_URL,
) -> None:
    """Submit a job; --wait follows it to its end. The API key is read from DULY_API_KEY."""
    from duly.cli.watch import wait_for_end  # noqa: PLC0415

    with one_line_errors():
        as_json = wants_json(output, as_json=False)
        parameters = read_parameters(param or [], json_source=json_source)
        options = _options(
            queue=queue,
            priority=priority,
            delay_seconds=delay,
            timeout_seconds=timeout,
            max_attempts=max_attempts,
            callback_url=callback_url,
            labels=read_labels(label) if label else None,
        )
        with connect(url) as client:
            job = client.submit(job_type, parameters, idempotency_key=idempotency_key, **options)
            _print_accepted(job, as_json=as_json, wait=wait)
            if wait:
                wait_for_end(client, job["jobId"], as_json=as_json)


def watch(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Follow a job until it ends. Exits with 0 if it completed, else with 1."""
    from duly.cli.watch import watch_as_json, watch_to_end  # noqa: PLC0415

    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            (watch_as_json if as_json else watch_to_end)(client, job_id)


def status(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show the current state of a job."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.get(job_id)
        if as_json:
            print_json(job, indent=2)
        else:
            print_fields(job_fields(job))


def why(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Explain why a job is in its state: what it waits for, what holds it back, or how it ended."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            explained = client.why(job_id)
        if as_json:
            print_json(explained, indent=2)
        else:
            print(one_line(f"{explained['message']} ({explained['cause']})"))


def logs(
    job_id: JobId,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print further lines as they come, until the job ends.")
    ] = False,
    attempt: Annotated[int | None, typer.Option(min=1, help="Lines of this attempt only.")] = None,
    level: Annotated[Level, typer.Option(help="Lines of this level and above.")] = Level.DEBUG,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Print what the handler of a job logged, oldest first. As JSON, one line on each line."""
    from duly.cli.job_logs import print_logs  # noqa: PLC0415

    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            print_logs(client, job_id, attempt=attempt, level=level.value, follows=follow, as_json=as_json)


def signal(
    job_id: JobId,
    name: SignalName,
    *,
    body: SignalValue = None,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Send a signal to a job, which resumes if it waits for it."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        value = read_json_value(body, option="--body") if body is not None else None
        with connect(url) as client:
            sent = client.signal(job_id, name, value)
        if as_json:
            print_json(sent, indent=2)
        else:
            print_fields({"job": job_id, "signal": sent["name"], "sent": sent["sentAt"]})


def steps(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the recorded steps of a job, its timers and its signals. As JSON, one on each line."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            for step in client.steps(job_id):
                if as_json:
                    print_json(step)
                else:
                    print(step_line(step), flush=True)


def _options(**named: Any) -> "SubmitOptions":
    return cast("SubmitOptions", {name: value for name, value in named.items() if value is not None})


def _print_accepted(job: Mapping[str, Any], *, as_json: bool, wait: bool) -> None:
    if not as_json:
        print_fields({"job": job["jobId"], "status": job["status"], "created": job["createdAt"]})
    elif not wait:
        print_json(job, indent=2)
