"""One process: what it opens, the table of its loops, and how it drains."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID, uuid4

import structlog

from duly import __version__
from duly.domain.database_clock import DatabaseClock
from duly.domain.job import DEFAULT_TENANT, Finish, Finished, Lane
from duly.domain.outcome import Interrupted
from duly.domain.retry import DEFAULT_RETRY, RetryPolicy
from duly.domain.sealing import Keyring
from duly.gauges import GaugeReader
from duly.handlers.registry import Registry
from duly.lifecycle.claim.claim import Claimer
from duly.lifecycle.claim.flow_control import FlowController
from duly.lifecycle.claim.job_type_breakers import JobTypeBreakers
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
from duly.lifecycle.read.read_jobs import JobReader
from duly.lifecycle.read.run_times import RunTimeReader
from duly.lifecycle.run.checkpoint import CheckpointRecorder
from duly.lifecycle.run.child_jobs import ChildSubmitter
from duly.lifecycle.run.child_results import ChildResultReader
from duly.lifecycle.run.job_logs import LogRecorder
from duly.lifecycle.run.progress import ProgressRecorder
from duly.lifecycle.schedules.scheduler import Scheduler
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.submission_limiter import SubmissionLimiter
from duly.lifecycle.submit.submit import LARGE_FLUSHERS, Submitter
from duly.lifecycle.submit.submit_spooled import SpooledSubmitter
from duly.loop import Loop
from duly.outbound import OutboundClient
from duly.settings import Role, Settings
from duly.store.postgres.database import Database, DatabaseAway, DatabaseError, DatabaseUnfit, RecordBusy
from duly.store.queue.limits import Rate
from duly.store.queue.nodes import NodeRecord
from duly.store.submit.submission_limits import IntakeLimits
from duly.stream.capacity import StreamCapacity
from duly.stream.ledger_tail import LedgerTail
from duly.telemetry.access_log import AccessLog
from duly.telemetry.metrics import Metrics
from duly.telemetry.structured_logs import chosen_format
from duly.webhooks.dispatcher import Dispatcher
from duly.webhooks.endpoints import Endpoints
from duly.webhooks.receiver_windows import CONCURRENT
from duly.webhooks.sender import Sender
from duly.webhooks.settler import Settler
from duly.worker.attempt_deadlines import AttemptDeadlines
from duly.worker.child_jobs import AttemptChildren, ChildJobParts
from duly.worker.parked_attempts import ParkedAttempts
from duly.worker.pool import Pool
from duly.worker.process.pool import ProcessExecutor, in_processes
from duly.worker.reports import RecordedReports, ReportLimits
from duly.worker.watchdog import Watchdog

log = structlog.stdlib.get_logger("duly.node")

# What stays to be recorded when a node goes down gets this long; the lease brings back what was not.
LAST_WORDS_SECONDS = 5.0


class Node:
    """Composes the parts that this process's roles need. Nothing is opened before `start`."""

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
        self.clock = clock or DatabaseClock()
        self.settings = settings
        self.database = database
        self.registry = registry
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.wakeups = Wakeups()
        self.metrics = Metrics()
        self.access = AccessLog(
            on=settings.access_log and settings.log_level in {"debug", "info"},
            form=chosen_format(settings.log_format),
            shared=settings.processes > 1,
        )
        self.hub = Hub()
        self.tail = LedgerTail(database, tenant_id=DEFAULT_TENANT, buffer=settings.stream_buffer, clock=self.clock)
        self.stream_capacity = StreamCapacity(settings.stream_limit)
        self.draining = False
        self.keyring = keyring
        self._webhook_secret = webhook_secret
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.loops: list[Loop] = []

    async def start(self) -> None:
        """Opens everything, registers this node, and starts the loops of its roles.

        Raises:
            DatabaseError: the database does not serve, or is not as it must be.
        """
        self._compose()
        self.database.note = self._note
        await self.heartbeat.step()
        if Role.WORKER in self.settings.roles:
            await self.pool.refresh()
        await self.readiness.check()  # opens the connection of submissions; that all is well, `/readyz` is asked
        self.watchdog.start()
        for loop in self.loops:
            self._tasks[loop.name] = asyncio.create_task(loop.run(), name=f"loop:{loop.name}")

    def _compose(self) -> None:
        settings, database, wakeups, metrics = self.settings, self.database, self.wakeups, self.metrics
        source = f"worker:{self.name}"
        self.submitter = Submitter(database, wakeups, metrics, buffer=settings.submit_buffer)
        self.readiness = self._readiness()
        self.spooled_submitter = SpooledSubmitter(database, wakeups, metrics, clock=self.clock)
        self.job_reader = JobReader(database)
        self.run_times = RunTimeReader(database)
        self.finisher = Finisher(database, wakeups, metrics, source=source)
        self.progress = ProgressRecorder(database, wakeups, metrics, source=source)
        self.logs = LogRecorder(database, metrics)
        self.checkpoints = CheckpointRecorder(database)
        self.submission_limiter = SubmissionLimiter(
            database, tenant_id=DEFAULT_TENANT, settings=_intake_limits(settings)
        )
        self.canceller = Canceller(database, wakeups, metrics)
        self.child_submitter = ChildSubmitter(database, wakeups, metrics, canceller=self.canceller)
        self.child_results = ChildResultReader(database)
        self.parked_attempts = ParkedAttempts(limit=settings.waiting_attempts)
        self.processes = ProcessExecutor(
            settings.handlers, result_limit=settings.result_limit, json_depth=settings.json_depth
        )
        self.job_type_breakers = JobTypeBreakers(database, wakeups, self.registry.values())
        self.flow_controller = FlowController(database, wakeups)
        self.claimer = Claimer(
            database,
            wakeups,
            metrics,
            types=self.registry,
            guarded=self.job_type_breakers.declared,
            in_processes=in_processes(self.registry),
        )
        self.deadlines = AttemptDeadlines(database)
        self.pool = Pool(
            self.registry,
            slots=settings.worker_slots,
            claimer=self.claimer,
            finisher=self.finisher,
            reports=self._reports(),
            processes=self.processes,
            waiting=self.parked_attempts,
            deadlines=self.deadlines,
            metrics=metrics,
            result_limit=settings.result_limit,
            identity=lambda: (self.heartbeat.node_id, source),
        )
        self.heartbeat = Heartbeat(
            database,
            wakeups,
            record=self._record(),
            lease_seconds=settings.lease_seconds,
            clock=ClockWatch(self.clock, metrics.clock_offset.set),
            lost=lambda: self.pool.stop_all(Interrupted("its node lost touch with the database")),
            rates=metrics.rates.as_json,
        )
        self.notify_exchange = NotifyExchange(database, wakeups, followed=lambda: self.hub.followed)
        self.sweeper = Sweeper(database, wakeups, metrics, self.finisher, policy_of=self._policy_of)
        self.follow_ups = FollowUps(database, wakeups, metrics, clock=self.clock)
        self.scheduler = Scheduler(database, wakeups, metrics, types=self.registry, clock=self.clock)
        self.bulk_actions = BulkActions(database, wakeups, self.canceller)
        self.outbound = OutboundClient(
            reach=settings.reach,
            # The dispatcher bounds what one receiver has; several may be behind one host.
            connections=CONCURRENT,
            connections_per_host=CONCURRENT,
            total_seconds=settings.webhook_timeout_seconds,
            connect_seconds=settings.webhook_connect_seconds,
        )
        sender = Sender(
            self.outbound,
            metrics,
            schedule=settings.webhook_retry_seconds,
            user_agent=f"Duly/{__version__}",
            fallback_secret=self._webhook_secret,
            keyring=self.keyring,
            clock=self.clock,
        )
        self.endpoints = Endpoints(database, self.keyring, wake=wakeups.deliveries, clock=self.clock)
        self.replayer = Replayer(database, wakeups, metrics, clock=self.clock)
        settler = Settler(database, metrics, disable_seconds=settings.webhook_disable_seconds, clock=self.clock)
        self.dispatcher = Dispatcher(database, sender, settler, post_seconds=settings.webhook_timeout_seconds)
        self.gauges = GaugeReader(database, metrics, self)
        self.watchdog = Watchdog()
        self.loops = self._table_of_loops()
        self._wire()

    def _readiness(self) -> Readiness:
        if Role.API in self.settings.roles:
            return Readiness(self.database, self.submitter.connection.use, new_id=self.clock.ids.new)
        return Readiness(self.database, self.database.connection, new_id=self.clock.ids.new)

    def _reports(self) -> RecordedReports:
        settings = self.settings
        limits = ReportLimits(settings.log_lines, settings.result_limit, settings.json_depth)
        return RecordedReports(
            progress=self.progress,
            logs=self.logs,
            checkpoints=self.checkpoints,
            limits=limits,
            family=partial(AttemptChildren, parts=self._family_parts()),
            now=self.clock.now,
        )

    def _family_parts(self) -> ChildJobParts:
        settings = self.settings
        maker = JobBuilder(
            self.registry,
            parameters_limit=settings.parameters_limit,
            reach=settings.reach,
            keyring=self.keyring,
            clock=self.clock,
        )
        return ChildJobParts(
            self.child_submitter, self.child_results, maker, self.hub, self.parked_attempts, settings.json_depth
        )

    def _record(self) -> NodeRecord:
        return NodeRecord(uuid4(), self.name, __version__, list(self.settings.roles), list(self.registry))

    def _table_of_loops(self) -> list[Loop]:
        settings = self.settings
        table: list[tuple[str, set[Role], Callable[[], Awaitable[float]]]] = [
            ("heartbeat", set(Role), self.heartbeat.step),
            ("gauges", set(Role), self.gauges.step),
            ("submit", {Role.API, Role.WORKER}, self.submitter.batcher.step),
            *((f"submit-many-{n}", {Role.API}, self.submitter.many.step) for n in range(1, LARGE_FLUSHERS + 1)),
            ("look", {Role.API}, self.job_reader.batcher.step),
            ("door", {Role.API}, self.submission_limiter.step),
            ("tail", {Role.API}, self.tail.step),
            ("claim", {Role.WORKER}, self.pool.step),
            ("watch", {Role.WORKER}, self.pool.watch),
            ("strays", {Role.WORKER}, self.pool.find_orphans),
            ("deadlines", {Role.WORKER}, self.deadlines.step),
            ("progress", {Role.WORKER}, self.progress.batcher.step),
            ("checkpoint", {Role.WORKER}, self.checkpoints.batcher.step),
            ("logs", {Role.WORKER}, self.logs.step),
            ("children", {Role.WORKER}, self.child_submitter.batcher.step),
            ("outcomes", {Role.WORKER}, self.child_results.batcher.step),
            ("finish", {Role.WORKER}, self.finisher.step),
            ("set-aside", {Role.WORKER, Role.SWEEPER}, self.finisher.set_aside.step),
            ("dispatch", {Role.DISPATCHER}, self.dispatcher.step),
            ("settle", {Role.DISPATCHER}, self.dispatcher.settler.step),
            ("replay", {Role.DISPATCHER}, self.replayer.step),
            ("breakers", {Role.WORKER, Role.SWEEPER}, self.job_type_breakers.step),
            ("sweep", {Role.SWEEPER}, self._sweep),
            ("release", {Role.SWEEPER}, self.sweeper.release),
            ("expire", {Role.SWEEPER}, self.sweeper.expire),
            ("consequences", {Role.SWEEPER}, self.follow_ups.step),
            ("schedules", {Role.SWEEPER}, self.scheduler.step),
            (
                "housekeeping",
                {Role.SWEEPER},
                lambda: self.sweeper.run_housekeeping(retention_days=settings.retention_days),
            ),
        ]
        if self.database.listens:
            table.append(("hints", set(Role), self.notify_exchange.step))
        mine = set(settings.roles)
        return [
            Loop(name, step, expected=(DatabaseAway, DatabaseUnfit, RecordBusy))
            for name, roles, step in table
            if roles & mine
        ]

    def _sweep(self) -> Awaitable[float]:
        return self.sweeper.repair(self.heartbeat.node_id, lease_seconds=self.settings.lease_seconds)

    def _policy_of(self, job_type: str) -> RetryPolicy:
        """Sweeping works without a handler's code; where it is known, its policy counts."""
        handler = self.registry.get(job_type)
        return handler.retry if handler else DEFAULT_RETRY

    def _note(self, error: DatabaseError) -> None:
        self.metrics.database_errors.labels(error.trouble.code).inc()
        self.readiness.note(error)

    def _wire(self) -> None:
        """Who is woken by what."""
        loops = {loop.name: loop for loop in self.loops}
        local = self.wakeups.local
        local.changed = self.hub.changed
        self.finisher.on_recorded = partial(self._ended, loops.get("claim"))
        self.finisher.set_aside.owner = lambda: self.heartbeat.node_id
        local.submitted = self.metrics.rates.submitted
        self.hub.on_follow = self.wakeups.follow_job
        self.tail.on_follow = self.wakeups.follow_all
        local.news = self.tail.news
        if claim := loops.get("claim"):
            local.cancel = self.pool.cancel
            self.submitter.starter = self.pool
            local.ready = partial(self._ready, claim)
            local.control = partial(self._control, claim)
            self.pool.wake_watch = loops["watch"].wake
            self.pool.wake_claim = self.processes.changed = claim.wake
        if release := loops.get("release"):
            local.scheduled = lambda _delay: release.wake()
        if consequences := loops.get("consequences"):
            local.consequences = consequences.wake
        if dispatch := loops.get("dispatch"):
            local.deliveries = self.dispatcher.wake = dispatch.wake
            self.replayer.wake = loops["replay"].wake
        if tail := loops.get("tail"):
            self.tail.wake = tail.wake
        if hints := loops.get("hints"):
            self.wakeups.wake_sender = hints.wake

    def _control(self, claim: Loop) -> None:
        self.claimer.invalidate()
        claim.wake()

    def _ended(self, claim: Loop | None, ends: Sequence[Finish], finished: Sequence[Finished]) -> None:
        self.job_type_breakers.ended(ends, finished)
        if self.claimer.ended(finished) and claim:
            claim.wake()

    def _ready(self, claim: Loop, lane: Lane, oldest: UUID) -> None:
        self.pool.note_ready(lane, oldest)
        claim.wake()

    @property
    def node_id(self) -> UUID:
        return self.heartbeat.node_id

    async def drain(self) -> None:
        """Goes down in good order: claims nothing more, lets jobs end, gives back the rest, ends streams, leaves."""
        self.draining = self.heartbeat.draining = True
        log.info("draining", action="node_draining", node=self.name)
        self.pool.stop_claiming()
        await self._finish("claim")
        interrupted = await self.pool.drain(self.settings.shutdown_grace_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.finisher.drain()
                await self.logs.flushed(seconds=LAST_WORDS_SECONDS)
        self.tail.close()
        self.hub.close()  # only now: whoever follows a job that has just ended is to see its end
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                self.dispatcher.stop_taking()
                await self._finish("dispatch")
                await self.dispatcher.drain(LAST_WORDS_SECONDS)
        log.info("drained", action="node_drained", node=self.name, interrupted=interrupted)

    async def stop(self) -> None:
        """Ends what is left and closes everything; after `drain`, and after the last request was answered."""
        await self._end(*(name for name in self._tasks if name != "hints"))
        with suppress(DatabaseAway, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self.heartbeat.leave()
                if self.database.listens and not self.wakeups.alone:
                    await self.notify_exchange.step()
        await self._end("hints")
        self.readiness.close()
        self.watchdog.stop()
        await self.processes.aclose()
        await self.outbound.aclose()
        await self.registry.aclose()
        await self.database.close()
        self.access.flush()

    async def _finish(self, *names: str) -> None:
        """Ends loops between two rounds: one cut short in its statement leaves rows that nobody looks after."""
        ending = [self._tasks[loop.name] for loop in self.loops if loop.name in names]
        for loop in self.loops:
            if loop.name in names:
                loop.end()
        if ending:
            await asyncio.wait(ending, timeout=LAST_WORDS_SECONDS)

    async def _end(self, *names: str) -> None:
        ending = [task for name in names if (task := self._tasks.pop(name, None))]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=LAST_WORDS_SECONDS)


def _intake_limits(settings: Settings) -> IntakeLimits:
    """What the settings allow to be taken in."""
    rate = None
    if settings.submit_rate is not None:
        burst = settings.submit_burst or max(1, round(10 * settings.submit_rate))
        rate = Rate(burst, burst / settings.submit_rate)
    return IntakeLimits(rate, settings.backlog_limit)
