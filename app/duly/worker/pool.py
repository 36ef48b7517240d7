"""The pool: claims jobs for its free slots, runs each as an attempt, and hands its end to the finisher."""

import asyncio
import random
from collections.abc import Callable
from uuid import UUID

import structlog

from duly.domain.job import ClaimedJob, Lane
from duly.domain.outcome import AttemptFacts, Cancelled, Interrupted, Outcome, TimedOut, decide
from duly.handlers.registry import Registry
from duly.lifecycle.claim import LOOK_SECONDS, Claimer
from duly.lifecycle.finish import Finisher
from duly.lifecycle.progress import ProgressRecorder
from duly.store.database import DatabaseAway
from duly.telemetry.metrics import Metrics
from duly.worker.attempt import Attempt, outcome_of
from duly.worker.executors import Executors
from duly.worker.processes import ProcessExecutor

log = structlog.stdlib.get_logger("duly.pool")

WATCH_SECONDS = 0.1
IDLE_WATCH_SECONDS = 5.0
# Ends that wait for the database hold claims back beyond this, so that memory stays bounded while it is slow.
UNRECORDED_LIMIT = 2000
LAST_CANCEL_SECONDS = 2.0


class Pool:
    """The worker side of one node, with a bounded number of slots."""

    def __init__(  # noqa: PLR0913  # the parts it works with, composed in one place
        self,
        registry: Registry,
        *,
        slots: int,
        claimer: Claimer,
        finisher: Finisher,
        progress: ProgressRecorder,
        processes: ProcessExecutor,
        metrics: Metrics,
        result_limit: int,
        identity: Callable[[], tuple[UUID, str]],
    ) -> None:
        self._registry = registry
        self._slots = slots
        self._claimer = claimer
        self._finisher = finisher
        self._progress = progress
        self._metrics = metrics
        self._result_limit = result_limit
        self._identity = identity
        self._attempts: dict[UUID, Attempt] = {}
        self._freed = asyncio.Event()
        self._draining = False
        self._executors = Executors(slots=slots, processes=processes, slot_freed=self._freed.set)
        self.wake_watch: Callable[[], None] = lambda: None
        metrics.slots.set(slots)

    async def step(self) -> float:
        """One round of the claiming loop: waits for a free slot, claims, starts. Returns how long to rest."""
        await self._finisher.below(UNRECORDED_LIMIT)
        free = await self._free_slots()
        if self._draining:
            return LOOK_SECONDS
        node_id, source = self._identity()
        jobs = await self._claimer.claim(free, node_id=node_id, source=source)
        for job in jobs:
            self._start(job)
        if jobs:
            self.wake_watch()
        self._metrics.slots_busy.set(len(self._attempts))
        return 0 if jobs or self._claimer.hopeful else LOOK_SECONDS * random.uniform(0.75, 1)  # noqa: S311  # jitter

    async def _free_slots(self) -> int:
        while True:
            free = self._slots - len(self._attempts) - self._executors.abandoned_threads
            if self._draining or free > 0:
                return free
            self._freed.clear()
            await self._freed.wait()

    def _start(self, claimed: ClaimedJob) -> None:
        loop = asyncio.get_running_loop()
        attempt = Attempt(
            claimed, self._registry[claimed.type], loop.time() + claimed.timeout_seconds, self._tell_progress
        )
        self._attempts[claimed.job_id] = attempt
        attempt.task = loop.create_task(self._run(attempt))

    async def _run(self, attempt: Attempt) -> None:
        outcome = await outcome_of(attempt, self._executors.call, result_limit=self._result_limit)
        claimed = attempt.claimed
        facts = AttemptFacts(
            claimed.job_id, claimed.token, claimed.attempt, claimed.max_attempts, crashes=claimed.crashes
        )
        self._finisher.put(decide(outcome, facts, policy=attempt.handler.retry, random=random.random))
        if self._attempts.get(claimed.job_id) is attempt:
            del self._attempts[claimed.job_id]
        self._freed.set()

    async def _tell_progress(self, attempt: Attempt, percent: float, message: str | None) -> None:
        try:
            held = await self._progress.tell(
                attempt.claimed.job_id, attempt.claimed.token, percent=percent, message=message
            )
        except DatabaseAway:
            return  # the next one tells; the outcome waits for the database anyway
        if not held:
            attempt.stop(Interrupted("its lease was lost"))
            await asyncio.sleep(0)  # lets the interruption arrive here

    def note_ready(self, lane: Lane, oldest: UUID) -> None:
        """A hint: this lane holds jobs, the new ones from `oldest` on."""
        self._claimer.lanes.note(lane, oldest)

    def cancel(self, job_id: UUID) -> None:
        """Tells the handler of this job to stop, where it runs here."""
        attempt = self._attempts.get(job_id)
        if attempt is not None:
            attempt.stop(Cancelled())

    async def watch(self) -> float:
        """One round of the watching loop: stops attempts past their deadline. One timer serves all."""
        now = asyncio.get_running_loop().time()
        for attempt in list(self._attempts.values()):
            if attempt.deadline <= now:
                attempt.stop(TimedOut(attempt.claimed.timeout_seconds))
        return WATCH_SECONDS if self._attempts else IDLE_WATCH_SECONDS

    def stop_all(self, why: Outcome) -> None:
        for attempt in list(self._attempts.values()):
            attempt.stop(why)

    def stop_claiming(self) -> None:
        """The round under way finishes: what it claims still runs here."""
        self._draining = True
        self._freed.set()

    async def drain(self, grace_seconds: float) -> int:
        """Lets running attempts end, for so long; what is left is interrupted and goes to other nodes, not charged.

        The claiming loop must have ended. Returns how many were interrupted.
        """
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        left = len(self._attempts)
        self.stop_all(Interrupted("its node was shut down"))
        tasks = self._tasks()
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_CANCEL_SECONDS)
        for attempt in list(self._attempts.values()):
            self._abandon(attempt)
        return left

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [attempt.task for attempt in self._attempts.values() if attempt.task is not None]

    def _abandon(self, attempt: Attempt) -> None:
        """A handler that will not stop is left behind; its token keeps it from changing anything."""
        claimed = attempt.claimed
        log.warning("a handler did not stop", action="handler_abandoned", job_id=str(claimed.job_id))
        facts = AttemptFacts(claimed.job_id, claimed.token, claimed.attempt, claimed.max_attempts)
        why = Interrupted("its node was shut down")
        self._finisher.put(decide(why, facts, policy=attempt.handler.retry, random=random.random))
