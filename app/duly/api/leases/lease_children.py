"""Child jobs of attempts on workers over HTTP: `POST /api/v1/leases/{leaseId}/jobs`."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.batches.batch_errors import at_index, with_index
from duly.api.contract.openapi_parts import header_parameters, json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_headers import key_text, traceparent_of
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submission_steps import load_job_types
from duly.api.leases.lease_paths import PATH, lease_of
from duly.api.leases.models import LeaseChildrenBody, LeaseChildrenRequest
from duly.api.server.scope_values import headers_of, node_of
from duly.domain.ids import child_id
from duly.domain.job import NewBatch, NewJob
from duly.domain.lease_id import Lease
from duly.errors import DulyError, Invalid, JobExists, PathError
from duly.handlers.serialization import ParametersInvalid
from duly.lifecycle.run.child_jobs import ChildSubmission
from duly.lifecycle.submit.requested_submission import child_digest
from duly.lifecycle.submit.submission_model import Submission, SubmissionOrigin
from duly.lifecycle.submit.validate_model import read_model
from duly.store.ties.child_jobs import Lineage, read_lineage

JOBS_AT_A_TIME = 200
KEY = "Names the jobs of this call, for attempts that submit child jobs in several calls."
router = APIRouter(prefix=PATH, tags=["leases"])


@router.post(
    "/{leaseId}/jobs",
    operation_id="submitLeaseJobs",
    summary="Submit child jobs",
    status_code=202,
    response_model=LeaseChildrenBody,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra={**json_body("LeaseChildrenRequest"), "parameters": header_parameters({"Idempotency-Key": KEY})},
)
async def submit_children(request: Request, leaseId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Submits child jobs of an attempt as one batch, all or none.

    The same jobs at the same positions are recorded once, also by later attempts of the job: a retried worker finds the
    children of earlier attempts. Other jobs at these positions get 409 `JOB_EXISTS`; a second call in an attempt
    therefore needs an `Idempotency-Key`.
    """
    lease, value = lease_of(request, leaseId), reader_of(request).json(request)
    submissions = read_model(LeaseChildrenRequest, value).jobs
    name = _name(request)
    batch = NewBatch(lease.tenant_id, child_id(lease.job_id, f"{name} batch"))
    lineage = await _lineage(request, lease)
    send = node_of(request).tracing.send_child(lineage.traceparent)
    if send is not None:
        lineage = lineage._replace(traceparent=send.traceparent)
    jobs = await _jobs(request, lease, lineage, submissions, value=value, name=name, batch=batch)
    job_ids = await _record(request, lease, jobs, batch)
    if send is not None:
        send.sent(jobs)
    body = {"batchId": str(batch.batch_id), "jobIds": job_ids}
    return json_response(orjson.dumps(body), 202)


def _name(request: Request) -> str:
    """Returns the name of the call: its key, or that of the first call without one, as for handlers in Python."""
    key = key_text(headers_of(request))
    return "#0" if key is None else f"={key}"


async def _jobs(  # the parts of a request
    request: Request,
    lease: Lease,
    lineage: Lineage,
    submissions: list[Submission],
    *,
    value: Any,
    name: str,
    batch: NewBatch,
) -> list[NewJob]:
    """Returns the jobs of the request.

    Raises:
        Invalid: some are invalid; each error has the index of its job.
    """
    builder, together = reader_of(request).builder, [len(submissions), None]
    await load_job_types(node_of(request), lease.tenant_id)
    jobs: list[NewJob] = []
    errors: list[PathError] = []
    for index, submission in enumerate(submissions):
        digest = child_digest(value["jobs"][index], together=together)
        origin = SubmissionOrigin(lease.tenant_id, *lineage, digest=digest, parent_id=lease.job_id)
        try:
            job_id = child_id(lease.job_id, name, index)
            jobs.append(builder.job(submission, origin, job_id=job_id, batch_id=batch.batch_id))
        except (DulyError, ParametersInvalid) as error:
            errors += at_index(index, error)
        if index % JOBS_AT_A_TIME == JOBS_AT_A_TIME - 1:
            await asyncio.sleep(0)
    if errors:
        raise with_index(Invalid.at(errors))
    return jobs


async def _lineage(request: Request, lease: Lease) -> Lineage:
    """Returns what the jobs have of their parent: its trace continues at the current span of the worker, or else at
    that of the attempt.
    """
    node = node_of(request)
    async with node.database.connection() as connection:
        lineage = await read_lineage(connection, lease.tenant_id, lease.job_id)
    traceparent = traceparent_of(headers_of(request)) or node.tracing.lease_context(lease) or lineage.traceparent
    return Lineage(lineage.correlation_id or str(lease.job_id), traceparent)


async def _record(request: Request, lease: Lease, jobs: list[NewJob], batch: NewBatch) -> list[str]:
    """Records the jobs, and returns their ids.

    Raises:
        LeaseLost, CancelRequested, JobExists: nothing was recorded.
    """
    submission = ChildSubmission(lease.tenant_id, lease.job_id, lease.token, jobs, batch)
    try:
        accepted = await node_of(request).worker.child_submitter.submit(submission)
    except JobExists:
        raise JobExists(
            "An earlier call submitted other jobs at these positions.",
            reason="Send the same jobs again, or other jobs with an `Idempotency-Key` of their own.",
        ) from None
    return [str(one.job_id) for one in accepted]
