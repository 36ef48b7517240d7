"""`/api/v1/jobs/{jobId}/events`: history of a job, as a list and as a stream."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from duly.api.contract.cursors import numbers_in_cursor, write_cursor
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import EventPage, Responses, error_responses
from duly.api.contract.responses import accepts_query, page_response
from duly.api.server.scope_values import grant_of, node_of, reads_payload, tenant_of
from duly.api.streams.resume_sequence import resume_sequence
from duly.api.streams.stream_response import STREAM_DOCUMENT, STREAM_RESPONSES, stream_response, unknown_frame
from duly.api.streams.ticket_rights import read_granted
from duly.domain.event_views import event_resource, without_payload
from duly.errors import NotFound
from duly.store.ledger.read_events import events_after, read_submission
from duly.stream.job_feed import job_stream

_RESPONSES: Responses = {
    **STREAM_RESPONSES,
    204: {"description": "The job has ended, and the client has received all its events"},
}
BEFORE_FIRST = -1
SEQUENCE_DIGITS = 10
router = APIRouter(prefix="/api/v1/jobs/{jobId}/events", tags=["events"])


@router.get(
    "",
    operation_id="listJobEvents",
    summary="List the events of a job",
    response_model=EventPage,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_job_events(
    request: Request,
    jobId: str,  # noqa: N803  # the contract's spelling
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Returns the events of a job, oldest first."""
    job_id, tenant_id = job_id_in_path(jobId), tenant_of(request)
    list_name = f"events of {job_id}"
    after = None if cursor is None else numbers_in_cursor(list_name, cursor, start=(0,))[0]
    async with node_of(request).database.connection() as connection:
        submitted = await read_submission(connection, tenant_id, job_id)
        if submitted is None:
            raise NotFound("Job not found.")
        events = [submitted.event] if after is None else []
        events += await events_after(connection, tenant_id, job_id, sequence=after or 0, limit=limit + 1)
    shown = events[:limit] if reads_payload(request) else [without_payload(event) for event in events[:limit]]
    items = [event_resource(event, submitted) for event in shown]
    last = write_cursor(list_name, (events[limit - 1].sequence,)) if len(events) > limit else None
    return page_response(items, next_cursor=last)


@router.get(
    "/stream",
    operation_id="streamJobEvents",
    summary="Stream the events of a job",
    response_class=StreamingResponse,
    responses=error_responses(404, 422, 503, also=_RESPONSES),
    dependencies=[accepts_query("lastEventId")],
    openapi_extra=STREAM_DOCUMENT,
)
async def stream_job_events(request: Request, jobId: str, lastEventId: str | None = None) -> Response:  # noqa: N803
    """Streams the history and all further events of a job as server-sent events, until the job ends.

    `Last-Event-ID` (or `?lastEventId=`) resumes after that sequence, without gaps or repetitions.
    """
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    view = await read_granted(node, tenant_id, job_id, grant=grant_of(request))
    after = _sequence(request.headers.get("last-event-id", lastEventId))
    start = await resume_sequence(node, view, after)
    if view.ended and (start is None or start >= view.sequence):
        return Response(status_code=204)
    if start is None:  # it may never come
        raise unknown_frame("Last-Event-ID")
    frames = job_stream(
        node.database, node.hub, tenant_id=tenant_id, job_id=job_id, after=start, payload=reads_payload(request)
    )
    return stream_response(request, frames)


def _sequence(last_event_id: str | None) -> int:
    if last_event_id is None or not last_event_id.strip():
        return BEFORE_FIRST
    if not last_event_id.strip().isdecimal() or len(last_event_id) > SEQUENCE_DIGITS:
        raise unknown_frame("Last-Event-ID")
    return int(last_event_id)
