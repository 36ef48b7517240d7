"""Bodies of `duly retry` and `duly cancel`: by the ids of jobs, or for all jobs that match filters."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from duly.cli.errors import FAILED, CommandLineError, refusal_words, say
from duly.cli.output import print_fields, print_json
from duly.cli.terminal_client import TerminalClient
from duly.client import ApiError, Client, JobFilters


@dataclass(frozen=True, slots=True)
class BulkAction:
    """Change of many jobs.

    Attributes:
        outcome: status of a job once it is done.
        member: member of the response that has the number of jobs.
        perform: changes the jobs that match.
    """

    verb: str
    outcome: Callable[[Mapping[str, Any]], str]
    member: str
    perform: Callable[[Client, JobFilters], Mapping[str, Any]]


RETRY = BulkAction(
    verb="retry",
    outcome=lambda job: str(job["status"]),
    member="retried",
    perform=lambda client, filters: client.retry_many(**filters),
)
CANCEL = BulkAction(
    verb="cancel",
    outcome=lambda job: "cancelled" if job.get("status") == "cancelled" else "cancelling",
    member="cancelled",
    perform=lambda client, filters: client.cancel_many(**filters),
)


def check_choice(job_ids: Sequence[str] | None, filters: JobFilters) -> None:
    """Checks that there are either ids or filters.

    Raises:
        CommandLineError: there are both, or neither.
    """
    if bool(job_ids) == bool(filters):
        raise CommandLineError("name jobs by their IDs, or by at least one filter such as --type; not by both")


def act_on_jobs(
    change: Callable[[str], Mapping[str, Any]], job_ids: Sequence[str], action: BulkAction, *, as_json: bool
) -> None:
    """Changes each job, and exits with 1 after the last one if any was refused."""
    refused = False
    for job_id in job_ids:
        try:
            job = change(job_id)
        except ApiError as error:
            say(refusal_words(error) if len(job_ids) == 1 else f"job {job_id}: {refusal_words(error)}")
            refused = True
            continue
        if as_json:
            print_json(job, indent=2 if len(job_ids) == 1 else None)
        else:
            print_fields({"job": job_id, "status": action.outcome(job)})
    if refused:
        raise typer.Exit(FAILED)


def act_on_matches(
    client: TerminalClient, filters: JobFilters, action: BulkAction, *, asks: bool, counts: bool, as_json: bool
) -> None:
    """Counts the jobs that match, asks for a confirmation, and changes them.

    Raises:
        CommandLineError: a confirmation is needed, and nobody can give it.
    """
    if asks and not counts and not sys.stdin.isatty():
        raise CommandLineError(f"add --yes to {action.verb} all jobs that match, or --dry-run to count them")
    if counts or asks:
        counted = client.count_for(action.verb, filters)
        count, complete = counted["count"], counted["complete"]
        jobs = f"{'' if complete else 'at least '}{count:,} {'job' if count == 1 and complete else 'jobs'}"
        if counts:
            _print_count(counted, words=jobs, as_json=as_json)
            return
        if not count:
            say(f"no job to {action.verb} matches")
            return
        if not typer.confirm(f"{action.verb.capitalize()} {jobs}?", err=True):
            raise typer.Exit(FAILED)
    done = action.perform(client, filters)
    if as_json:
        print_json(done, indent=2)
    else:
        print_fields({action.member: f"{done[action.member]:,}"})


def _print_count(counted: Mapping[str, Any], *, words: str, as_json: bool) -> None:
    if as_json:
        print_json(counted, indent=2)
    else:
        print_fields({"matching": words})
