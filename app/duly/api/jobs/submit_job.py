"""Submission of one job: `POST /api/v1/jobs`, and `PUT /api/v1/jobs/{jobId}` under an id of the client's."""

from datetime import datetime, timedelta
from uuid import RFC_4122, UUID

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import AcceptedBody, JobBody, error_responses
from duly.api.jobs.submission_headers import note_sent
from duly.api.jobs.submission_reader import reader_of
from duly.api.jobs.submission_response import send_accepted, send_existing
from duly.api.jobs.submission_steps import EndpointResponse, accept, begin_submission, submission_document
from duly.api.server.load_shedding import leave
from duly.domain.ids import made_at
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError

PATH = "/api/v1/jobs"
PREFIX = f"{PATH}/"
# An id's time says in which partition its job is kept: one from last year would be deleted at once.
FARTHEST = timedelta(hours=24)
NEAR = "must have a time within 24 hours of now"
router = APIRouter(prefix=PATH, tags=["jobs"])


@router.post(
    "",
    operation_id="submitJob",
    summary="Submit a job",
    status_code=202,
    response_model=AcceptedBody,
    responses=error_responses(
        *(400, 409, 413, 415, 422, 429, 503),
        also={200: {"model": JobBody, "description": "The job ended within the time of `Prefer: wait`"}},
    ),
    openapi_extra=submission_document(),
)
async def submit_job_route(request: Request) -> Response:
    """Records a job. The response is sent once the job is durable."""
    return EndpointResponse(submit_job, request)


async def submit_job(scope: Scope, receive: Receive, send: Send) -> None:
    """Submits a job, as bare ASGI."""
    node = await begin_submission(scope)
    job = reader_of(scope).read(scope)
    accepted = await accept(node, job)
    note_sent(scope, (job,), job_id=accepted.job_id)
    leave(scope)
    await send_accepted(accepted, scope, receive, send)


@router.put(
    "/{jobId}",
    operation_id="submitJobWithId",
    summary="Submit a job under your own id",
    status_code=202,
    response_model=AcceptedBody,
    responses=error_responses(
        *(400, 404, 409, 413, 415, 422, 429, 503),
        also={
            200: {
                "model": JobBody,
                "description": "The same submission was recorded before, or the job ended within the time of "
                "`Prefer: wait`",
            }
        },
    ),
    openapi_extra=submission_document(),
)
async def submit_job_with_id_route(request: Request, jobId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Records a job under an id of yours: a UUID of version 7 whose time is within 24 hours of now.

    Repeating the same submission returns the job in its current state.
    """
    del jobId  # the endpoint reads it from the path
    return EndpointResponse(submit_job_with_id, request)


async def submit_job_with_id(scope: Scope, receive: Receive, send: Send) -> None:
    """Submits a job under the id in the path, as bare ASGI."""
    node = await begin_submission(scope)
    job_id = job_id_in_path(scope["path"].removeprefix(PREFIX))
    if refused := id_refusal(job_id, now=node.clock.now()):
        raise Invalid.at([PathError("jobId", refused)])
    job = reader_of(scope).read_with_id(job_id, scope)
    accepted = await accept(node, job)
    note_sent(scope, (job,), job_id=accepted.job_id)
    respond = send_existing if accepted.standing else send_accepted
    await respond(accepted, scope, receive, send)


def id_refusal(job_id: UUID, *, now: datetime) -> str | None:
    """Returns why a job may not have this id; None if it may."""
    if job_id.version != 7 or job_id.variant != RFC_4122:  # noqa: PLR2004  # RFC 9562, section 5.7
        return "must be a UUID of version 7"
    try:
        made = made_at(job_id)
    except (ValueError, OverflowError):  # a year that Python's calendar does not have
        return f"{NEAR}, not after the year 9999"
    return f"{NEAR}, not {rfc3339(made)}" if abs(made - now) > FARTHEST else None
