"""Child jobs of the attempts on this node: submits them, waits for them and reads their results."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from duly.domain.events import EventKind
from duly.domain.ids import SMALLEST, child_id
from duly.domain.job import Accepted, NewBatch, NewJob
from duly.errors import CancelRequested, DulyError, JobExists, LeaseLost
from duly.handlers.child_jobs import JobEnd, RecordedBatch
from duly.handlers.exceptions import HandlerError
from duly.handlers.steps import Steps
from duly.handlers.submit_options import ChildRequest
from duly.lifecycle.cluster.hub import Hub
from duly.lifecycle.job_types.known_types import KnownTypes
from duly.lifecycle.read.wait import wait_until
from duly.lifecycle.run.child_jobs import ChildSubmission, ChildSubmitter
from duly.lifecycle.run.child_results import ChildResultReader
from duly.lifecycle.submit.job_builder import JobBuilder
from duly.lifecycle.submit.submission_errors import REFUSALS
from duly.lifecycle.submit.submission_model import SubmissionOrigin
from duly.store.ledger.job_results import Ended
from duly.store.postgres.database import RecordRefused
from duly.telemetry.tracing import SendSpan, Tracing
from duly.worker.attempt import Attempt
from duly.worker.child_submission_reader import read_child_submission, refusal_error
from duly.worker.parked_attempts import ParkedAttempts
from duly.worker.reports import as_long_as_it_takes, lost

MOST_JOBS = 10_000  # jobs in one call
WINDOW = 500  # jobs in one query
PAGE = 20  # results held at a time: each may be large
LONGEST_LOOK_SECONDS = 5.0
# A handler with steps waits so long in memory: parking it for short jobs would cost more than they do.
PARK_AFTER_SECONDS = 1.0
# Jobs for which a job is parked. The last ones: when they have ended, those before them have ended as a rule.
MOST_AWAITED = 100
OTHERWISE = "the handler did not submit the same jobs as in its last attempt"
STATUSES = {EventKind.COMPLETED: "completed", EventKind.FAILED: "failed", EventKind.CANCELLED: "cancelled"}


@dataclass(frozen=True, slots=True)
class ChildJobParts:
    """Parts that the child jobs of all attempts on a node share."""

    submitter: ChildSubmitter
    results: ChildResultReader
    builder: JobBuilder
    types: KnownTypes
    hub: Hub
    parked: ParkedAttempts
    json_depth: int
    tracing: Tracing


class AttemptChildren:
    """Child jobs of one attempt on this node; see `duly.handlers.child_jobs.ChildBackend`."""

    def __init__(self, attempt: Attempt, *, parts: ChildJobParts) -> None:
        self._attempt = attempt
        self._parts = parts
        self._tenant_id = attempt.claimed.tenant_id

    async def submit(self, request: ChildRequest, *, name: str) -> UUID:
        """Records a child job; see `ChildBackend`.

        Raises:
            HandlerError: it is invalid or refused, or the attempt may no longer submit jobs.
        """
        what = f'job.submit("{request.type}")'
        await self._load_types()
        send = self._send()
        try:
            job = self._job(request, job_id=child_id(self._attempt.claimed.job_id, name), send=send)
        except REFUSALS as error:
            raise refusal_error(what, {"": error}) from None
        [accepted] = await self._record(what, [job], batch=None, send=send)
        return accepted.job_id

    async def submit_many(
        self, requests: Sequence[ChildRequest], *, name: str, batch_name: str | None
    ) -> RecordedBatch:
        """Records a batch of child jobs; see `ChildBackend`.

        Raises:
            HandlerError: one is invalid or refused, or the attempt may no longer submit jobs.
        """
        what = "job.submit_many"
        if not 1 <= len(requests) <= MOST_JOBS:
            raise HandlerError(f"{what}: 1 to {MOST_JOBS:,} jobs, not {len(requests):,}")
        await self._load_types()
        parent_id, send = self._attempt.claimed.job_id, self._send()
        batch = NewBatch(self._tenant_id, child_id(parent_id, f"{name} batch"), batch_name)
        jobs: list[NewJob] = []
        refused: dict[str, Exception] = {}
        for index, request in enumerate(requests):
            try:
                job_id = child_id(parent_id, name, index)
                together = [len(requests), batch_name]
                jobs.append(self._job(request, job_id=job_id, batch=batch, together=together, send=send))
            except REFUSALS as error:
                refused[f"jobs[{index}]"] = error
            if index % WINDOW == WINDOW - 1:
                await asyncio.sleep(0)
        if refused:
            raise refusal_error(what, refused)
        accepted = await self._record(what, jobs, batch=batch, send=send)
        return RecordedBatch(batch.batch_id, [one.job_id for one in accepted])

    async def _load_types(self) -> None:
        """Reads the declared job types of the tenant, unless they are loaded."""
        if not self._parts.types.has_loaded(self._tenant_id):
            await as_long_as_it_takes(self._attempt, lambda: self._parts.types.load([self._tenant_id]))

    def _job(
        self,
        request: ChildRequest,
        *,
        job_id: UUID,
        send: SendSpan | None,
        batch: NewBatch | None = None,
        together: object = None,
    ) -> NewJob:
        """Returns the job of a request, with the correlation id and trace of its parent."""
        parent = self._attempt.claimed
        submission, digest = read_child_submission(request, max_depth=self._parts.json_depth, together=together)
        origin = SubmissionOrigin(
            parent.tenant_id,
            parent.correlation_id or str(parent.job_id),
            parent.traceparent if send is None else send.traceparent,
            digest=digest,
            parent_id=parent.job_id,
        )
        batch_id = batch.batch_id if batch is not None else None
        return self._parts.builder.job(submission, origin, job_id=job_id, batch_id=batch_id)

    def _send(self) -> SendSpan | None:
        """Begins the span of a submission, if the trace of the job is sampled."""
        return self._parts.tracing.send_child(self._attempt.claimed.traceparent)

    async def _record(
        self, what: str, jobs: Sequence[NewJob], *, batch: NewBatch | None, send: SendSpan | None
    ) -> list[Accepted]:
        """Records jobs, in a span if their trace is sampled."""
        try:
            accepted = await self._recorded(what, jobs, batch=batch)
        except HandlerError:
            if send is not None:
                send.refused("SUBMISSION_REFUSED")
            raise
        if send is not None and any(one.fresh for one in accepted):  # else an earlier attempt submitted them
            send.sent(jobs)
        return accepted

    async def _recorded(self, what: str, jobs: Sequence[NewJob], *, batch: NewBatch | None) -> list[Accepted]:
        """Records jobs, and turns refusals into errors of the handler."""
        parent = self._attempt.claimed
        submission = ChildSubmission(parent.tenant_id, parent.job_id, parent.token, jobs, batch)
        try:
            return await as_long_as_it_takes(self._attempt, lambda: self._parts.submitter.submit(submission))
        except LeaseLost:
            await lost(self._attempt)
            raise HandlerError(f"{what}: the attempt has lost its lease") from None
        except CancelRequested:
            raise HandlerError(f"{what}: the job is being cancelled") from None
        except JobExists:
            raise HandlerError(f"{what}: {OTHERWISE}") from None
        except (DulyError, RecordRefused) as error:
            raise refusal_error(what, {"": error}) from None

    async def ends(self, job_ids: Sequence[UUID]) -> AsyncIterator[JobEnd]:
        """Yields the ends of these jobs in order, once all have ended."""
        await self._until_all_ended(job_ids)
        for start in range(0, len(job_ids), PAGE):
            page = job_ids[start : start + PAGE]
            ended = await self._read(page)
            while len(ended) < len(set(page)):  # one was redriven
                await self._until_all_ended(page)
                ended = await self._read(page)
            for job_id in page:
                yield _end(ended[job_id])

    async def _read(self, job_ids: Sequence[UUID]) -> dict[UUID, Ended]:
        return await as_long_as_it_takes(self._attempt, lambda: self._parts.results.read(self._tenant_id, job_ids))

    async def ends_of_batch(self, batch_id: UUID) -> AsyncIterator[JobEnd]:
        """Yields the ends of a batch's jobs in order of submission."""
        results = self._parts.results
        if not await as_long_as_it_takes(self._attempt, lambda: results.knows_batch(self._tenant_id, batch_id)):
            raise HandlerError(f"job.batch_results: no batch has the id {batch_id}")
        members_after = partial(results.members_after, self._tenant_id, batch_id, limit=WINDOW)
        after = SMALLEST
        while members := await as_long_as_it_takes(self._attempt, partial(members_after, after)):
            after = members[-1]
            async for end in self.ends(members):
                yield end

    async def _until_all_ended(self, job_ids: Sequence[UUID]) -> None:
        """Waits for one job after the other, so that only one is followed at a time."""
        index = await self._first_unended(job_ids, 0)
        if index is None:
            return
        async with self._parts.parked.parked(self._attempt):
            steps = self._attempt.own_steps
            if steps is None or not steps.used:
                await self._until_each_ended(job_ids, index)
            else:
                await self._until_ended_or_parked(steps, job_ids, index)

    async def _until_ended_or_parked(self, steps: Steps, job_ids: Sequence[UUID], index: int) -> None:
        """Waits for the jobs from `index` on. Where the handler waits for nothing else, the attempt parks after a
        while: its steps are recorded, so the handler can be called again.
        """
        async with steps.child_wait() as suspension:
            waiting = asyncio.ensure_future(self._until_each_ended(job_ids, index))
            waiting.add_done_callback(_retrieve)
            try:
                await asyncio.wait({waiting}, timeout=PARK_AFTER_SECONDS)
                if not waiting.done() and (awaited := await self._last_unended(job_ids[index:])):
                    await suspension.wait_for_children(waiting, partial(self._attempt.park, (), awaited))
                await waiting
            finally:
                waiting.cancel()

    async def _until_each_ended(self, job_ids: Sequence[UUID], index: int | None) -> None:
        while index is not None:
            await self._until_ended(job_ids[index])
            index = await self._first_unended(job_ids, index + 1)

    async def _last_unended(self, job_ids: Sequence[UUID]) -> tuple[UUID, ...]:
        """Returns the last of these jobs that have not ended."""
        found: list[UUID] = []
        last_unended = partial(self._parts.results.last_unended, self._tenant_id)
        for end in range(len(job_ids), 0, -WINDOW):
            look = partial(last_unended, job_ids[max(end - WINDOW, 0) : end], limit=MOST_AWAITED - len(found))
            found += await as_long_as_it_takes(self._attempt, look)
            if len(found) == MOST_AWAITED:
                break
        return tuple(found)

    async def _first_unended(self, job_ids: Sequence[UUID], start: int) -> int | None:
        """Returns the index, from `start` on, of the first job that has not ended."""
        first_unended = partial(self._parts.results.first_unended, self._tenant_id)
        for first in range(start, len(job_ids), WINDOW):
            window = job_ids[first : first + WINDOW]
            index = await as_long_as_it_takes(self._attempt, partial(first_unended, window))
            if index is not None:
                return first + index
        return None

    async def _until_ended(self, job_id: UUID) -> None:
        """Waits until one job has ended."""
        parts, attempt = self._parts, self._attempt
        with parts.hub.watch(job_id) as watch, attempt.on_stop(watch.notify):
            ended = await wait_until(
                watch,
                lambda: parts.results.look(self._tenant_id, job_id),
                over=lambda: attempt.cancelled,
                longest_look_seconds=LONGEST_LOOK_SECONDS,
            )
        if ended is None:
            raise HandlerError("the attempt was stopped while it waited for another job")


def _retrieve(waiting: asyncio.Future[None]) -> None:
    """Retrieves the exception of a wait that was abandoned, so that it is not logged."""
    if not waiting.cancelled():
        waiting.exception()


def _end(ended: Ended) -> JobEnd:
    data = json.loads(ended.data) if ended.data is not None else None
    status = STATUSES[ended.kind]
    return (
        JobEnd(ended.job_id, status, data, None) if status == "completed" else JobEnd(ended.job_id, status, None, data)
    )
