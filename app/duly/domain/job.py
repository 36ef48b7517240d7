"""A job as values: what was asked, what a worker is handed, how an attempt ended, what a reader sees."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind, Status

DEFAULT_TENANT = 1  # named "default" in the API; further tenants come with their keys
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key, and the digest of the submission it came with."""

    key: str
    digest: bytes


class NewJob(NamedTuple):
    """A validated submission, ready to be recorded. JSON is kept as text; times of the future are either absolute
    (`run_at`) or relative to the database's clock (`delay_seconds`).
    """

    tenant_id: int
    job_id: UUID
    type: str
    queue: str
    priority: int
    parameters: str
    timeout_seconds: float
    max_attempts: int
    run_at: datetime | None = None
    delay_seconds: float | None = None
    labels: str | None = None
    callback_url: str | None = None
    callback_secret: str | None = None
    callback_events: int = 0
    correlation_id: str | None = None
    traceparent: str | None = None
    idempotency: IdempotencyKey | None = None


class Accepted(NamedTuple):
    """What the ledger says of a submission: the job, when it was recorded, and whether an earlier request did it."""

    job_id: UUID
    created_at: datetime
    replayed: bool = False


class Lane(NamedTuple):
    """The ready jobs that are alike to a claim: one queue, one type, one priority, oldest first."""

    queue: str
    type: str
    priority: int


class ClaimedJob(NamedTuple):
    """One attempt, as handed to a worker. `token` is the fence: it rises with every claim and never falls."""

    tenant_id: int
    job_id: UUID
    token: int
    attempt: int
    sequence: int
    crashes: int
    type: str
    queue: str
    priority: int
    timeout_seconds: float
    max_attempts: int
    parameters: str
    labels: str | None
    correlation_id: str | None
    traceparent: str | None
    callback_events: int


class Finish(NamedTuple):
    """How an attempt ended, decided and ready to be recorded.

    `kind` is the event to write; `delay_seconds` counts only for those after which the job runs again;
    `charged` is False where the attempt is not the job's fault and its number is given back.
    """

    job_id: UUID
    token: int
    kind: EventKind
    data: str | None = None
    delay_seconds: float = 0.0
    charged: bool = True
    crashed: bool = False


class Finished(NamedTuple):
    """What the ledger recorded of a `Finish`. A cancel wish that came first turns any end into a cancellation."""

    job_id: UUID
    kind: EventKind
    sequence: int
    lane: Lane
    due_in_seconds: float | None
    delivers: bool


class WaitsFor(IntEnum):
    """Why a row stands in `scheduled`. Stored numbers."""

    TIME = 0
    RETRY = 1


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything a reader of one job sees, in one snapshot. JSON members are text."""

    job_id: UUID
    type: str
    queue: str
    priority: int
    status: Status
    sequence: int
    waiting_for: str | None
    progress: float | None
    progress_message: str | None
    attempt: int
    max_attempts: int
    parameters: str
    result: str | None
    error: str | None
    labels: str | None
    correlation_id: str
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status not in {Status.PENDING, Status.RUNNING}
