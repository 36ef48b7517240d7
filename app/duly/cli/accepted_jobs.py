"""Jobs that a client knows, one on a line: what `duly check --accepted` reads and prints."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from duly.cli.errors import CommandLineError
from duly.domain.counted_noun import counted_noun
from duly.domain.ids import parse_job_id
from duly.lifecycle.maintenance.accepted_jobs import AcceptedReport


def read_accepted_file(path: str) -> dict[UUID, int]:
    """Returns each job of a file (`-`: standard input) with the highest sequence that a line names.

    Raises:
        CommandLineError: it cannot be read, or a line is malformed.
    """
    seen: dict[UUID, int] = {}
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if text := line.strip():
                job_id, sequence = _job(text, f"--accepted: line {number} of {path}")
                seen[job_id] = max(sequence, seen.get(job_id, 0))
    return seen


@contextmanager
def _lines(path: str) -> Iterator[Iterable[str]]:
    if path == "-":
        yield sys.stdin
        return
    try:
        with Path(path).open(encoding="utf-8") as file:
            yield file
    except (OSError, UnicodeDecodeError) as error:
        raise CommandLineError(f"--accepted: {path} cannot be read: {error}") from None


def _job(text: str, where: str) -> tuple[UUID, int]:
    """Returns the job and the sequence of a line: a job ID, or a JSON object such as a response or an event."""
    body: Any = {"jobId": text}
    if text.startswith("{"):
        try:
            body = json.loads(text)
        except ValueError:
            raise CommandLineError(f"{where} is not valid JSON") from None
    job_id, sequence = body.get("jobId"), body.get("sequence", 0)
    parsed = parse_job_id(job_id) if isinstance(job_id, str) else None
    if parsed is None:
        raise CommandLineError(f'{where} must be a job ID, or a JSON object with "jobId"')
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 0:
        raise CommandLineError(f'{where} has a "sequence" that is not a number from 0')
    return parsed, sequence


def print_missing(report: AcceptedReport) -> None:
    """Prints each job that was lost or rolled back."""
    for job_id in report.lost:
        print(f"job {job_id}: accepted, but not recorded")
    for job_id, (seen, recorded) in report.rolled_back.items():
        print(f"job {job_id}: event {seen} was seen, but the last one recorded is {recorded}")


def accepted_summary(report: AcceptedReport) -> str:
    """Returns the counts in one line."""
    counts = f"{len(report.lost):,} lost, {len(report.rolled_back):,} rolled back"
    expired = f", {report.expired:,} past retention" if report.expired else ""
    jobs = counted_noun(report.jobs, "accepted job")
    return f"{jobs}: {'all recorded' if report.complete and not expired else counts}{expired}"


def accepted_as_json(report: AcceptedReport) -> dict[str, Any]:
    """Returns the report for programs."""
    return {
        "jobs": report.jobs,
        "expired": report.expired,
        "lost": [str(job_id) for job_id in report.lost],
        "rolledBack": [
            {"jobId": str(job_id), "seen": seen, "recorded": recorded}
            for job_id, (seen, recorded) in report.rolled_back.items()
        ],
    }
