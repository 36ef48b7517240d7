"""Bodies of `duly list`: a table of jobs, or the events of jobs as they come."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from duly.cli.errors import say
from duly.cli.output import error_words, frame_line, print_json, progress_words
from duly.cli.tables import fitted, print_table
from duly.client import Client, JobFilters, StreamFilters

_HEADER = ("JOB", "STATUS", "CREATED", "QUEUE", "TYPE", "ATTEMPT", "DETAILS")


def print_jobs(client: Client, filters: JobFilters, *, limit: int | None, as_json: bool) -> None:
    """Prints the jobs that match, newest first. `limit` None prints all."""
    found = client.list(**filters)
    jobs = found if limit is None else islice(found, limit)
    if as_json:
        for job in jobs:
            print_json(job)
        return
    if not print_table(_HEADER, map(_row, jobs)):
        say("no job matches")
    elif limit is not None and next(found, None) is not None:
        say("more jobs match; list them with --limit or --all")


def follow_jobs(client: Client, filters: StreamFilters, *, as_json: bool) -> None:
    """Prints the events of the jobs that match, as they come, until the command is interrupted."""
    for frame in client.stream_all(**filters):
        if as_json:
            print_json(frame)
        else:
            print(fitted(f"{frame['jobId']}  {frame_line(frame)}"), flush=True)


def job_details(job: Mapping[str, Any]) -> str:
    """Returns the progress of a running job, what a pending one waits for, or the error of one that failed."""
    match job["status"]:
        case "running":
            return progress_words(job.get("progress"), job.get("progressMessage"))
        case "pending" if job.get("waitingFor"):
            until = f" until {job['runAt']}" if job["waitingFor"] in {"time", "retry"} and job.get("runAt") else ""
            return f"waits for {job['waitingFor']}{until}"
        case "failed":
            return error_words(job.get("error"))
        case _:
            return ""


def _row(job: Mapping[str, Any]) -> tuple[object, ...]:
    attempts = f"{job['attempt']} of {job['maxAttempts']}"
    return job["jobId"], job["status"], job["createdAt"], job["queue"], job["type"], attempts, job_details(job)
