"""Facts about one job or one batch from one snapshot of the tables, which are compared with the invariants."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID


class JobRecord(NamedTuple):
    """The job's row in the table `jobs`. The first seven members are copied into each hot row."""

    tenant_id: int
    queue: str
    type: str
    priority: int
    timeout_seconds: float
    callback_events: int
    batch_id: UUID | None
    expires_at: datetime | None
    run_at: datetime | None
    unique_key: str | None
    concurrency_key: str | None
    depends_on: Sequence[UUID] | None
    despite_failure: bool | None
    holds: bool | None


COPIED = JobRecord._fields[:7]


class History(NamedTuple):
    """Events of the job from 1 on, in the order of their sequences. `merged`: newer parameters are among them;
    `foreign`: an event belongs to another tenant.
    """

    sequences: Sequence[int]
    kinds: Sequence[int]
    attempts: Sequence[int]
    merged: bool
    foreign: bool


class HotRecord(NamedTuple):
    """The job's row in a hot table; one of them if it has rows in several `tables`. The first seven members are
    `COPIED`.
    """

    tenant_id: int
    queue: str
    type: str
    priority: int
    timeout_seconds: float
    callback_events: int
    batch_id: UUID | None
    table: str
    tables: Sequence[str]
    token: int
    sequence: int
    attempt: int
    crashes: int
    marks: int
    expires_at: datetime | None
    reason: int | None
    waits_for: int | None
    cancel_requested: bool
    concurrency_key: str | None
    key_held: bool | None


class Ties(NamedTuple):
    """Rows of other tables that refer to the job: its keys, the jobs that it waits for (`waits`), those that wait for
    it (`followers`), ends with pending follow-ups, and its webhooks: deliveries to its callback that are `due` or
    `settled` (delivered or abandoned), and due deliveries to endpoints (`addressed`). Which endpoints existed at an
    event is not recorded. `lease`: the token of its lease over HTTP. `steps`, `compensable`: it has recorded steps, and
    one that can be compensated.
    """

    foreign: bool
    unique: tuple[str, str] | None
    concurrency_key: str | None
    checkpoint: bool
    waits: int
    followers: int
    ending_marks: int
    endings: frozenset[tuple[int, int]]
    due: frozenset[tuple[int, int]]
    settled: frozenset[int]
    addressed: frozenset[tuple[int, int]] = frozenset()
    lease: int | None = None
    steps: bool = False
    compensable: bool = False


class JobFacts(NamedTuple):
    """Recorded facts about one job; `record` is None for a job that the table `jobs` does not have."""

    job_id: UUID
    record: JobRecord | None
    history: History
    hot_row: HotRecord | None
    ties: Ties


class BatchFacts(NamedTuple):
    """Batch: its own row (`recorded` is False if there is none), tallies not yet added to it, and the states of its
    jobs by their events. Each three counts are of completed, failed and cancelled jobs.
    """

    tenant_id: int
    batch_id: UUID
    recorded: bool
    first_id: UUID
    last_id: UUID
    total: int
    counted: Sequence[int]
    tallies: int
    tallied: Sequence[int]
    completed_at: datetime | None
    then_due: bool
    jobs: int
    ended: Sequence[int]
    oldest: UUID | None
    newest: UUID | None


class RepairAction(Enum):
    """Action of `duly check --repair` for a violation, in the order of execution."""

    NONE = "not repairable: the ledger itself is damaged"
    DROP_KEY = "released a concurrency key"
    DROP_UNIQUE = "released a unique key"
    DROP_WAITS = "deleted dependencies"
    DROP_ENDINGS = "deleted pending follow-ups"
    DROP_DELIVERIES = "deleted deliveries"
    DROP_CHECKPOINT = "deleted a checkpoint"
    DROP_LEASE = "deleted a lease"
    RECORD_STEPS = "rebuilt the steps and signals of a job"
    HOLD_KEY = "acquired a concurrency key"
    PLACE_HOLDER = "rewrote the hot row of a holder of a concurrency key"
    PLACE = "rewrote the hot row as its events require"
    HAND_OUT = "granted a free concurrency key to the job that waits longest"
    HOLD_UNIQUE = "acquired a unique key"
    MARK = "corrected the marks of a hot row"
    FOLLOW = "repeated the follow-ups of an end"
    COUNT_DOWN = "released the dependents of a job that was not recorded"
    WRITE_WEBHOOKS = "wrote missing deliveries"
    RECORD_BATCH = "recorded a batch again"
    RESIZE_BATCH = "corrected the range of jobs of a batch"
    COUNT_BATCH = "recounted a batch"
    DROP_SUBMISSION = "deleted a recorded submission from the inbox"
    CONTROL = "restored the version of claim restrictions"


class Violation(NamedTuple):
    """Violation of an invariant: the job or batch (None: the database), and a sentence that describes it."""

    repair_action: RepairAction
    tenant_id: int
    subject: UUID | None
    sentence: str

    @property
    def of_batch(self) -> bool:
        """Returns whether the subject is a batch."""
        return self.repair_action in {RepairAction.RECORD_BATCH, RepairAction.RESIZE_BATCH, RepairAction.COUNT_BATCH}
