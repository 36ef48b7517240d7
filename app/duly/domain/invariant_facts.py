"""What the tables say of one job, or one batch, in one snapshot: what the promises are held against."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import NamedTuple
from uuid import UUID


class JobRecord(NamedTuple):
    """The job's own row in the ledger. The first seven are copied into each hot row."""

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


COPIED = JobRecord._fields[:7]


class History(NamedTuple):
    """Its events from 1 on, in the order of their numbers. `merged`: newer parameters are among them; `foreign`: one
    of them belongs to another tenant.
    """

    sequences: Sequence[int]
    kinds: Sequence[int]
    attempts: Sequence[int]
    merged: bool
    foreign: bool


class HotRecord(NamedTuple):
    """Its row in a hot table; one of them, where it stands in several `places`. The first seven are `COPIED`."""

    tenant_id: int
    queue: str
    type: str
    priority: int
    timeout_seconds: float
    callback_events: int
    batch_id: UUID | None
    place: str
    places: Sequence[str]
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
    """What other tables hold of it: the keys that stand for it, the ones that it waits for (`waits`), those that wait
    for it (`followers`), ends whose consequences are still to be drawn, and its webhooks. Of those to its callback the
    `due` ones, and the `settled` ones, which were delivered or given up; of those to endpoints (`addressed`) the due
    ones alone: which endpoints there were to be told is recorded nowhere.
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


class JobFacts(NamedTuple):
    """Everything that is recorded of one job; `asked` is None where the ledger does not know it."""

    job_id: UUID
    asked: JobRecord | None
    history: History
    stand: HotRecord | None
    ties: Ties


class BatchFacts(NamedTuple):
    """A batch, what its own row says (`recorded` is False where there is none), what is still to be added to that, and
    what the events of its jobs tell. Each three counts are of completed, failed and cancelled jobs.
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
    """What `duly check --repair` does about a broken promise, in the order in which it does so."""

    NONE = "the ledger itself is damaged"
    DROP_KEY = "frees a concurrency key"
    DROP_UNIQUE = "frees a unique key"
    DROP_WAITS = "forgets whom it waited for"
    DROP_ENDINGS = "forgets an end that is none"
    DROP_DELIVERIES = "drops a webhook of an event that is none"
    DROP_CHECKPOINT = "drops a checkpoint"
    HOLD_KEY = "takes its concurrency key"
    PLACE_HOLDER = "places it anew, before others that want its concurrency key"
    PLACE = "drops its rows in the hot tables, and places it as its events tell"
    HAND_OUT = "gives a free concurrency key to the job that waits for it longest"
    HOLD_UNIQUE = "takes its unique key"
    MARK = "corrects the marks of its hot row"
    FOLLOW = "has the consequences of its end drawn again"
    COUNT_DOWN = "has nobody wait for it any more"
    TELL = "writes the missing webhooks"
    RECORD_BATCH = "writes the batch down again"
    RESIZE_BATCH = "corrects which jobs the batch has"
    COUNT_BATCH = "counts the batch anew"
    CONTROL = "writes the version of what holds claims back"


class Violation(NamedTuple):
    """A promise that does not hold: of which job or batch (None: of the database), and the sentence that says so."""

    cure: RepairAction
    tenant_id: int
    subject: UUID | None
    sentence: str

    @property
    def of_batch(self) -> bool:
        return self.cure in {RepairAction.RECORD_BATCH, RepairAction.RESIZE_BATCH, RepairAction.COUNT_BATCH}
