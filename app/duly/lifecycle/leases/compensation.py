"""Compensates the steps of jobs that workers over HTTP run, by the jobs that the workers named for it.

Such an attempt is claimed like any other, by a poll of a worker of its type, but is kept on the node: the node submits
the compensating jobs one after another, the newest step first, and waits for each. They run as all jobs do. If the node
is lost, the lease of the attempt expires, and the next attempt finds them.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from duly.domain.database_clock import DatabaseClock
from duly.domain.events import Status
from duly.domain.ids import child_id
from duly.domain.job import ClaimedJob, JobView, Mark, NewJob
from duly.domain.json_reader import read_json
from duly.domain.lease_id import Lease
from duly.domain.outcome import (
    COMPENSATION_FAILED,
    AttemptFacts,
    Compensated,
    Failed,
    Interrupted,
    Outcome,
    decide,
)
from duly.domain.retry import RetryPolicy
from duly.errors import DulyError, LeaseLost
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.end.attempt_log import log_end
from duly.lifecycle.end.finish import Finisher
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.leases.heartbeats import LeaseExtender
from duly.lifecycle.leases.poll_rounds import lease_of
from duly.lifecycle.read.wait import wait_until
from duly.lifecycle.run.child_jobs import ChildSubmission, ChildSubmitter
from duly.lifecycle.run.compensation import CompensationRecorder
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.requested_submission import child_digest
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model
from duly.store.ledger.compensation import CompensatedStep
from duly.store.postgres.database import Database, DatabaseError
from duly.store.read.job_view import view_job
from duly.store.read.steps import NamedCompensation, read_compensations
from duly.store.ties.child_jobs import read_lineage

log = structlog.stdlib.get_logger("duly.compensation")

# Delay until the next attempt where this one cannot go on now.
AGAIN_SECONDS = 5.0
DEEPEST = 512
_COMPENSATING = int(Mark.COMPENSATING)  # a flag's own `&` takes longer


class Parts(NamedTuple):
    """Parts of the node that compensation uses."""

    database: Database
    hub: Hub
    clock: DatabaseClock
    builder: JobBuilder
    types: KnownTypes
    submitter: ChildSubmitter
    recorder: CompensationRecorder
    extender: LeaseExtender
    finisher: Finisher
    policy_of: Callable[[int, str], Awaitable[RetryPolicy]]


class LeaseCompensator:
    """Runs attempts that compensate, on the node that claimed them for a worker."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, jobs: Iterable[ClaimedJob]) -> list[ClaimedJob]:
        """Starts those of these attempts that compensate. Returns the others, which are for the worker."""
        others = []
        for job in jobs:
            if not job.marks & _COMPENSATING:
                others.append(job)
                continue
            task = asyncio.create_task(self._run(job), name=f"compensation of {job.job_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return others

    async def close(self) -> None:
        """Interrupts all attempts; their jobs return to their queues."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _run(self, job: ClaimedJob) -> None:
        """Runs an attempt to its end, and passes the end on, unless its lease is lost."""
        holding = asyncio.create_task(self._hold(job))
        working = asyncio.create_task(self._outcome(job))
        try:
            await asyncio.wait((holding, working), return_when=asyncio.FIRST_COMPLETED)
            if working.done() and (outcome := working.result()) is not None:
                await self._end(job, outcome)
        except asyncio.CancelledError:
            await self._end(job, Interrupted("the node was shut down"))
        except Exception:
            # Its lease expires, and the next attempt goes on.
            ids = {"job_id": str(job.job_id), "job_type": job.type}
            log.exception("internal error in a compensation", action="attempt_error", **ids)
        finally:
            holding.cancel()
            working.cancel()

    async def _hold(self, job: ClaimedJob) -> None:
        """Extends the lease of an attempt until it is lost."""
        lease, expires_at = Lease.of(job), lease_of(job).expires_at
        while True:
            left = (expires_at - self._parts.clock.now()).total_seconds()
            await asyncio.sleep(max(0.1, left / 3))
            try:
                expires_at = (await self._parts.extender.extend(lease)).expires_at
            except LeaseLost:
                return
            except (DulyError, DatabaseError):
                continue

    async def _outcome(self, job: ClaimedJob) -> Outcome | None:
        """Compensates the steps that are left. Returns None if the lease was lost."""
        try:
            async with self._parts.database.connection() as connection:
                left = await read_compensations(connection, job.tenant_id, job.job_id)
            for step in left:
                if (failed := await self._undo(job, step)) is not None:
                    return failed
        except LeaseLost:
            return None
        except (DulyError, ParametersInvalid) as error:
            return Failed(COMPENSATION_FAILED, str(error), "A compensating job was refused.", retryable=True)
        except DatabaseError as error:
            return Interrupted(f"compensation: {error.line}", AGAIN_SECONDS)
        return Compensated()

    async def _undo(self, job: ClaimedJob, step: NamedCompensation) -> Outcome | None:
        """Runs the job that undoes a step, and records that. Returns the outcome of the attempt if it cannot."""
        named = read_json(step.compensation.encode(), max_depth=DEEPEST)
        if not isinstance(named, dict):  # a function of a handler in Python
            return Interrupted(f'step "{step.name}" is undone by a handler', AGAIN_SECONDS)
        undoing = await self._job(job, step, named)
        [accepted] = await self._parts.submitter.submit(
            ChildSubmission(job.tenant_id, job.job_id, job.token, [undoing])
        )
        ended = await self._end_of(job.tenant_id, accepted.job_id)
        if ended is None:
            return Interrupted("the node was shut down")
        if ended.status is not Status.COMPLETED:
            message = f'step "{step.name}": the job {ended.job_id} that undoes it {_ENDED[ended.status]}'
            return Failed(COMPENSATION_FAILED, f"{message}.", message, retryable=False)
        data = json.dumps({"step": step.name, "attempts": ended.attempt, "jobId": str(ended.job_id)})
        if not await self._parts.recorder.record(CompensatedStep(job.job_id, job.token, step.name, data)):
            raise LeaseLost.of(job.job_id)
        return None

    async def _job(self, job: ClaimedJob, step: NamedCompensation, named: dict[str, Any]) -> NewJob:
        """Returns the job that undoes a step. It is no child, because it must not be cancelled with its parents."""
        async with self._parts.database.connection() as connection:
            lineage = await read_lineage(connection, job.tenant_id, job.job_id)
        if not self._parts.types.has_loaded(job.tenant_id):
            await self._parts.types.load([job.tenant_id])
        correlation_id = lineage.correlation_id or str(job.job_id)
        origin = SubmissionOrigin(job.tenant_id, correlation_id, lineage.traceparent, digest=child_digest(named))
        job_id = child_id(job.job_id, f"compensation {step.sequence} {step.name}")
        return self._parts.builder.job(read_model(Submission, named), origin, job_id=job_id)

    async def _end_of(self, tenant_id: int, job_id: UUID) -> JobView | None:
        """Waits for the end of a job; None if the node shuts down before."""

        async def look() -> JobView | None:
            async with self._parts.database.connection() as connection:
                view = await view_job(connection, tenant_id, job_id)
            return view if view is not None and view.ended else None

        with self._parts.hub.watch(job_id) as watch:
            return await wait_until(watch, look, over=lambda: self._parts.hub.closing)

    async def _end(self, job: ClaimedJob, outcome: Outcome) -> None:
        """Decides what an outcome means for the job, and passes it to the finisher."""
        facts = AttemptFacts(job.job_id, job.token, job.attempt, job.max_attempts, job.crashes, job.marks)
        policy = await self._parts.policy_of(job.tenant_id, job.type)
        end = decide(outcome, facts, policy=policy, random=random.random)
        self._parts.finisher.put(end)
        log_end(outcome, end, job_type=job.type, attempt=job.attempt)


_ENDED = {Status.FAILED: "failed", Status.CANCELLED: "was cancelled"}
