"""Values of a job: its submission, the claim handed to a worker, the end of an attempt, the view of a reader."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, IntFlag
from typing import NamedTuple
from uuid import UUID

from duly.domain.events import EventKind, Status
from duly.domain.steps import Wait

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
    LEASED = 128  # its attempt runs under a lease over HTTP, not on a node
    STEPS = 256  # it has recorded steps
    COMPENSABLE = 512  # a completed step has a compensation
    COMPENSATING = 1024  # its attempts compensate steps
    HOLDS = 2048  # it is held once its attempts are exhausted
    SIGNALLED = 4096  # a signal arrived during its attempt


class Debounce(NamedTuple):
    """Debounce of parameters: a wait of `seconds` after each replacement, `longest_seconds` in total."""

    seconds: float
    longest_seconds: float


class Flow(NamedTuple):
    """Ties of a job to other jobs, its expiry, and whether it is held once its attempts are exhausted. Few have any."""

    expires_in_seconds: float | None = None
    unique_key: str | None = None
    debounce: Debounce | None = None
    concurrency_key: str | None = None
    depends_on: tuple[UUID, ...] = ()
    despite_failure: bool = False
    holds: bool = False
    parent_id: UUID | None = None
    digest: bytes | None = None  # of the submission, where the client made the id


class Lane(NamedTuple):
    """Ready jobs of one tenant, queue, type and priority, ordered by age."""

    tenant_id: int
    queue: str
    type: str
    priority: int


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

    @property
    def lane(self) -> Lane:
        """Lane of the job once it is ready."""
        return Lane(self.tenant_id, self.queue, self.type, self.priority)

    def in_batch(self, batch_id: UUID, job_id: UUID) -> "NewJob":
        """Returns the job with this id, in this batch, in a fourth of the time of `_replace`."""
        return _new_job(NewJob, (self[0], job_id, *self[2:_BATCH], batch_id, *self[_BATCH + 1 :]))


_new_job: Callable[[type[NewJob], Iterable[object]], NewJob] = tuple.__new__
_BATCH = NewJob._fields.index("batch_id")


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


class LeaseFacts(NamedTuple):
    """Facts of a claimed job that only workers over HTTP are told.

    Attributes:
        told: its newest progress, if it ran before, as JSON text.
        expires_at: time at which the lease expires.
        plan_index: index of its terms in the `LeasePlan` of the claim.
    """

    started_at: datetime
    created_at: datetime
    run_at: datetime | None
    batch_id: UUID | None
    parent_id: UUID | None
    depends_on: Sequence[UUID] | None
    told: str | None
    expires_at: datetime
    plan_index: int


class ClaimedJob(NamedTuple):
    """Attempt, as handed to a worker. `token` is its lease token, which rises with every claim of the job; `delivers`:
    the claim has webhooks to send; `waited_seconds`: time since the job was ready, if that time is known.
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
    waited_seconds: float | None = None
    lease: LeaseFacts | None = None

    @property
    def lane(self) -> Lane:
        """Lane from which the job was claimed."""
        return Lane(self.tenant_id, self.queue, self.type, self.priority)


class Finish(NamedTuple):
    """End of an attempt, ready to be recorded.

    `kind` is the event; `delay_seconds` applies to events after which the job runs again; `charged` is False where the
    attempt does not count, because its end is not the fault of the job. `waits`: what a parked job waits for;
    `children`: the child jobs that it waits for, if it waits for nothing else.
    """

    job_id: UUID
    token: int
    kind: EventKind
    data: str | None = None
    delay_seconds: float = 0.0
    charged: bool = True
    crashed: bool = False
    waits: tuple[Wait, ...] = ()
    children: tuple[UUID, ...] = ()

    @property
    def parks(self) -> bool:
        """Returns whether the job waits without a slot."""
        return bool(self.waits or self.children)


class Finished(NamedTuple):
    """Recorded end of an attempt. A cancel request that came first turns any end into a cancellation. `followed`: other
    jobs, or a batch, have follow-ups of it. `ran_seconds`: time since its start; None if it was parked.
    """

    job_id: UUID
    kind: EventKind
    sequence: int
    lane: Lane
    due_in_seconds: float | None
    delivers: bool
    followed: bool = False
    ran_seconds: float | None = None


class WaitReason(IntEnum):
    """Reason of a row in `scheduled` or `blocked` (dependencies, concurrency). Stored numbers."""

    TIME = 0
    RETRY = 1
    DEPENDENCIES = 2
    CONCURRENCY = 3
    TIMER = 4
    SIGNAL = 5
    HELD = 6
    CHILDREN = 7


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
    compensating: bool = False

    @property
    def ended(self) -> bool:
        """Returns whether the job has ended."""
        return self.status.ended
