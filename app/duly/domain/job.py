"""Values of a job: its submission, the claim handed to a worker, the end of an attempt, the view of a reader."""

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
    """Client's idempotency key, and the digest of the submission that it came with."""

    key: str
    digest: bytes


class Mark(IntFlag):
    """Marks of a job: stored bits of its hot row for work at its start or end. Most jobs have none."""

    KEYED = 1  # it has a concurrency key
    UNIQUE = 2  # it has a unique key
    DEPENDED = 4  # other jobs wait for its end
    MERGED = 8  # its newest parameters are in its events
    CHECKPOINT = 16  # an attempt recorded one
    QUEUE_LIMITED = 32  # its last start counts against the limits of its queue
    TYPE_LIMITED = 64  # or against those of its type


class Debounce(NamedTuple):
    """Debounce of parameters: a wait of `seconds` after each replacement, `longest_seconds` in total."""

    seconds: float
    longest_seconds: float


class Flow(NamedTuple):
    """Ties of a job to other jobs, and its expiry. Few jobs have any."""

    expires_in_seconds: float | None = None
    unique_key: str | None = None
    debounce: Debounce | None = None
    concurrency_key: str | None = None
    depends_on: tuple[UUID, ...] = ()
    despite_failure: bool = False
    parent_id: UUID | None = None
    digest: bytes | None = None  # of the submission, where the client made the id


class NewJob(NamedTuple):
    """Validated submission, ready to be recorded. JSON is text; times in the future are absolute (`run_at`) or relative
    to the database's clock (`delay_seconds`). The secret is sealed.
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
    """Jobs that are submitted together. `then`: template of the job that follows their last end."""

    tenant_id: int
    batch_id: UUID
    name: str | None = None
    then: str | None = None
    idempotency: IdempotencyKey | None = None


class Accepted(NamedTuple):
    """Result of a submission: the job, the time when it was recorded, and whether an earlier request did that: with the
    same idempotency key (`replayed`), with the same client-made id (`standing`), or with the same unique key
    (`deduplicated`, with the status of that job if it was read).
    """

    job_id: UUID
    created_at: datetime
    replayed: bool = False
    deduplicated: bool = False
    standing: bool = False
    status: Status | None = None

    @property
    def fresh(self) -> bool:
        """Returns whether this request recorded the job."""
        return not (self.replayed or self.deduplicated or self.standing)


class Lane(NamedTuple):
    """Ready jobs of one queue, type and priority, ordered by age."""

    queue: str
    type: str
    priority: int


class ClaimedJob(NamedTuple):
    """Attempt, as handed to a worker. `token` is its lease token, which rises with every claim of the job; `delivers`:
    the claim has webhooks to send.
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
    """End of an attempt, ready to be recorded.

    `kind` is the event; `delay_seconds` applies to events after which the job runs again; `charged` is False where the
    attempt does not count, because its end is not the fault of the job.
    """

    job_id: UUID
    token: int
    kind: EventKind
    data: str | None = None
    delay_seconds: float = 0.0
    charged: bool = True
    crashed: bool = False


class Finished(NamedTuple):
    """Recorded end of an attempt. A cancel request that came first turns any end into a cancellation. `followed`: other
    jobs, or a batch, have follow-ups of it.
    """

    job_id: UUID
    kind: EventKind
    sequence: int
    lane: Lane
    due_in_seconds: float | None
    delivers: bool
    followed: bool = False


class WaitReason(IntEnum):
    """Reason of a row in `scheduled` (the first two) or `blocked`. Stored numbers."""

    TIME = 0
    RETRY = 1
    DEPENDENCIES = 2
    CONCURRENCY = 3


@dataclass(frozen=True, slots=True)
class JobView:
    """Job as a reader sees it, from one snapshot. JSON members are text."""

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
        """Returns whether the job has ended."""
        return self.status.ended
