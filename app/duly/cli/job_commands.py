"""Commands that call a running service: submit, watch, status and cancel."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast

import typer

from duly.cli.client_arguments import AsJson, JobId, Output, Url, connect, read_labels, read_parameters, wants_json
from duly.cli.errors import one_line_errors, stop
from duly.cli.output import compact, error_words, job_fields, print_fields, print_json, status_words
from duly.cli.watch import show, show_json, text_console
from duly.client import DEFAULT_URL, Client, SubmitOptions

JobType = Annotated[str, typer.Argument(metavar="TYPE", help="Job type, e.g. report-generation.", show_default=False)]
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
Queue = Annotated[str | None, typer.Option(help="Queue (default: default).")]
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
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job ends.")]


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
                _wait(client, job["jobId"], as_json=as_json)


def watch(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Follow a job until it ends. Exits with 0 if it completed, else with 1."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            if as_json:
                show_json(client.stream(job_id))
                _exit_with(client.job(job_id))
            else:
                _watch(client, job_id)


def status(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show the current state of a job."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.job(job_id)
        if as_json:
            print_json(job, indent=2)
        else:
            print_fields(job_fields(job))


def cancel(job_id: JobId, *, output: Output = "text", as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Cancel a job. A waiting job ends at once; a running one is asked to stop."""
    with one_line_errors():
        as_json = wants_json(output, as_json=as_json)
        with connect(url) as client:
            job = client.cancel(job_id)
        if as_json:
            print_json(job, indent=2)
        else:
            running = job.get("status") != "cancelled"
            print_fields({"job": job_id, "status": "cancelling" if running else "cancelled"})


def _options(**named: Any) -> SubmitOptions:
    return cast("SubmitOptions", {name: value for name, value in named.items() if value is not None})


def _print_accepted(job: dict[str, Any], *, as_json: bool, wait: bool) -> None:
    if not as_json:
        print_fields({"job": job["jobId"], "status": job["status"], "created": job["createdAt"]})
    elif not wait:
        print_json(job, indent=2)


def _wait(client: Client, job_id: str, *, as_json: bool) -> None:
    if not as_json:
        _watch(client, job_id)
        return
    with _continues(job_id):
        job = client.wait(job_id)
    print_json(job, indent=2)
    _exit_with(job)


def _watch(client: Client, job_id: str) -> None:
    console = text_console()
    with _continues(job_id):
        show(client.stream(job_id), console=console)
    job = client.job(job_id)
    if console.is_terminal:
        print_fields({"status": status_words(job), "result": compact(job["result"])})
    _exit_with(job)


@contextmanager
def _continues(job_id: str) -> Iterator[None]:
    """Prints, on Ctrl-C, how to follow the job again."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"duly: job {job_id} continues; follow it with: duly watch {job_id}", file=sys.stderr)
        raise


def _exit_with(job: dict[str, Any]) -> None:
    if job["status"] != "completed":
        why = error_words(job.get("error"))
        stop(f"job {job['jobId']} {job['status']}" + (f": {why}" if why else ""))
