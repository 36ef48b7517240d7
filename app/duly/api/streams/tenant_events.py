"""`GET /api/v1/events/stream`: events of all the tenant's jobs as one stream."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from duly.api.contract.response_models import error_responses
from duly.api.jobs.job_filter import JobProperties
from duly.api.server.scope_values import grant_of, node_of, reads_payload, tenant_of
from duly.api.streams.stream_response import STREAM_DOCUMENT, STREAM_RESPONSES, stream_response, unknown_frame
from duly.api.streams.ticket_rights import within
from duly.domain.stream_position import StreamPosition, read_position
from duly.stream.filter import EventFilter
from duly.stream.ledger_tail import LedgerTail
from duly.stream.tenant_feed import tenant_stream


class StreamFilter(JobProperties):
    """Filter of jobs. Repeating one matches any of its values; labels of different names must all match."""

    def as_filter(self) -> EventFilter:
        """Returns the filter as the stream has it."""
        return EventFilter(
            frozenset(self.type),
            frozenset(self.queue),
            frozenset(UUID(text) for text in self.batchId),
            frozenset((name, frozenset(values)) for name, values in self.label_values.items()),
        )


class StreamQuery(StreamFilter):
    """Filter of jobs, and the position from which to resume."""

    lastEventId: str | None = None


router = APIRouter(tags=["events"])


@router.get(
    "/api/v1/events/stream",
    operation_id="streamEvents",
    summary="Stream the events of all jobs",
    response_class=StreamingResponse,
    responses=error_responses(422, 503, also=STREAM_RESPONSES),
    openapi_extra=STREAM_DOCUMENT,
)
async def stream_events(request: Request, query: Annotated[StreamQuery, Query()]) -> Response:
    """Streams the events of all jobs as server-sent events: from now on, or after `Last-Event-ID`.

    The first frame is `event: position`; its id resumes the stream before the first event. The stream ends only when
    the service shuts down, or with `event: overflow` when the client reads too slowly. The last id resumes it.
    """
    node, wanted = node_of(request), within(grant_of(request), query.as_filter())
    tail = node.tails.of(tenant_of(request))
    after = await resume_point(tail, request.headers.get("last-event-id", query.lastEventId), "Last-Event-ID")
    stream = tenant_stream(tail, after=after, event_filter=wanted, payload=reads_payload(request))
    return stream_response(request, stream)


async def resume_point(tail: LedgerTail, last: str | None, member: str) -> StreamPosition:
    """Returns the position from which to stream the events of all jobs: after the frame of this id, or now.

    Raises:
        Invalid: not the id of a frame of such a stream; `member` names it in the error.
    """
    if last is None or not last.strip():
        return await tail.now()
    position = read_position(last.strip())
    if position is None or not await tail.may_resume(position):
        raise unknown_frame(member)
    return position
