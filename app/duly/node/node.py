"""One process of the service: its parts, how they start, drain and stop."""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID, uuid4

import structlog

from duly import __version__
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import Finish, Finished, Lane
from duly.domain.node_role import Role
from duly.domain.outcome import Interrupted
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.domain.sealing import Keyring
from duly.gauges import GaugeReader
from duly.handlers.registry import Registry
from duly.lifecycle.access.key_rates import KeyRates
from duly.lifecycle.access.key_verifier import KeyVerifier
from duly.lifecycle.claim.job_type_breakers import JobTypeBreakers
from duly.lifecycle.claim.set_flow_control import FlowController
from duly.lifecycle.cluster.clock_watch import ClockWatch
from duly.lifecycle.cluster.heartbeat import Heartbeat
from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.cluster.notify_exchange import NotifyExchange
from duly.lifecycle.cluster.readiness import Readiness
from duly.lifecycle.cluster.wakeups import Wakeups
from duly.lifecycle.end.bulk_actions import BulkActions
from duly.lifecycle.end.cancel import Canceller
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.end.follow_ups import FollowUps
from duly.lifecycle.maintenance.redeliver import Replayer
from duly.lifecycle.maintenance.sweep import Sweeper
from duly.lifecycle.read.job_reader import JobReader
from duly.lifecycle.read.run_times import RunTimeReader
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.schedules.scheduler import Scheduler
from duly.lifecycle.submit.eager_start import NoStarter, Starter
from duly.lifecycle.submit.submission_limiter import SubmissionLimiters, configured_limits
from duly.lifecycle.submit.submit import Submitter
from duly.lifecycle.submit.submit_large_batch import SpooledSubmitter
from duly.loop import END_SECONDS, Loops
from duly.node.dispatcher_parts import build_dispatcher, webhook_client
from duly.node.loop_table import loops_of
from duly.node.worker_parts import Shared, Worker
from duly.settings import Settings
from duly.store.postgres.database import Database, DatabaseError, DatabaseOutage
from duly.store.queue.nodes import NodeRecord
from duly.stream.capacity import StreamCapacity
from duly.stream.ledger_tails import LedgerTails
from duly.telemetry.access_log import AccessLog
from duly.telemetry.metrics import Metrics
from duly.telemetry.structured_logs import chosen_format
from duly.webhooks.endpoints import Endpoints
from duly.worker.watchdog import Watchdog

log = structlog.stdlib.get_logger("duly.node")

# Time allowed on shutdown to record outcomes; later ones are recovered when the lease expires.
LAST_RECORDS_SECONDS = 5.0


