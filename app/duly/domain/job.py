"""A job as values: what was asked, what a worker is handed, how an attempt ended, what a reader sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag
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


class Mark(IntFlag):
    """What else is to be done for a job when it starts or ends; most jobs have none. Stored bits of its hot row."""

    KEYED = 1  # it has a concurrency key
    UNIQUE = 2  # it has a unique key
    DEPENDED = 4  # others wait for its end
    MERGED = 8  # newer parameters stand in its events
    CHECKPOINT = 16  # an attempt left one
    QUEUE_LIMITED = 32  # its last start counted towards the limits of its queue
    TYPE_LIMITED = 64  # or of its type


class Debounce(NamedTuple):
    """How long a job waits for newer parameters: `seconds` after each of them, `longest_seconds` in all."""

    seconds: float
    longest_seconds: float


class Flow(NamedTuple):
    """What ties a job to others or to the clock beyond its start. Few jobs have any of it."""

    expires_in_seconds: float | None = None
    unique_key: str | None = None
    debounce: Debounce | None = None
    concurrency_key: str | None = None
    depends_on: tuple[UUID, ...] = ()
    despite_failure: bool = False
    parent_id: UUID | None = None
    digest: bytes | None = None  # of the submission, where the client made the id


class NewJob(NamedTuple):
    """A validated submission, ready to be recorded. JSON is kept as text; times of the future are either absolute
    (`run_at`) or relative to the database's clock (`delay_seconds`). The secret is sealed.
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
    batch_id: UUID | None = None
    idempotency: IdempotencyKey | None = None
    flow: Flow | None = None


class NewBatch(NamedTuple):
    """Jobs that are submitted together. `then` is the job that follows their last end, as JSON text."""

    tenant_id: int
    batch_id: UUID
    name: str | None = None
    then: str | None = None
    idempotency: IdempotencyKey | None = None


class Accepted(NamedTuple):
    """Result of a submission: the job, when it was recorded, and whether an earlier request did it: one
    with the same idempotency key, whose answer this is (`replayed`), one under the same id of the client's
    (`standing`), or one with the same unique key (`deduplicated`, with the status of that job where it was looked up).
    """

    job_id: UUID
    created_at: datetime
    replayed: bool = False
    deduplicated: bool = False
    standing: bool = False
    status: Status | None = None

    @property
    def fresh(self) -> bool:
        """Returns whether this request recorded it."""
        return not (self.replayed or self.deduplicated or self.standing)


class Lane(NamedTuple):
    """The ready jobs that are alike to a claim: one queue, one type, one priority, oldest first."""

    queue: str
    type: str
    priority: int


class ClaimedJob(NamedTuple):
    """One attempt, as handed to a worker. `token` is the fence: it rises with every claim and never falls. `delivers`:
    there are webhooks to send of this claim.
    """

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
    delivers: bool = False
    marks: int = 0
    checkpoint: str | None = None


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
    """What the ledger recorded of a `Finish`. A cancel wish that came first turns any end into a cancellation.
    `followed`: other jobs, or a batch, are still to hear of it.
    """

    job_id: UUID
    kind: EventKind
    sequence: int
    lane: Lane
    due_in_seconds: float | None
    delivers: bool
    followed: bool = False


class WaitReason(IntEnum):
    """Why a row stands in `scheduled` (the first two) or `blocked`. Stored numbers."""

    TIME = 0
    RETRY = 1
    DEPENDENCIES = 2
    CONCURRENCY = 3


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
    batch_id: UUID | None
    parent_id: UUID | None
    depends_on: Sequence[UUID]
    correlation_id: str
    created_at: datetime
    run_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status.ended
