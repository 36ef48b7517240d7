"""`GET /api/v1/events/stream`: events of all the tenant's jobs as one stream."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from duly.api.contract.response_models import error_responses
from duly.api.jobs.job_filter import JobProperties
from duly.api.server.scope_values import grant_of
from duly.api.streams.all_events import find_start, sse_events
from duly.api.streams.stream_response import STREAM_DOCUMENT, STREAM_RESPONSES, stream_response
from duly.api.streams.ticket_rights import within
from duly.stream.filter import EventFilter


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

    In an installation with several cells, `event: duly.cell_away` says that the events of one cell are missing for now,
    and `event: duly.cell_back` that they follow.
    """
    wanted = within(grant_of(request), query.as_filter())
    start = await find_start(request, request.headers.get("last-event-id", query.lastEventId), "Last-Event-ID")
    return stream_response(request, sse_events(request, start, wanted))