class Node:
    """Composes the parts that the roles of this process need. Opens nothing before `start`.

    Each part gets what it depends on when it is constructed. Two links are made late, because they lead back up: the
    local wake-ups (`_connect_wakeups`), whose receivers are built after their senders, and `database.note`, since the
    database is opened before the node.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        registry: Registry,
        *,
        webhook_secret: str,
        keyring: Keyring,
        clock: DatabaseClock | None = None,
    ) -> None:
        self.settings = settings
        self.database = database
        self.registry = registry
        self.keyring = keyring
        self.clock = clock or DatabaseClock()
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.draining = False
        self.metrics = Metrics()
        self.access = AccessLog(
            on=settings.access_log and settings.log_level in {"debug", "info"},
            form=chosen_format(settings.log_format),
            shared=settings.processes > 1,
        )
        self.watchdog = Watchdog()
        self.loops = Loops()
        own_key = settings.api_key.get_secret_value() if settings.api_key else None
        self.key_verifier = KeyVerifier(database, own_key=own_key, clock=self.clock)
        self.key_rates = KeyRates(database)
        self._build_cluster()
        self._build_attempts()
        self._build_submission()
        self._build_verbs()
        self._build_webhooks(webhook_secret)
        self.gauges = GaugeReader(database, self.metrics, self.loops)
        for loop in loops_of(self):
            self.loops.add(loop)
        self._connect_wakeups()
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
        self.stream_capacity = StreamCapacity(settings.stream_limit)
        self.heartbeat = Heartbeat(
            database,
            self.wakeups,
            record=NodeRecord(uuid4(), self.name, __version__, list(settings.roles), list(self.registry)),
            lease_seconds=settings.lease_seconds,
            clock=ClockWatch(self.clock, self.metrics.clock_offset.set),
            lost=lambda: self.worker.pool.stop_all(Interrupted("the node lost its connection to the database")),
            rates=self.metrics.rates.as_json,
        )
        self.notify_exchange = NotifyExchange(database, self.wakeups, followed=lambda: self.hub.followed)

    def _build_attempts(self) -> None:
        """Builds what claims jobs, runs attempts and records their ends."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        source = f"worker:{self.name}"
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
        self.worker = Worker(
            Shared(
                settings=self.settings,
                database=database,
                registry=self.registry,
                keyring=self.keyring,
                clock=self.clock,
                metrics=metrics,
                loops=self.loops,
                wakeups=wakeups,
                hub=self.hub,
                heartbeat=self.heartbeat,
                canceller=self.canceller,
                finisher=self.finisher,
                job_logs=self.job_logs,
                breakers=self.job_type_breakers,
                source=source,
            )
        )

    def _build_submission(self) -> None:
        """Builds what records and limits submissions, and checks that it can."""
        settings, database, wakeups, metrics = self.settings, self.database, self.wakeups, self.metrics
        self.submission_limiters = SubmissionLimiters(database, settings=configured_limits(settings))
        starter: Starter = self.worker.pool if Role.WORKER in settings.roles else NoStarter()
        self.submitter = Submitter(database, wakeups, metrics, buffer=settings.submit_buffer, starter=starter)
        self.spooled_submitter = SpooledSubmitter(database, wakeups, metrics, clock=self.clock)
        use = self.submitter.connection.use if Role.API in settings.roles else database.connection
        self.readiness = Readiness(database, use, new_id=self.clock.ids.new)

    def _build_verbs(self) -> None:
        """Builds the other verbs of a job's life: read, cancel and retry many, control the flow, schedule, sweep."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        self.job_reader = JobReader(database)
        self.run_times = RunTimeReader(database)
        self.flow_controller = FlowController(database, wakeups)
        self.bulk_actions = BulkActions(database, wakeups, self.canceller)
        self.scheduler = Scheduler(database, wakeups, metrics, types=self.registry, clock=self.clock)
        self.follow_ups = FollowUps(database, wakeups, metrics, clock=self.clock)
        self.sweeper = Sweeper(database, wakeups, metrics, self.finisher, policy_of=self._policy_of)

    def _build_webhooks(self, webhook_secret: str) -> None:
        """Builds the endpoints, the dispatcher and the replays of webhooks."""
        database, wakeups, metrics = self.database, self.wakeups, self.metrics
        self.endpoints = Endpoints(database, self.keyring, wake=wakeups.deliveries, clock=self.clock)
        self.outbound = webhook_client(self.settings)
        self.dispatcher = build_dispatcher(
            self.settings,
            database,
            metrics,
            self.outbound,
            fallback_secret=webhook_secret,
            keyring=self.keyring,
            clock=self.clock,
        )
        self.dispatcher.wake = self.loops.waker("dispatch")
        self.replayer = Replayer(database, wakeups, metrics, clock=self.clock, wake=self.loops.waker("replay"))

    def _connect_wakeups(self) -> None:
        """Connects the wake-ups of this node to the parts that act on them."""
        local, loops = self.wakeups.local, self.loops
        local.changed = self.hub.changed
        local.submitted = self.metrics.rates.submitted
        local.ledger_grew = self.tails.ledger_grew
        wake_release = loops.waker("release")
        local.scheduled = lambda _delay: wake_release()
        local.follow_ups = loops.waker("follow-ups")
        local.deliveries = loops.waker("dispatch")
        local.keys = loops.waker("keys")
        if Role.WORKER in self.settings.roles:
            local.cancel = self.worker.pool.cancel
            local.ready = self._ready
            local.restrictions = self._restrictions_changed
        self._wake_claim = loops.waker("claim")

    def _ready(self, lane: Lane, oldest: UUID) -> None:
        self.worker.pool.note_ready(lane, oldest)
        self._wake_claim()

    def _restrictions_changed(self) -> None:
        self.worker.claimer.invalidate()
        self._wake_claim()

    def _attempts_recorded(self, ends: Sequence[Finish], finished: Sequence[Finished]) -> None:
        """Counts how attempts ended, and claims again where limits kept jobs waiting for an end."""
        self.job_type_breakers.ended(ends, finished)
        if self.worker.claimer.ended(finished):
            self._wake_claim()

    def _policy_of(self, job_type: str) -> RetryPolicy:
        """Returns the retry policy of a job type, or the default one: a sweeper may not have the handler's code."""
        handler = self.registry.get(job_type)
        return handler.retry if handler else DEFAULT_RETRY

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
            await self.worker.claimer.refresh()  # before that, a submitted job would overtake those that are ready
        await self.readiness.check()  # opens the connection of submissions; `/readyz` reports the result
        self.watchdog.start()
        self.loops.start()

    async def drain(self) -> None:
        """Claims nothing more, lets running jobs end, requeues the others, and ends streams and webhook posts."""
        self.draining = self.heartbeat.draining = True
        log.info("draining", action="node_draining", node=self.name)
        self.worker.pool.stop_claiming()
        await self.loops.finish("claim")
        interrupted = await self.worker.pool.drain(self.settings.shutdown_grace_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_RECORDS_SECONDS):
                await self.finisher.drain()
                await self.job_logs.flushed(seconds=LAST_RECORDS_SECONDS)
        self.tails.close()
        self.hub.close()  # only now: followers of a job that has just ended see its end
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_RECORDS_SECONDS):
                self.dispatcher.stop_taking()
                await self.loops.finish("dispatch")
                await self.dispatcher.drain(LAST_RECORDS_SECONDS)
        log.info("drained", action="node_drained", node=self.name, interrupted=interrupted)

    async def stop(self) -> None:
        """Ends the loops, leaves the list of nodes and closes everything; after `drain` and the last request."""
        await self.loops.cancel(exclude="notify")
        with suppress(DatabaseOutage, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.heartbeat.leave()
                if self.database.listens and not self.wakeups.alone:
                    await self.notify_exchange.step()  # sends the last wake-ups
        await self.loops.cancel()
        self.readiness.close()
        self.watchdog.stop()
        await self.worker.processes.aclose()
        await self.outbound.aclose()
        await self.registry.aclose()
        await self.database.close()
        self.access.flush()
