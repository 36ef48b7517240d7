"""Commands on many jobs: list, retry and cancel."""

from typing import TYPE_CHECKING, Annotated, cast

import typer

from duly.cli.client_arguments import AsJson, Output, Url, connect, wants_json
from duly.cli.completions import complete_jobs
from duly.cli.errors import CommandLineError
from duly.cli.job_filters import takes_job_filters
from duly.client.default_url import DEFAULT_URL

if TYPE_CHECKING:
    from duly.client import JobFilters, StreamFilters

JobIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Job IDs.", show_default=False, autocompletion=complete_jobs),
]
FromStep = Annotated[
    str | None,
    typer.Option("--from-step", metavar="STEP", help="Recorded step to run again, with all later ones; of one job."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Maximum number of jobs.")]
All = Annotated[bool, typer.Option("--all", help="List all jobs that match.")]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Follow the events of all jobs that match, from now on, until Ctrl-C.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for a confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Count the jobs that match and change nothing.")]

# The bodies are imported by the command that runs, so that `--help` starts fast.


@takes_job_filters
def list_jobs(
    *,
    limit: Limit = 50,
    all_: All = False,
    watch: Watch = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    filters: "JobFilters",
) -> None:
    """List jobs, newest first. As JSON, one on each line."""
    from duly.cli.job_lists import follow_jobs, print_jobs  # noqa: PLC0415

    as_json = wants_json(output, as_json=as_json)
    if watch and filters.keys() - {"types", "queues", "batch_ids", "labels"}:
        raise CommandLineError("--watch filters by --type, --queue, --batch and --label only; leave the others out")
    with connect(url) as client:
        if watch:
            follow_jobs(client, cast("StreamFilters", filters), as_json=as_json)
        else:
            print_jobs(client, filters, limit=None if all_ else limit, as_json=as_json)


@takes_job_filters
def retry(  # noqa: PLR0913  # each is an option of the command line
    job_ids: JobIds = None,
    *,
    from_step: FromStep = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    filters: "JobFilters",
) -> None:
    """Retry jobs by their IDs, or all failed jobs that match filters; cancelled ones with --status cancelled."""
    from duly.cli.bulk_actions import RETRY, act_on_jobs, act_on_matches, check_choice  # noqa: PLC0415

    as_json = wants_json(output, as_json=as_json)
    check_choice(job_ids, filters)
    if from_step is not None and len(job_ids or []) != 1:
        raise CommandLineError("--from-step needs the ID of one job")
    with connect(url) as client:
        if job_ids:
            act_on_jobs(lambda job_id: client.retry(job_id, from_step=from_step), job_ids, RETRY, as_json=as_json)
        else:
            act_on_matches(client, filters, RETRY, asks=not yes, counts=dry_run, as_json=as_json)


@takes_job_filters
def cancel(
    job_ids: JobIds = None,
    *,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = "text",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    filters: "JobFilters",
) -> None:
    """Cancel jobs by their IDs, or all that match filters. A waiting job ends at once, a running one once it stops."""
    from duly.cli.bulk_actions import CANCEL, act_on_jobs, act_on_matches, check_choice  # noqa: PLC0415

    as_json = wants_json(output, as_json=as_json)
    check_choice(job_ids, filters)
    with connect(url) as client:
        if job_ids:
            act_on_jobs(client.cancel, job_ids, CANCEL, as_json=as_json)
        else:
            act_on_matches(client, filters, CANCEL, asks=not yes, counts=dry_run, as_json=as_json)
