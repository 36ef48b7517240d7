"""Child jobs of a handler under test: they are kept, and end as the test specifies."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from duly.domain.ids import child_id, new_job_id
from duly.handlers.child_jobs import JobEnd, RecordedBatch
from duly.handlers.exceptions import Fail, HandlerError
from duly.handlers.submit_options import ChildRequest
from duly.lifecycle.submit.submission_errors import REFUSALS
from duly.worker.child_submission_reader import read_child_submission, refusal_error

JSON_DEPTH = 64


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """Child job that the handler submitted, with its parameters as JSON and its options as given."""

    job_id: UUID
    type: str
    parameters: Any
    options: Mapping[str, Any]


class GivenChildren:
    """Child jobs with given results; implements `duly.handlers.child_jobs.ChildBackend`.

    Args:
        parent_id: ID of the job under test.
        given: result by job type, or a function that returns it for the parameters. An exception, given or raised, is
            a failure.
        batch: results of the jobs of any batch that the handler did not submit itself.
    """

    def __init__(self, parent_id: UUID, *, given: Mapping[str, Any], batch: Sequence[Any] | None) -> None:
        self._parent_id = parent_id
        self._given = given
        self._batch = batch
        self._batches: dict[UUID, list[UUID]] = {}
        self.submitted: dict[UUID, SubmittedJob] = {}

    async def submit(self, request: ChildRequest, *, name: str) -> UUID:
        return self._take(request, f'job.submit("{request.type}")', "", child_id(self._parent_id, name))

    async def submit_many(
        self, requests: Sequence[ChildRequest], *, name: str, batch_name: str | None
    ) -> RecordedBatch:
        del batch_name
        batch_id = child_id(self._parent_id, f"{name} batch")
        job_ids = [
            self._take(one, "job.submit_many", f"jobs[{index}]", child_id(self._parent_id, name, index))
            for index, one in enumerate(requests)
        ]
        self._batches[batch_id] = job_ids
        return RecordedBatch(batch_id, job_ids)

    def _take(self, request: ChildRequest, what: str, where: str, job_id: UUID) -> UUID:
        try:
            submission = read_child_submission(request, max_depth=JSON_DEPTH).submission
        except REFUSALS as error:
            raise refusal_error(what, {where: error}) from None
        self.submitted[job_id] = SubmittedJob(job_id, request.type, submission.parameters, request.options)
        return job_id

    async def ends(self, job_ids: Sequence[UUID]) -> AsyncIterator[JobEnd]:
        for job_id in job_ids:
            yield self._end(self.submitted[job_id])

    async def ends_of_batch(self, batch_id: UUID) -> AsyncIterator[JobEnd]:
        if batch_id in self._batches:
            async for end in self.ends(self._batches[batch_id]):
                yield end
            return
        if self._batch is None:
            raise HandlerError(f"job.batch_results: batch {batch_id} does not exist; pass its results as batch=[...]")
        for value in self._batch:
            yield _as_end(new_job_id(), value)

    def _end(self, job: SubmittedJob) -> JobEnd:
        if job.type not in self._given:
            raise HandlerError(f'no result for child jobs of type "{job.type}"; pass children={{"{job.type}": result}}')
        value = self._given[job.type]
        try:
            return _as_end(job.job_id, value(job.parameters) if callable(value) else value)
        except Exception as error:  # noqa: BLE001  # any exception is the failure of the child job
            return _as_end(job.job_id, error)


def _as_end(job_id: UUID, value: Any) -> JobEnd:
    if not isinstance(value, Exception):
        return JobEnd(job_id, "completed", json.loads(to_json(value)), None)
    code = value.code if isinstance(value, Fail) else "TASK_FAILED"
    details = {"reason": str(value), "retryable": False, "attempt": 1}
    return JobEnd(job_id, "failed", None, {"code": code, "message": str(value), "details": details})
