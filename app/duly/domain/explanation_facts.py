"""Facts from which a job's state is explained, and the explanation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from duly.domain.events import Status


class Cause(StrEnum):
    """Reason why a job waits, or the way it ended."""

    ENDED = "ENDED"
    RUNNING = "RUNNING"
    SET_ASIDE = "SET_ASIDE"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    SCHEDULED = "SCHEDULED"
    RETRY = "RETRY"
    TIMER = "TIMER"
    SIGNAL = "SIGNAL"
    HELD = "HELD"
    COMPENSATING = "COMPENSATING"
    DEPENDENCIES = "DEPENDENCIES"
    CONCURRENCY_KEY = "CONCURRENCY_KEY"
    EXPIRED = "EXPIRED"
    QUEUE_PAUSED = "QUEUE_PAUSED"
    NO_WORKER = "NO_WORKER"
    CIRCUIT_OPEN = "CIRCUIT_OPEN"
    CONCURRENCY_LIMIT = "CONCURRENCY_LIMIT"
    RATE_LIMIT = "RATE_LIMIT"
    BUSY = "BUSY"
    NEXT = "NEXT"
    INBOX = "INBOX"


@dataclass(frozen=True, slots=True)
class StartLimit:
    """Limit of the job's queue or type, with its current use. `next_start_at`: earliest start that the rate allows."""

    scope: str
    name: str
    concurrency: int | None
    running: int
    rate_count: int | None = None
    rate_seconds: float | None = None
    tokens: float = 0.0
    next_start_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenBreaker:
    """Circuit breaker of the job's type that is not closed. `open`: it has not begun a probe."""

    open: bool
    code: str
    probe_at: datetime | None


@dataclass(frozen=True, slots=True)
class Parent:
    """Job that this one depends on."""

    job_id: UUID
    status: str


@dataclass(frozen=True, slots=True)
class SetAsideRecord:
    """Record of a job that the database rejects: its start, its outcome or its follow-up."""

    what: str
    reason: str
    since: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class ExplanationFacts:
    """Facts about a job; most are empty for most jobs."""

    status: Status
    type: str
    queue: str
    attempt: int
    max_attempts: int
    waiting_for: str | None
    now: datetime
    run_at: datetime | None = None
    completed_at: datetime | None = None
    error_code: str | None = None
    node: str | None = None
    lease_expires_at: datetime | None = None
    worker_name: str | None = None
    started_at: datetime | None = None
    deadline: datetime | None = None
    cancel_requested_at: datetime | None = None
    expires_at: datetime | None = None
    paused_at: datetime | None = None
    workers: int = 0
    ahead: int = 0
    ahead_is_least: bool = False
    parents: Sequence[Parent] = ()
    unmet: int = 0
    key: str | None = None
    holder: UUID | None = None
    before_in_key: int = 0
    limits: Sequence[StartLimit] = ()
    breaker: OpenBreaker | None = None
    refused: SetAsideRecord | None = None
    compensating: bool = False
    signals: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Cause, sentence, and the data in the sentence."""

    cause: Cause
    message: str
    data: dict[str, object] = field(default_factory=dict)
