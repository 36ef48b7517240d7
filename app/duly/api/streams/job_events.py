"""Section 3 of the contract: a job's history as domain events, and as a stream."""

from typing import Annotated, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.response_models import EventPage, Responses, failures
from duly.api.contract.responses import json_answer, only, plain_number
from duly.api.jobs.jobs import tenant_job
from duly.api.streams.tenant_events import STREAM_ANSWERS, STREAM_DOCUMENT, stream_answer
from duly.api.streams.ticket_rights import read_granted
from duly.domain.events import CALLBACK_BITS, EVENT_TYPES, Event, EventKind, read_progress
from duly.domain.ids import event_id
from duly.domain.job import DEFAULT_TENANT
from duly.domain.json_value import dump_text, read_kept, rfc3339
from duly.errors import Invalid, NotFound, PathError
from duly.node import Node
from duly.store.ledger.events import Asked, Origin, events_after, read_origin
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
            origin = await read_origin(connection, DEFAULT_TENANT, parsed)
            if origin is None:
                raise NotFound("There is no such job.")
            events = [origin.event] if after < 0 else []
            events += await events_after(connection, DEFAULT_TENANT, parsed, sequence=max(after, 0), limit=limit + 1)
        more = len(events) > limit
        items = [event_body(event, origin) for event in events[:limit]]
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


def event_body(event: Event, origin: Origin) -> dict[str, object]:
    """The event as the contract shows it."""
    before = str(event_id(event.job_id, event.sequence - 1)) if event.sequence else None
    return {
        "eventId": str(event_id(event.job_id, event.sequence)),
        "eventType": EVENT_TYPES[event.kind],
        "eventVersion": "1.0",
        "occurredAt": rfc3339(event.occurred_at),
        "aggregateId": str(event.job_id),
        "aggregateType": "Job",
        "sequence": event.sequence,
        "data": _data(event, origin),
        "metadata": {
            "correlationId": origin.correlation_id,
            "causationId": before,
            "source": event.source,
            "traceparent": origin.traceparent,
        },
    }


def _data(event: Event, origin: Origin) -> dict[str, object]:
    stored = orjson.Fragment(event.data) if event.data is not None else None
    match event.kind:
        case EventKind.SUBMITTED:
            return {"parameters": stored, **_asked(origin.asked)}
        case EventKind.PROGRESSED:
            progress, message = read_progress(event.data or "{}")
            return {"attempt": event.attempt, "progress": plain_number(progress), "message": message}
        case EventKind.COMPLETED:
            return {"attempt": event.attempt, "result": stored}
        case EventKind.REQUEUED:
            told = cast("dict[str, object]", read_kept(event.data or "{}"))
            return {
                "attempt": event.attempt,
                **{name: orjson.Fragment(dump_text(member)) for name, member in told.items()},
            }
        case EventKind.STARTED | EventKind.CANCEL_REQUESTED:
            return {"attempt": event.attempt}
        case _:
            return {"attempt": event.attempt, "error": stored}


def _asked(asked: Asked) -> dict[str, object]:
    """What a submission asked, under its own names; what it left out and no job type fills in is left out here too."""
    url = asked.callback_url
    members: dict[str, object] = {
        "type": asked.type,
        "queue": asked.queue,
        "priority": asked.priority,
        "timeoutSeconds": plain_number(asked.timeout_seconds),
        "maxAttempts": asked.max_attempts,
        "runAt": rfc3339(asked.run_at) if asked.run_at is not None else None,
        "expiresAt": rfc3339(asked.expires_at) if asked.expires_at is not None else None,
        "uniqueKey": asked.unique_key,
        "concurrencyKey": asked.concurrency_key,
        "dependsOn": [str(job_id) for job_id in asked.depends_on] if asked.depends_on else None,
        "onDependencyFailure": "run" if asked.despite_failure else None,
        "labels": orjson.Fragment(asked.labels) if asked.labels is not None else None,
        "callbackUrl": url,
        "callbackEvents": [name for name, bit in CALLBACK_BITS.items() if asked.callback_events & bit] if url else None,
        "batchId": str(asked.batch_id) if asked.batch_id is not None else None,
        "parentId": str(asked.parent_id) if asked.parent_id is not None else None,
    }
    return {name: value for name, value in members.items() if value is not None}
