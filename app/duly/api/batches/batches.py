"""Batches: submitting many jobs at once, all or none; reading and cancelling them."""

from collections import Counter
from functools import partial
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.batches.batch_errors import all_ids, batch_refusal
from duly.api.batches.batch_reader import read_jobs_of_batch
from duly.api.contract.openapi_parts import header_parameters
from duly.api.contract.path_ids import id_in_path
from duly.api.contract.response_models import AcceptedBatchBody, BatchBody, error_responses
from duly.api.contract.responses import accepts_query, json_response, time_or_none
from duly.api.jobs.submission_headers import note_sent
from duly.api.jobs.submission_steps import EndpointResponse, admit, begin_submission, refuse_when_draining
from duly.api.server.scope_values import actor_of, node_of, reads_payload, tenant_of
from duly.domain.event_views import error_without_payload
from duly.domain.events import Status
from duly.domain.timestamps import rfc3339
from duly.errors import NotFound
from duly.lifecycle.end.bulk_actions import Author
from duly.lifecycle.submit.submit import AcceptedBatch, BatchRefused
from duly.node import Node
from duly.store.submit.batches import BatchView, read_job_ids, view_batch

PATH = "/api/v1/jobs/batch"
NO_QUERY = "A batch in JSON has no query parameters."
router = APIRouter(tags=["batches"])


def _document() -> dict[str, object]:
    lines = {"type": "string", "description": "One Submission in JSON per line."}
    headers = {
        "Idempotency-Key": "The same key and body within 24 h return the first response again.",
        "X-Correlation-Id": "Stored on all jobs of the batch and on their events.",
        "traceparent": "W3C trace context; passed on to the handlers and to webhooks.",
    }
    name = {"type": "string", "maxLength": 200}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Batch"}},
                "application/x-ndjson": {"schema": lines},
            },
        },
        "parameters": [
            {"name": "name", "in": "query", "required": False, "description": "With NDJSON only.", "schema": name},
            *header_parameters(headers),
        ],
    }


@router.post(
    PATH,
    operation_id="submitBatch",
    summary="Submit a batch of jobs",
    status_code=202,
    response_model=AcceptedBatchBody,
    responses=error_responses(400, 409, 413, 415, 422, 429, 503),
    openapi_extra=_document(),
)
async def submit_batch_route(request: Request) -> Response:
    """Records many jobs, all or none: up to 10,000 in JSON, any number in NDJSON.

    The response is sent once they are durable.
    """
    return EndpointResponse(submit_batch, request)


async def submit_batch(scope: Scope, receive: Receive, send: Send) -> None:
    """Submits a batch in JSON, as bare ASGI."""
    del receive
    node = await begin_submission(scope, no_query=NO_QUERY)
    batch, jobs = await read_jobs_of_batch(scope)
    await admit(node, batch.tenant_id, Counter([job.queue for job in jobs]))
    try:
        accepted = await node.submitter.submit_all(batch, jobs)
    except BatchRefused as error:
        raise batch_refusal(error) from None
    note_sent(scope, jobs)
    job_ids = [job.job_id for job in accepted.jobs] or await _earlier_job_ids(node, batch.tenant_id, accepted)
    await _send_accepted(accepted, job_ids, send)


async def _send_accepted(accepted: AcceptedBatch, job_ids: list[UUID], send: Send) -> None:
    body = orjson.dumps(
        {
            "batchId": str(accepted.batch_id),
            "jobIds": [str(job_id) for job_id in job_ids],
            "status": "pending",
            "createdAt": rfc3339(accepted.created_at),
        }
    )
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"location", f"/api/v1/batches/{accepted.batch_id}".encode()),
    ]
    if accepted.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _earlier_job_ids(node: Node, tenant_id: int, accepted: AcceptedBatch) -> list[UUID]:
    """Returns the job ids of a batch that an earlier request recorded."""
    async with node.database.connection() as connection:
        fresh = await read_job_ids(connection, tenant_id, accepted.batch_id)
    return list(all_ids(iter(fresh), accepted.others))


@router.get(
    "/api/v1/batches/{batchId}",
    operation_id="getBatch",
    summary="Read a batch",
    response_model=BatchBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_batch(request: Request, batchId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Returns a batch with the number of its jobs in each status."""
    return _response(request, await find_batch(node_of(request), tenant_of(request), batchId))


@router.post(
    "/api/v1/batches/{batchId}/cancel",
    operation_id="cancelBatch",
    summary="Cancel a batch",
    response_model=BatchBody,
    responses=error_responses(
        404,
        422,
        503,
        also={202: {"model": BatchBody, "description": "Some jobs are running; their handlers are asked to stop"}},
    ),
    dependencies=[accepts_query()],
)
async def cancel_batch(request: Request, batchId: str) -> Response:  # noqa: N803
    """Cancels all unfinished jobs of a batch. The job that follows the batch (`then`) is submitted nevertheless."""
    node, tenant_id = node_of(request), tenant_of(request)
    refuse_when_draining(node)
    view = await find_batch(node, tenant_id, batchId)
    by = Author(actor_of(request), str(view.batch_id), {})
    await node.bulk_actions.cancel_batch(tenant_id, view, go_on=partial(refuse_when_draining, node), by=by)
    view = await find_batch(node, tenant_id, batchId)
    return _response(request, view, 202 if view.running else 200)


async def find_batch(node: Node, tenant_id: int, text: str) -> BatchView:
    """Returns the batch with the id in a path.

    Raises:
        NotFound: not an id, or the tenant has no batch of this id.
    """
    batch_id = id_in_path(text, "Batch")
    async with node.database.connection() as connection:
        view = await view_batch(connection, tenant_id, batch_id)
    if view is None:
        raise NotFound("Batch not found.")
    return view


def _status(view: BatchView) -> Status:
    """Returns the status of a batch. It has ended once its end is counted, with the job that follows it."""
    if view.completed_at is None or view.ended < view.total:
        return Status.RUNNING if view.running or view.ended else Status.PENDING
    if view.failed:
        return Status.FAILED
    return Status.CANCELLED if view.cancelled else Status.COMPLETED


def batch_members(view: BatchView, *, payload: bool) -> dict[str, object]:
    """Returns the members of a batch, for orjson; without `payload`, without the texts of an error."""
    then_error = view.then_error if payload else error_without_payload(view.then_error)
    return {
        "batchId": str(view.batch_id),
        "name": view.name,
        "status": _status(view),
        "total": view.total,
        "pending": view.total - view.running - view.ended,
        "running": view.running,
        "completed": view.completed,
        "failed": view.failed,
        "cancelled": view.cancelled,
        "thenJobId": str(view.then_job_id) if view.then_job_id is not None else None,
        "thenError": orjson.Fragment(then_error) if then_error is not None else None,
        "createdAt": rfc3339(view.created_at),
        "completedAt": time_or_none(view.completed_at),
    }


def _response(request: Request, view: BatchView, status: int = 200) -> Response:
    body = orjson.dumps(batch_members(view, payload=reads_payload(request)))
    return json_response(body, status, {"Cache-Control": "no-store"})
