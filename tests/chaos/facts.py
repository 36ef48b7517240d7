"""Facts of a chaos run, as seen from outside: responses, lines that handlers wrote to a file, webhooks, streams."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

# Events of a job that the endpoint for all jobs is sent, and the names of their webhooks.
ENDPOINT_EVENTS = {
    "JobStarted": "job.started",
    "JobRetryScheduled": "job.retrying",
    "JobCompleted": "job.completed",
    "JobFailed": "job.failed",
    "JobCancelled": "job.cancelled",
}
SCHEDULE_SECONDS = 3

TERMINAL = {"JobCompleted": "completed", "JobFailed": "failed", "JobCancelled": "cancelled"}


class Accepted(NamedTuple):
    """Submission that was answered with 202, with its options."""

    job_id: str
    idempotency_key: str
    callback: bool = False
    concurrency_key: str | None = None


class Ran(NamedTuple):
    """Line that a handler wrote outside of the database: `word` is "begin" or the name of a step.

    `nonce` is another one for each call of a handler, and part of its result. `at` is Unix time.
    """

    job_id: str
    word: str
    nonce: str
    at: float


class Told(NamedTuple):
    """Webhook as it was received, by the callback of its job or by the endpoint that is registered for all jobs."""

    webhook_id: str
    job_id: str
    event: str
    sequence: int
    body: str
    verified: bool
    to_endpoint: bool = False


class Streamed(NamedTuple):
    """Frame of a stream. `reader` names the subscription, which may have continued on several nodes."""

    reader: str
    job_id: str
    sequence: int
    event: str


class Glimpse(NamedTuple):
    """State of a job, as one long poll after another showed it."""

    job_id: str
    sequence: int
    status: str


@dataclass(frozen=True)
class Record:
    """Job and its events, as the API shows them after the run."""

    view: Mapping[str, Any]
    events: list[Mapping[str, Any]]

    @property
    def ends(self) -> list[Mapping[str, Any]]:
        return [event for event in self.events if event["eventType"] in TERMINAL]


@dataclass
class Facts:
    """Facts that the checker may use.

    Attributes:
        refused: responses to submissions other than 202.
        records: job and events of each accepted job and of each other job that the list shows, by ID.
        whole_streams: readers that began before the first job, so that they must have seen every end.
        scheduled: runs of the schedule, newest first.
        checked: output of `duly check`; empty if it found nothing.
    """

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    streamed: list[Streamed] = field(default_factory=list)
    records: dict[str, Record] = field(default_factory=dict)
    whole_streams: set[str] = field(default_factory=set)
    batches: list[Mapping[str, Any]] = field(default_factory=list)
    glimpses: list[Glimpse] = field(default_factory=list)
    scheduled: list[Mapping[str, Any]] = field(default_factory=list)
    checked: str = ""


def lines_of(path: Path, *, boot: float) -> list[Ran]:
    """Returns the lines that handlers wrote; a kill may have cut one. Their times count from `boot`, in Unix time:
    services may have a wrong clock.
    """
    if not path.exists():
        return []
    found = (Ran(*json.loads(line)) for line in path.read_text().splitlines() if line.endswith("]"))
    return [ran._replace(at=ran.at + boot) for ran in found]


def moment(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["occurredAt"])


class Moment(NamedTuple):
    """Time of a fault of which a recovery is measured: a kill, another loss of leases, or the database accepting."""

    what: str
    at: datetime


KILLED, LOST, ACCEPTING = "killed", "lost", "accepting"


def lease_recoveries(records: Iterable[Record], moments: Iterable[Moment], *, within: float) -> list[float]:
    """Returns the seconds from SIGKILL of a service to the next start of each job that it ran.

    Counts leases whose only cause can be a kill: no other loss came within these seconds before their end.
    """
    losses = sorted((moment for moment in moments if moment.what != ACCEPTING), key=lambda moment: moment.at)
    found = []
    for before, after in _restarts(records, "JobLeaseExpired"):
        causes = [loss for loss in losses if 0 <= (before - loss.at).total_seconds() <= within]
        if causes and all(cause.what == KILLED for cause in causes):
            found.append((after - causes[0].at).total_seconds())
    return sorted(found)


def drain_recoveries(records: Iterable[Record]) -> list[float]:
    """Returns the seconds from the release of each attempt to the next start of its job."""
    return sorted((after - before).total_seconds() for before, after in _restarts(records, "JobRequeued"))


def database_recoveries(records: Iterable[Record], moments: Iterable[Moment]) -> list[float]:
    """Returns the seconds from each start of the database to the next claim."""
    starts = sorted(
        moment(event) for record in records for event in record.events if event["eventType"] == "JobStarted"
    )
    accepting = [each.at for each in moments if each.what == ACCEPTING]
    nexts = ((at, next((start for start in starts if start >= at), None)) for at in accepting)
    return sorted((start - at).total_seconds() for at, start in nexts if start is not None)


def _restarts(records: Iterable[Record], event_type: str) -> Iterator[tuple[datetime, datetime]]:
    """Yields the times of each event of the type, and of the start that follows. Leases over HTTP do not count."""
    for record in records:
        for before, after in pairwise(record.events):
            started = before["eventType"] == event_type and after["eventType"] == "JobStarted"
            if started and record.view["type"] != "chaos-leased":
                yield moment(before), moment(after)
