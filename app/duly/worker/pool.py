"""The worker pool: claims jobs for its free slots, runs each as an attempt, and passes its end to the finisher."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import structlog

from duly.domain.job import ClaimedJob, Lane, Mark, NewJob
from duly.domain.outcome import Cancelled, Interrupted, Outcome
from duly.handlers.registry import Registry
from duly.lifecycle.claim.claim import LOOK_SECONDS, Claimant, Claimer
from duly.lifecycle.end.finish import Finisher
from duly.telemetry.metrics import Metrics
from duly.telemetry.tracing import AttemptSpan
from duly.worker.attempt import Attempt, Reports, run_attempt
from duly.worker.attempt_spans import AttemptSpans
from duly.worker.compensation import run_compensation, settle
from duly.worker.executors import Executors
from duly.worker.orphaned_attempts import FIND_SECONDS, OrphanedAttempts
from duly.worker.outcome_to_end import AttemptEnds
from duly.worker.parked_attempts import ParkedAttempts
from duly.worker.prefetch import Prefetch
from duly.worker.process.pool import ProcessExecutor, in_processes
from duly.worker.recorded_deadlines import AttemptDeadlines
from duly.worker.running_attempts import RunningAttempts
from duly.worker.slots import Slots
from duly.worker.start_bursts import StartBursts

log = structlog.stdlib.get_logger("duly.pool")

WATCH_SECONDS = 0.1
IDLE_WATCH_SECONDS = 5.0
# Unrecorded ends beyond which nothing is claimed, to bound memory while the database is slow.
UNRECORDED_LIMIT = 2000
LAST_CANCEL_SECONDS = 2.0
SHUT_DOWN = Interrupted("the node was shut down")
_COMPENSATING = int(Mark.COMPENSATING)  # a flag's own `&` takes 1 of the 10 µs of an attempt


class Pool:
    """The worker of one node, with a fixed number of slots. It is the `Starter` for eager starts."""

    def __init__(  # noqa: PLR0913  # the parts it works with, composed in one place
        self,
        registry: Registry,
        *,
        slots: int,
        claimer: Claimer,
        finisher: Finisher,
        reports: Reports,
        processes: ProcessExecutor,
        parked: ParkedAttempts,
        deadlines: AttemptDeadlines,
        spans: AttemptSpans,
        metrics: Metrics,
        result_limit: int,
        identity: Callable[[], tuple[UUID, str]],
        wake_claim: Callable[[], None],
        wake_watch: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._claimer = claimer
        self._finisher = finisher
        self._reports = reports
        self._metrics = metrics
        self._ends = AttemptEnds(registry, finisher, metrics)
        self._result_limit = result_limit
        self._identity = identity
        self._attempts = RunningAttempts()
        self._prefetch = Prefetch(slots)
        self._bursts = StartBursts(resume=self._fill_slots)
        self.orphans = OrphanedAttempts(claimer)
        self._claiming = False
        self._freed = asyncio.Event()
        self._closed_for: Interrupted | None = None
        self._executors = Executors(
            slots=slots, processes=processes, slot_freed=self._slot_freed, tracing=spans.tracing
        )
        self._slots = Slots(slots, attempts=self._attempts, parked=parked, executors=self._executors)
        self._parked = parked
        parked.slot_freed = self._slot_freed
        self._deadlines = deadlines
        self._spans = spans
        self._processes = processes
        self._in_processes = in_processes(registry)
        claimer.free_processes = self._free_processes
        self._wake_claim = wake_claim
        self._wake_watch = wake_watch
        metrics.slots.set(slots)

    async def step(self) -> float:
        """Runs one round of the claim loop: waits for a slot, claims, starts. Returns the seconds until the next."""
        await self._finisher.wait_below(UNRECORDED_LIMIT)
        room = await self._room()
        if self._closed_for is not None:
            return LOOK_SECONDS
        if self._in_processes and self._claimer.wants_processes and self._free_processes() <= 0:
            self._processes.grow()
        node_id, source = self._identity()
        try:
            self._claiming = True
            jobs = await self._claimer.claim(room, by=Claimant(node_id, source))
        except BaseException:  # it is not known what was claimed
            self.orphans.suspect()
            raise
        finally:
            self._claiming = False
            self._freed.set()
        self._accept(jobs)
        return 0 if jobs or self._claimer.may_find_jobs else self._claimer.rest_seconds

    @property
    def any_runs(self) -> bool:
        """True if an attempt runs that is not parked."""
        return self._slots.busy > 0

    async def find_orphans(self) -> float:
        """Runs one round of the loop that requeues orphaned attempts; needs no free slot."""
        node_id, _ = self._identity()
        # A claim in progress is not known yet, however long ago its first statement ran.
        for end in await self.orphans.find(node_id, known=lambda job_id: self._claiming or self.knows(job_id)):
            self._finisher.put(end)
        return FIND_SECONDS

    async def _room(self) -> int:
        """Returns the number of jobs to claim; waits until there is room for one."""
        while True:
            room = self._prefetch.room(self._slots.spare)
            if self._closed_for is not None or room > 0:
                return room
            self._freed.clear()
            await self._freed.wait()

    def _free_processes(self) -> int:
        """Returns the number of idle processes that no claimed job waits for."""
        return self._processes.available - self._attempts.in_processes - self._prefetch.count(self._in_processes)

    def identity(self) -> tuple[UUID, str, int]:
        """Returns the node id, the event source and the version of the known claim restrictions."""
        return (*self._identity(), self._claimer.version)

    def may_start(self, job: NewJob) -> bool:
        """Returns True if no known claim restriction applies to jobs like this one."""
        return self._claimer.may_start(job.lane)

    def reserve(self, wanted: int) -> int:
        """Reserves up to `wanted` slots; none while ready jobs wait to be claimed."""
        busy = self._closed_for is not None or self._claimer.may_find_jobs
        if busy or self._finisher.waiting >= UNRECORDED_LIMIT:
            return 0
        held = max(0, min(wanted, self._prefetch.spare(self._slots.spare)))
        self._slots.reserved += held
        return held

    def start(self, jobs: Sequence[ClaimedJob]) -> None:
        """Runs jobs that are recorded as running here, in reserved slots."""
        self._slots.reserved -= len(jobs)
        self._accept(jobs, spare=self._closed_for is None)

    def release_slots(self, reserved: int) -> None:
        """Releases reserved slots that are not used."""
        self._slots.reserved -= reserved
        self._freed.set()

    def response_lost(self) -> None:
        """Looks for orphaned attempts: after a lost response, or on another server, where ends may be missing."""
        self.orphans.suspect()

    def _show(self) -> None:
        self._metrics.slots_busy.set(self._slots.busy)
        self._metrics.waiting.set(len(self._parked))

    @property
    def busy_slots(self) -> int:
        """Number of slots in use."""
        return self._slots.busy

    def knows(self, job_id: UUID) -> bool:
        """Returns True if this job runs here, waits for a slot, or waits for its end to be recorded."""
        return job_id in self._attempts or job_id in self._prefetch or job_id in self._finisher

    def _accept(self, jobs: Sequence[ClaimedJob], *, spare: bool = True) -> None:
        """Starts claimed jobs in free slots, or prefetches them; requeues those that an error kept out."""
        try:
            self._prefetch.put(jobs)
            if spare:
                self._fill_slots()
            else:
                self._empty_prefetch(self._closed_for or SHUT_DOWN)
            if jobs:
                self._wake_watch()
            self._freed.set()
            self._show()
        except BaseException as error:  # noqa: BLE001  # they are leased to this node: no other node would recover them
            self._ends.note(error)
            for claimed in jobs:
                if not self.knows(claimed.job_id):
                    self._ends.put(claimed, Interrupted("the node could not start it"))

    def _slot_freed(self) -> None:
        self._freed.set()
        self._fill_slots()

    def _fill_slots(self) -> None:
        while self._parked.returning and self._slots.free > 0:
            self._parked.resume_next()
        while self._slots.free > 0 and self._prefetch and self._bursts.may_start() and (job := self._prefetch.take()):
            self._start(job)

    def _start(self, claimed: ClaimedJob) -> None:
        """Starts the task of an attempt."""
        try:
            loop = asyncio.get_running_loop()
            handler = self._registry[claimed.type]
            attempt = Attempt(claimed, handler, self._reports)
            attempt.recorded_deadline = loop.time() + claimed.timeout_seconds
            context = self._spans.tracing.attempt_context()  # first: an error must not leave a coroutine behind
            attempt.task = loop.create_task(self._run(attempt), context=context)
            self._attempts[claimed.job_id] = attempt
        except BaseException as error:  # noqa: BLE001  # it is not prefetched any more and does not run: it has ended
            self._ends.put_error(claimed, error)

    async def _run(self, attempt: Attempt) -> None:
        """Runs an attempt to its end, passes the end on, and frees the slot."""
        try:
            if (span := self._spans.begin(attempt)) is None:
                outcome = await self._ended(attempt)
            else:
                outcome = await self._ended_in(span, attempt)
            self._ends.put(attempt.claimed, outcome)
        except BaseException as error:  # noqa: BLE001  # else the job would stay running and its slot taken
            self._ends.put_error(attempt.claimed, error)
        finally:
            job_id = attempt.claimed.job_id
            if job_id in self._attempts and self._attempts[job_id] is attempt:  # no call, which could fail
                del self._attempts[job_id]
            try:
                self._forget(attempt)
            except BaseException as error:  # noqa: BLE001  # the slot is free, and others go on
                self._ends.note(error, attempt.claimed)
                self._freed.set()

    async def _ended_in(self, span: AttemptSpan, attempt: Attempt) -> Outcome:
        """Returns the outcome of an attempt, whose span is the current one meanwhile."""
        with span.current():
            outcome = await self._ended(attempt)
        self._spans.end(span, attempt.claimed, outcome)
        return outcome

    async def _ended(self, attempt: Attempt) -> Outcome:
        """Returns the outcome of an attempt, after its last checkpoint is recorded."""
        time = asyncio.get_running_loop().time
        began = time()
        if attempt.claimed.marks & _COMPENSATING:
            outcome = await run_compensation(attempt, self._executors.call)
        else:
            outcome = await run_attempt(attempt, self._executors.call, result_limit=self._result_limit)
            if attempt.own_steps is not None:
                outcome = await settle(attempt, attempt.own_steps, outcome)
        self._prefetch.observe(time() - began)
        if attempt.recording is not None:
            await attempt.wait_for_checkpoint(outcome)
        return outcome

    def _forget(self, attempt: Attempt) -> None:
        """Frees what an ended attempt used."""
        if self._parked.waiting_parts:
            self._parked.remove(attempt)
        if attempt.handler.isolation == "process":
            self._wake_claim()
        self._slot_freed()

    def note_ready(self, lane: Lane, oldest: UUID) -> None:
        """Notes that this lane has new jobs, none older than `oldest`."""
        self._claimer.lanes.note(lane, oldest)

    def cancel(self, job_id: UUID) -> None:
        """Stops the handler of this job, if it runs here. A late request does not stop a compensation."""
        if (attempt := self._attempts.get(job_id)) and attempt.claimed.marks & _COMPENSATING:
            return
        if attempt := self._attempts.get(job_id):
            attempt.stop(Cancelled())
        elif claimed := self._prefetch.take_one(job_id):
            late = claimed.marks & _COMPENSATING
            self._ends.put(claimed, Interrupted("a late cancel request") if late else Cancelled())

    async def watch(self) -> float:
        """Runs one round of the watch loop: stops attempts past their deadline. One timer serves all attempts."""
        now = asyncio.get_running_loop().time()
        self._attempts.stop_late(now)
        self._deadlines.collect_moved(self._attempts.values(), now)
        for claimed in self._prefetch.take_stale():
            self._ends.put(claimed, Interrupted("waited too long for a slot"))
        self._show()
        return WATCH_SECONDS if self._attempts else IDLE_WATCH_SECONDS

    def stop_all(self, why: Outcome) -> None:
        """Stops all attempts, and gives up prefetched jobs."""
        self._empty_prefetch(why)
        self._attempts.stop_all(why)

    def stop_claiming(self, why: Interrupted = SHUT_DOWN) -> None:
        """Lets the current round of claims finish, as its jobs still run here; requeues prefetched jobs."""
        self._closed_for = why
        self._processes.draining = True
        self._empty_prefetch(why)
        self._freed.set()

    @asynccontextmanager
    async def closed(self, why: Interrupted) -> AsyncIterator[int]:
        """Interrupts all attempts, and claims nothing while the block runs. Yields the number of the interrupted ones,
        which are requeued without being counted.
        """
        self.stop_claiming(why)
        try:
            while self._claiming or self._slots.reserved:
                self._freed.clear()
                await self._freed.wait()
            yield await self._interrupt_all(why)
        finally:
            self._closed_for = None
            self._processes.draining = False
            self._in_processes = in_processes(self._registry)
            self._freed.set()
            self._wake_claim()

    def _empty_prefetch(self, why: Outcome) -> None:
        while claimed := self._prefetch.take():
            self._ends.put(claimed, why)

    async def drain(self, grace_seconds: float) -> int:
        """Waits for running attempts, at most `grace_seconds`; then interrupts the others and parked ones, which are
        requeued without being counted. Returns their number. The claim loop must have ended.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._nothing_runs()
        return await self._interrupt_all(SHUT_DOWN)

    async def _interrupt_all(self, why: Interrupted) -> int:
        """Interrupts all attempts, and leaves those behind that do not stop. Returns their number."""
        left = len(self._attempts)
        self.stop_all(why)
        for attempt in await self._attempts.left_after(LAST_CANCEL_SECONDS):
            self._abandon(attempt, why)
        return left

    async def _nothing_runs(self) -> None:
        """Returns once no attempt has a slot and no submission in progress may start one here."""
        while self._slots.reserved or self._slots.busy > 0:
            self._freed.clear()
            await self._freed.wait()

    def _abandon(self, attempt: Attempt, why: Interrupted) -> None:
        """Leaves a handler behind that does not stop: its lease token keeps it from recording anything."""
        job_id = str(attempt.claimed.job_id)
        log.warning(f"handler of job {job_id} did not stop; left behind", action="handler_abandoned", job_id=job_id)
        self._ends.put(attempt.claimed, why)
