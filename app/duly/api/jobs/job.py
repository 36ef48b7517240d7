"""`/api/v1/jobs/{jobId}`: reading and cancelling one job."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.openapi_parts import header_parameters
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import JobBody, error_responses
from duly.api.contract.responses import accepts_query
from duly.api.jobs.job_body import job_headers, job_response
from duly.api.jobs.long_poll import LONGEST_WAIT_SECONDS, find_job, wait_for_change
from duly.api.server.key_hold import while_key_is_valid
from duly.api.server.scope_values import header_text, node_of, tenant_of
from duly.domain.entity_tags import read_sequences
from duly.lifecycle.end.cancel import CancelResult

_READ_HEADERS = header_parameters({"If-None-Match": "A known `ETag`: the response is 304 if the job has not changed."})
Wait = Annotated[
    int, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for a change of the job (long poll).")
]
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.get(
    "/{jobId}",
    operation_id="getJob",
    summary="Read a job",
    response_model=JobBody,
    responses=error_responses(404, 422, 503, also={304: {"description": "Not changed"}}),
    dependencies=[accepts_query("wait")],
    openapi_extra={"parameters": _READ_HEADERS},
)
async def read_job(request: Request, jobId: str, wait: Wait | None = None) -> Response:  # noqa: N803
    """Returns a job in its current state. With `wait`, returns as soon as the job changes."""
    known = read_sequences(header_text(request, b"if-none-match"))
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    if wait and "duly.head" not in request.scope:
        newest = max(known or (), default=None)
        async with while_key_is_valid(request):
            view = await wait_for_change(node, tenant_id, job_id, known_sequence=newest, seconds=wait)
    else:
        view = await find_job(node, tenant_id, job_id)
    if known is None or view.sequence in known:
        headers = job_headers(view, now=node.clock.now())
        return Response(status_code=304, headers={**headers, "Vary": "Accept-Encoding"})
    return job_response(request, view)


@router.post(
    "/{jobId}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    response_model=JobBody,
    responses=error_responses(
        404,
        409,
        422,
        503,
        also={202: {"model": JobBody, "description": "The job is running; its handler is asked to stop"}},
    ),
    dependencies=[accepts_query()],
)
async def cancel_job(request: Request, jobId: str) -> Response:  # noqa: N803
    """Cancels a job. A waiting job is cancelled at once; a running job when its handler has stopped."""
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    result = await node.canceller.cancel(tenant_id, job_id)
    view = await find_job(node, tenant_id, job_id)
    return job_response(request, view, status=200 if result is CancelResult.CANCELLED else 202)
