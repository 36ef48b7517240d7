"""Composition of a worker: the parts that claim jobs, run attempts and record what they report."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.domain.sealing import Keyring
from duly.handlers.registry import Registry
from duly.lifecycle.claim.claim import Claimer
from duly.lifecycle.claim.job_type_breakers import JobTypeBreakers
from duly.lifecycle.cluster.heartbeat import Heartbeat
from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.run.checkpoint import CheckpointRecorder
from duly.lifecycle.run.child_jobs import ChildSubmitter
from duly.lifecycle.run.child_results import ChildResultReader
from duly.lifecycle.run.compensation import CompensationRecorder
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.run.progress import ProgressRecorder
from duly.lifecycle.run.steps import StepReader, StepRecorder
from duly.lifecycle.signals.links import SignalLinks
from duly.lifecycle.signals.send import SignalSender
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.queue_limit import QueueLimit
from duly.loop import Loops
from duly.settings import Settings
from duly.store.ledger.earlier_attempts import read_earlier_attempt
from duly.store.postgres.database import Database
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import Tracing
from duly.worker.attempt_spans import AttemptSpans, EarlierClaim
from duly.worker.child_jobs import AttemptChildren, ChildJobParts
from duly.worker.parked_attempts import ParkedAttempts
from duly.worker.pool import Pool
from duly.worker.process.pool import ProcessExecutor, in_processes
from duly.worker.recorded_deadlines import AttemptDeadlines
from duly.worker.reports import RecordedReports, ReportLimits
from duly.worker.steps import AttemptSteps, StepParts
from duly.worker.watchdog import Watchdog


@dataclass(frozen=True, slots=True)
class Shared:
    """Parts of the node that its worker uses."""

    settings: Settings
    database: Database
    registry: Registry
    job_types: KnownTypes
    job_builder: JobBuilder
    keyring: Keyring
    signals: SignalSender
    signal_links: SignalLinks
    clock: DatabaseClock
    metrics: Metrics
    tracing: Tracing
    loops: Loops
    wakeups: Wakeups
    hub: Hub
    heartbeat: Heartbeat
    queue_limit: QueueLimit
    canceller: Canceller
    finisher: Finisher
    job_logs: LogRecorder
    breakers: JobTypeBreakers
    watchdog: Watchdog
    source: str
    lease_source: str


class Worker:
    """The parts of one worker. They exist on every node; their loops run on nodes with the role."""

    def __init__(self, shared: Shared) -> None:
        settings, database, metrics, wakeups = shared.settings, shared.database, shared.metrics, shared.wakeups
        wake_claim, wake_watch_loop = shared.loops.waker("claim"), shared.loops.waker("watch")

        def wake_watch() -> None:
            wake_watch_loop()
            shared.watchdog.wake()

        self.claimer = Claimer(
            database,
            wakeups,
            metrics,
            types=shared.registry,
            guarded=shared.breakers.declared,
            in_processes=in_processes(shared.registry),
        )
        self.progress = ProgressRecorder(database, wakeups, metrics, source=shared.source)
        self.checkpoints = CheckpointRecorder(database)
        self.steps = StepRecorder(database, wakeups, source=shared.source)
        self.compensations = CompensationRecorder(database, wakeups, source=shared.source)
        self.step_reader = StepReader(database)
        self.child_submitter = ChildSubmitter(
            database, wakeups, metrics, queue_limit=shared.queue_limit, canceller=shared.canceller
        )
        self.child_results = ChildResultReader(database)
        self.parked_attempts = ParkedAttempts(limit=settings.waiting_attempts)
        self.processes = ProcessExecutor(
            settings.handlers,
            result_limit=settings.result_limit,
            json_depth=settings.json_depth,
            changed=wake_claim,
        )
        self.deadlines = AttemptDeadlines(database)
        self.spans = AttemptSpans(shared.tracing, partial(find_attempt, database))
        self.pool = Pool(
            shared.registry,
            slots=settings.worker_slots,
            claimer=self.claimer,
            finisher=shared.finisher,
            reports=self._reports(shared),
            processes=self.processes,
            parked=self.parked_attempts,
            deadlines=self.deadlines,
            spans=self.spans,
            metrics=metrics,
            result_limit=settings.result_limit,
            identity=partial(identity, shared.heartbeat, shared.source),
            wake_claim=wake_claim,
            wake_watch=wake_watch,
        )

    def _reports(self, shared: Shared) -> RecordedReports:
        """Returns the recorder of what attempts report."""
        settings = shared.settings
        return RecordedReports(
            progress=self.progress,
            logs=shared.job_logs,
            checkpoints=self.checkpoints,
            limits=ReportLimits(settings.log_lines, settings.result_limit, settings.json_depth),
            child_backend=partial(AttemptChildren, parts=self._child_job_parts(shared)),
            step_backend=partial(AttemptSteps, parts=self._step_parts(shared)),
            now=shared.clock.now,
        )

    def _step_parts(self, shared: Shared) -> StepParts:
        """Returns the parts that steps share."""
        return StepParts(
            self.steps,
            self.compensations,
            self.step_reader,
            shared.signal_links,
            shared.signals,
            source=shared.source,
            json_depth=shared.settings.json_depth,
            now=shared.clock.now,
            tracing=shared.tracing,
        )

    def _child_job_parts(self, shared: Shared) -> ChildJobParts:
        """Returns the parts that child jobs share."""
        settings = shared.settings
        return ChildJobParts(
            self.child_submitter,
            self.child_results,
            shared.job_builder,
            shared.job_types,
            shared.hub,
            self.parked_attempts,
            settings.json_depth,
            shared.tracing,
        )


async def find_attempt(database: Database, earlier: EarlierClaim) -> int | None:
    """Returns the number of the attempt of an earlier claim."""
    tenant_id, job_id, sequence, last_but_one = earlier
    async with database.background() as connection:
        return await read_earlier_attempt(
            connection, tenant_id, job_id, before_sequence=sequence, skip=int(last_but_one)
        )


def identity(heartbeat: Heartbeat, source: str) -> tuple[UUID, str]:
    """Returns the id of the node, which changes when it registers again, and the source of its events."""
    return heartbeat.node_id, source
