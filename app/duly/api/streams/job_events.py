"""Section 3 of the contract: a job's history as domain events, and as a stream."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.response_models import EventPage, Responses, failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import tenant_job
from duly.api.streams.tenant_events import STREAM_ANSWERS, STREAM_DOCUMENT, stream_answer
from duly.api.streams.ticket_rights import read_granted
from duly.domain.event_views import event_resource
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Invalid, NotFound, PathError
from duly.node import Node
from duly.store.ledger.events import events_after, read_submission
from duly.stream.job_feed import job_stream

_ANSWERS: Responses = {
    **STREAM_ANSWERS,
    204: {"description": "It has ended, and you have it all"},
}


def events_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/jobs/{jobId}/events", tags=["events"])

    @router.get(
        "",
        operation_id="listJobEvents",
        response_model=EventPage,
        responses=failures(404, 422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_events(
        jobId: str,  # noqa: N803
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: str | None = None,
    ) -> Response:
        """The job's history, oldest first."""
        parsed = tenant_job(jobId)
        after = _read_position(parsed, cursor)
        async with node.database.connection() as connection:
            submitted = await read_submission(connection, DEFAULT_TENANT, parsed)
            if submitted is None:
                raise NotFound("There is no such job.")
            events = [submitted.event] if after < 0 else []
            events += await events_after(connection, DEFAULT_TENANT, parsed, sequence=max(after, 0), limit=limit + 1)
        more = len(events) > limit
        items = [event_resource(event, submitted) for event in events[:limit]]
        last = _position(parsed, events[limit - 1].sequence) if more else None
        return json_answer(orjson.dumps({"items": items, "nextCursor": last}))

    @router.get(
        "/stream",
        operation_id="streamJobEvents",
        response_class=StreamingResponse,
        responses=failures(404, 422, 503, also=_ANSWERS),
        dependencies=[only("lastEventId")],
        openapi_extra=STREAM_DOCUMENT,
    )
    async def stream_events(request: Request, jobId: str, lastEventId: str | None = None) -> Response:  # noqa: N803
        """The job's history and what happens to it, as server-sent events, until it ends.

        `Last-Event-ID` (or `?lastEventId=`) resumes after that sequence, with nothing missed and nothing twice.
        """
        parsed = tenant_job(jobId)
        view = await read_granted(node, request.scope.get("duly.grant"), parsed)
        after = _resume_point(request.headers.get("last-event-id", lastEventId))
        if view.ended and after >= view.sequence:
            return Response(status_code=204)
        if after > view.sequence:  # it would be waited for, perhaps for ever
            raise _no_frame()
        frames = job_stream(node.database, node.hub, tenant_id=DEFAULT_TENANT, job_id=parsed, after=after)
        return stream_answer(node.stream_capacity, frames)

    return router


def _resume_point(last: str | None) -> int:
    if last is None or not last.strip():
        return -1
    if not last.strip().isdecimal() or len(last) > 10:  # noqa: PLR2004  # digits of the largest sequence
        raise _no_frame()
    return int(last)


def _no_frame() -> Invalid:
    return Invalid.at([PathError("Last-Event-ID", "is no id of a frame of this stream")])


def _position(job_id: UUID, sequence: int) -> str:
    return write_cursor(f"events of {job_id}", sequence.to_bytes(4, "big"))


def _read_position(job_id: UUID, cursor: str | None) -> int:
    return -1 if cursor is None else int.from_bytes(read_cursor(f"events of {job_id}", cursor), "big")
