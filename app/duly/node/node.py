"""One process of the service: its parts, how they start, drain and stop."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from duly import __version__
from duly.domain.cell_share import CellShare
from duly.domain.cells import ONLY, CellNumber
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import DEFAULT_TENANT, Finish, Finished
from duly.domain.node_role import Role
from duly.domain.outcome import Interrupted
from duly.domain.sealing import Keyring
from duly.gauges import GaugeReader
from duly.handlers.registry import Registry
from duly.lifecycle.access.key_rates import KeyRates
from duly.lifecycle.access.key_verifier import KeyVerifier
from duly.lifecycle.claim.job_type_breakers import JobTypeBreakers
from duly.lifecycle.claim.set_flow_control import FlowController
from duly.lifecycle.cluster.clock_watch import ClockWatch
from duly.lifecycle.cluster.epochs import EpochWatch
from duly.lifecycle.cluster.heartbeat import Heartbeat
from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.cluster.lookout import Lookout
from duly.lifecycle.cluster.notify_exchange import NotifyExchange
from duly.lifecycle.cluster.readiness import Readiness
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.bulk_actions import BulkActions
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.end.follow_ups import FollowUps
from duly.lifecycle.figures.recorder import FigureRecorder
from duly.lifecycle.figures.scaling import ScalingReader
from duly.lifecycle.inbox.inbox_mover import InboxMover
from duly.lifecycle.inbox.inbox_reader import InboxReader
from duly.lifecycle.maintenance.redeliver import Replayer
from duly.lifecycle.maintenance.sweep import Sweeper
from duly.lifecycle.read.job_reader import JobReader
from duly.lifecycle.read.run_times import RunTimeReader
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.schedules.scheduler import Scheduler
from duly.lifecycle.signals.links import SignalLinks
from duly.lifecycle.signals.send import SignalSender
from duly.lifecycle.submit.eager_start import NoStarter, Starter
from duly.lifecycle.submit.queue_limit import QueueLimit
from duly.lifecycle.submit.submission_limiter import SubmissionLimiters, configured_limits
from duly.lifecycle.submit.submit import Submitter
from duly.lifecycle.submit.submit_large_batch import SpooledSubmitter
from duly.loop import Loops
from duly.node import shutdown
from duly.node.dispatcher_parts import build_dispatcher
from duly.node.job_type_parts import JobTypeParts
from duly.node.lease_parts import Leases
from duly.node.loop_table import loops_of
from duly.node.process_parts import ProcessParts, process_name
from duly.node.wakeup_links import connect_wakeups
from duly.node.worker_parts import Shared, Worker
from duly.settings import Settings
from duly.store.postgres.database import Database, DatabaseError
from duly.store.postgres.driver_ids import driver_id
from duly.store.queue.nodes import NodeRecord, NodeReport
from duly.stream.ledger_tails import LedgerTails
from duly.telemetry.metrics import Metrics
from duly.webhooks.endpoints import Endpoints


class Node:
    """Composes the parts that the roles of this process need. Opens nothing before `start`. With several cells, a
    process has one for each.

    Each part gets what it depends on when it is constructed. Two links are made late, because they lead back up: the
    local wake-ups (`duly.node.wakeup_links`), whose receivers are built after their senders, and `database.note`, since
    the database is opened before the node.

    Args:
        settings: the settings of the process.
        database: the database of this node.
        registry: the handlers.
        webhook_secret: signs webhooks of jobs without a secret.
        keyring: encrypts secrets.
        clock: the clock and source of ids (default: one of this cell).
        cell: the cell of the database.
        parts: those of the process, closed by the caller (default: those of this node alone).
    """

    def __init__(  # noqa: PLR0913  # the parts that it composes
        self,
        settings: Settings,
        database: Database,
        registry: Registry,
        *,
        webhook_secret: str,
        keyring: Keyring,
        clock: DatabaseClock | None = None,
        cell: CellNumber = ONLY,
        parts: ProcessParts | None = None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.registry = registry
        self.keyring = keyring
        self.cell = cell
        self.clock = clock or DatabaseClock(id_of_bytes=driver_id, cell=cell)
        self.name = process_name()
        self.draining = False
        self.metrics = (
            Metrics(self.clock) if parts is None else Metrics(self.clock, cell=cell.number, series=parts.series)
        )
        self.metrics.build_info.labels(__version__).set(1)
        self._own_parts = parts is None
        self.parts = parts or ProcessParts(settings, registry, self.metrics.series)
        self.parts.watch(lambda: self.worker.pool.any_runs)
        self.tracing, self.access = self.parts.tracing, self.parts.access
        self.outbound, self.watchdog = self.parts.outbound, self.parts.watchdog
        self.loops = Loops()
        self.wake_claim = self.loops.waker("claim")
        own_key = settings.api_key.get_secret_value() if settings.api_key else None
        self.key_verifier = KeyVerifier(database, own_key=own_key, clock=self.clock)
        self.cell_share = CellShare(cell.count)
        self.key_rates = KeyRates(database, self.cell_share)
        self._build_cluster()
        self.job_type_parts = JobTypeParts(
            settings, database, registry, self.wakeups, keyring=keyring, clock=self.clock, node=self.name
        )
        self.job_types, self.job_builder = self.job_type_parts.known, self.job_type_parts.builder
        self._build_attempts()
        self._build_submission()
        self._build_verbs()
        self._build_webhooks(webhook_secret)
        self.epochs = EpochWatch(database, server_changed=self.worker.pool.response_lost)
        self.gauges = GaugeReader(database, self.metrics, self.loops, exported=self.tracing.exports)
        self.figures = FigureRecorder(
            database,
            self.metrics.minutes,
            clock=self.clock,
            node_id=lambda: self.node_id,
            samples=Role.SWEEPER in settings.roles,
        )
        for loop in loops_of(self):
            self.loops.add(loop)
        connect_wakeups(self)
        database.note = self._note

    def _build_cluster(self) -> None:
        """Builds the lease of this node, the wake-ups, and what streams and long polls follow."""
        settings, database, loops = self.settings, self.database, self.loops
        self.wakeups = Wakeups(wake_sender=loops.waker("notify") if database.listens else None)
        self.hub = Hub(on_follow=self.wakeups.follow_job)
        self.tails = LedgerTails(
            database,
            buffer=settings.stream_buffer,
            clock=self.clock,
            wake=loops.waker("tail"),
            on_follow=self.wakeups.follow_all,
        )
        self.stream_capacity = self.parts.stream_capacity
        self.leased_types = self.parts.leased_types
        self.heartbeat = Heartbeat(
            database,
            self.wakeups,
            record=NodeRecord(
                *(uuid4(), self.name, __version__, list(settings.roles), list(self.registry)),
                schedules=[schedule.name for schedule in self.registry.schedules],
                slots=settings.worker_slots if Role.WORKER in settings.roles else 0,
            ),
            lease_seconds=settings.lease_seconds,
            clock=ClockWatch(self.clock, self.metrics.clock_offset.set),
            lost=lambda: self.worker.pool.stop_all(Interrupted("the node lost its connection to the database")),
            report=self._report,
        )
        self.lookout = Lookout(
            database,
            loops.waker,
            lease_seconds=settings.lease_seconds,
            tenants=lambda: self.submission_limiters.tenants,
            own_transactions=self.heartbeat.transactions,
        )
        self.notify_exchange = NotifyExchange(database, self.wakeups, followed=lambda: self.hub.followed)

    def _build_attempts(self) -> None:
        """Builds what claims jobs, runs attempts and records their ends."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        source, lease_source = f"worker:{self.name}", f"http-worker:{self.name}"
        self.job_type_breakers = JobTypeBreakers(database, wakeups, self.registry.values())
        self.finisher = Finisher(
            database,
            wakeups,
            metrics,
            source=source,
            node_id=lambda: self.heartbeat.node_id,
            on_recorded=self._attempts_recorded,
        )
        self.job_logs = LogRecorder(database, metrics)
        self.canceller = Canceller(database, wakeups, metrics)
        self.queue_limit = QueueLimit(database, most=self.settings.max_queues_per_tenant)
        self.signals = SignalSender(database, wakeups, metrics)
        self.signal_links = SignalLinks(self.settings, database, self.keyring, self.clock)
        shared = Shared(
            settings=self.settings,
            database=database,
            registry=self.registry,
            job_types=self.job_types,
            job_builder=self.job_builder,
            keyring=self.keyring,
            signals=self.signals,
            signal_links=self.signal_links,
            clock=self.clock,
            metrics=metrics,
            tracing=self.tracing,
            loops=self.loops,
            wakeups=wakeups,
            hub=self.hub,
            heartbeat=self.heartbeat,
            queue_limit=self.queue_limit,
            canceller=self.canceller,
            finisher=self.finisher,
            job_logs=self.job_logs,
            breakers=self.job_type_breakers,
            watchdog=self.watchdog,
            source=source,
            lease_source=lease_source,
        )
        self.worker = Worker(shared)
        self.leases = Leases(shared, self.worker, policy_of=self.job_types.retry_policy)

    def _build_submission(self) -> None:
        """Builds what records and limits submissions, and checks that it can."""
        settings, database, wakeups, metrics = self.settings, self.database, self.wakeups, self.metrics
        self.submission_limiters = SubmissionLimiters(
            database, settings=configured_limits(settings), share=self.cell_share
        )
        starter: Starter = self.worker.pool if Role.WORKER in settings.roles else NoStarter()
        self.submitter = Submitter(database, wakeups, metrics, buffer=settings.submit_buffer, starter=starter)
        self.spooled_submitter = SpooledSubmitter(database, wakeups, metrics, clock=self.clock)
        reader = InboxReader(self.job_builder, depth=settings.json_depth)
        self.inbox = InboxMover(
            database,
            wakeups,
            metrics,
            reader=reader,
            types=self.job_types,
            limiters=self.submission_limiters,
            queue_limit=self.queue_limit,
            ids=self.clock.ids,
            tracing=self.tracing,
        )
        use = self.submitter.connection.use if Role.API in settings.roles else database.connection
        self.readiness = Readiness(database, use, new_id=self.clock.ids.new)

    def _build_verbs(self) -> None:
        """Builds the other verbs of a job's life: read, cancel and retry many, control the flow, schedule, sweep."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        self.job_reader = JobReader(database)
        self.run_times = RunTimeReader(database)
        self.scaling = ScalingReader(database, self.run_times, self.clock)
        self.flow_controller = FlowController(database, wakeups)
        self.bulk_actions = BulkActions(database, wakeups, self.canceller)
        self.scheduler = Scheduler(
            database,
            wakeups,
            metrics,
            types=self.job_types,
            queue_limit=self.queue_limit,
            clock=self.clock,
            tracing=self.tracing,
        )
        self.follow_ups = FollowUps(database, wakeups, metrics, queue_limit=self.queue_limit, clock=self.clock)
        self.sweeper = Sweeper(database, wakeups, metrics, self.finisher, policy_of=self.job_types.retry_policy)

    def _build_webhooks(self, webhook_secret: str) -> None:
        """Builds the endpoints, the dispatcher and the replays of webhooks."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        self.endpoints = Endpoints(database, self.keyring, wake=wakeups.deliveries, clock=self.clock)
        self.dispatcher = build_dispatcher(
            self.settings,
            database,
            metrics,
            self.tracing,
            self.outbound,
            fallback_secret=webhook_secret,
            keyring=self.keyring,
            clock=self.clock,
        )
        self.dispatcher.wake = self.loops.waker("dispatch")
        self.replayer = Replayer(database, wakeups, metrics, clock=self.clock, wake=self.loops.waker("replay"))

    def _attempts_recorded(self, ends: Sequence[Finish], finished: Sequence[Finished]) -> None:
        """Counts how attempts ended, and claims again where limits kept jobs waiting for an end."""
        self.job_type_breakers.ended(ends, finished)
        if self.worker.claimer.ended(finished):
            self.wake_claim()
        self.leases.polls.ended(finished)

    def _report(self) -> NodeReport:
        return NodeReport(self.metrics.rates.as_json(), self.leased_types.keys(), self.worker.pool.busy_slots)

    def _note(self, error: DatabaseError) -> None:
        self.metrics.database_errors.labels(error.error_class.code).inc()
        self.readiness.note(error)

    @property
    def node_id(self) -> UUID:
        """Id of this node in the list of nodes; it changes if the node is declared lost and registers again."""
        return self.heartbeat.node_id

    async def start(self) -> None:
        """Registers this node, checks that it can record submissions, and starts the loops of its roles.

        Raises:
            DatabaseError: the database does not serve, or is not in the state that this release needs.
        """
        await self.heartbeat.step()
        await self.key_verifier.step()  # finds out if keys are required
        if Role.WORKER in self.settings.roles:
            await self.job_type_parts.declare()
            await self.worker.claimer.refresh()  # before that, a submitted job would overtake those that are ready
        if Role.API in self.settings.roles:
            await self.job_types.load([DEFAULT_TENANT])  # so that its submissions need no other connection than theirs
        await self.readiness.check()  # opens the connection of submissions; `/readyz` reports the result
        self.parts.start()
        self.loops.start()

    async def drain(self) -> None:
        """Claims nothing more, lets running jobs end, requeues the others, and ends streams and webhook posts."""
        await shutdown.drain(self)

    async def stop(self) -> None:
        """Ends the loops, leaves the list of nodes and closes everything; after `drain` and the last request."""
        await shutdown.stop(self)
        if self._own_parts:
            await self.parts.aclose()
