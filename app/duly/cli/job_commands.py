"""The commands that speak to a running service: submit, watch, status, cancel."""

from typing import Annotated, Any, cast

import typer

from duly.cli.arguments import AsJson, JobId, Output, Url, connect, read_labels, read_parameters, wants_json
from duly.cli.errors import one_line_errors, stop
from duly.cli.output import compact, error_words, job_fields, print_fields, print_json, status_words
from duly.cli.watch import show, show_json, text_console
from duly.client import DEFAULT_URL, Client, SubmitOptions

JobType = Annotated[str, typer.Argument(metavar="TYPE", help="The job type, as report-generation.", show_default=False)]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A parameter; repeatable. VALUE is read as JSON where it is JSON (5, true, null, [1,2], "
        '"5" for the text 5), else as text (2015-01-31).',
    ),
]
JsonParameters = Annotated[
    str | None,
    typer.Option("--json", metavar="JSON|@FILE|-", help="All parameters as JSON: as text, from a file, from stdin."),
]
Queue = Annotated[str | None, typer.Option(help="The queue.")]
Priority = Annotated[int | None, typer.Option(help="-100 to 100; higher runs first.")]
Delay = Annotated[float | None, typer.Option(metavar="SECONDS", help="Start no sooner than in so many seconds.")]
Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="Bound of one attempt.")]
MaxAttempts = Annotated[int | None, typer.Option(help="How often it is tried at most.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="NAME=VALUE", help="A label; repeatable.")]
CallbackUrl = Annotated[str | None, typer.Option(metavar="URL", help="Where to post the outcome.")]
IdempotencyKey = Annotated[
    str | None, typer.Option(metavar="KEY", help="The same key and job again give the first job, not a second one.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until the job has ended.")]


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
    """Hand over a job, and with --wait see it through. A service that wants a key finds it in DULY_API_KEY."""
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
                _see_through(client, job["jobId"], as_json=as_json)


def watch(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a job's progress until it has ended. Exit code 0 where it completed, else 1."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            if as_json:
                show_json(client.stream(job_id))
                _end_as(client.job(job_id))
            else:
                _watch(client, job_id)


def status(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a job as it is now."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.job(job_id)
        if as_json:
            print_json(job, indent=2)
        else:
            print_fields(job_fields(job))


def cancel(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Cancel a job: at once while it waits; a running one is told, and ends a little later."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.cancel(job_id)
        if as_json:
            print_json(job, indent=2)
        else:
            running = job.get("status") != "cancelled"
            print_fields({"job": job_id, "status": "running, told to stop" if running else "cancelled"})


def _options(**named: Any) -> SubmitOptions:
    return cast("SubmitOptions", {name: value for name, value in named.items() if value is not None})


def _print_accepted(job: dict[str, Any], *, as_json: bool, wait: bool) -> None:
    if not as_json:
        print_fields({"job": job["jobId"], "status": job["status"], "created": job["createdAt"]})
    elif not wait:
        print_json(job, indent=2)


def _see_through(client: Client, job_id: str, *, as_json: bool) -> None:
    if not as_json:
        _watch(client, job_id)
        return
    job = client.wait(job_id)
    print_json(job, indent=2)
    _end_as(job)


def _watch(client: Client, job_id: str) -> None:
    console = text_console()
    show(client.stream(job_id), console=console)
    job = client.job(job_id)
    if console.is_terminal:
        print_fields({"status": status_words(job), "result": compact(job["result"])})
    _end_as(job)


def _end_as(job: dict[str, Any]) -> None:
    if job["status"] != "completed":
        why = error_words(job.get("error"))
        stop(f"job {job['jobId']} {job['status']}" + (f": {why}" if why else ""))
