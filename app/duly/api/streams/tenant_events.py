"""`GET /api/v1/events/stream`: all the tenant's jobs as one stream; and what all streams over HTTP have in common."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError
from starlette.responses import StreamingResponse

from duly.api.contract.openapi_parts import header_parameters
from duly.api.contract.response_models import Responses, failures
from duly.api.jobs.list_jobs import MOST_LABELS, MOST_VALUES, Storable
from duly.api.streams.ticket_rights import within
from duly.domain.ids import parse_job_id
from duly.domain.stream_position import StreamPosition, read_position
from duly.errors import Invalid, PathError
from duly.node import Node
from duly.stream.capacity import StreamCapacity
from duly.stream.filter import EventFilter
from duly.stream.sse import NO_ROOM, StreamText
from duly.stream.tenant_feed import tenant_stream

PATH = "/api/v1/events/stream"
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Incremental": "?1"}
_FRAME = """event: job_progress
data: {"type":"job_progress","jobId":"0199c1f0-0000-7000-8000-000000000000","sequence":3,"progress":25}
id: 3

"""
STREAM_ANSWERS: Responses = {
    200: {
        "description": "The stream; comments in it keep the connection open",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _FRAME}},
    }
}


# What the middleware and this package read by themselves, for the OpenAPI document.
STREAM_DOCUMENT: dict[str, Any] = {
    "parameters": [
        *header_parameters({"Last-Event-ID": "resumes after this frame; goes before `lastEventId`"}),
        {
            "name": "ticket",
            "in": "query",
            "description": "instead of a key: see `POST /api/v1/stream-tickets`",
            "schema": {"type": "string"},
        },
    ]
}


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _a_batch(text: str) -> str:
    if parse_job_id(text) is None:
        raise PydanticCustomError("id", "must be an id as the service writes it")
    return text


Values = Annotated[list[Annotated[str, Storable]], BeforeValidator(_as_list), Field(max_length=MOST_VALUES)]
Batches = Annotated[list[Annotated[str, AfterValidator(_a_batch)]], BeforeValidator(_as_list)]
Label = Annotated[str, StringConstraints(pattern=r"^[^:\x00]{1,64}:[^\x00]{0,256}$")]


class StreamFilter(BaseModel):
    """Which jobs are meant. A filter that is named twice takes either, labels of different names both."""

    model_config = ConfigDict(extra="forbid")

    type: Values = []
    queue: Values = []
    batchId: Batches = Field(default=[], max_length=MOST_VALUES)
    label: Annotated[list[Label], BeforeValidator(_as_list)] = Field(
        default=[], max_length=MOST_LABELS, description="`name:value`", examples=[["customer:c-42"]]
    )

    def as_wanted(self) -> EventFilter:
        """The same for the stream."""
        labels: dict[str, set[str]] = {}
        for pair in self.label:
            name, _, value = pair.partition(":")
            labels.setdefault(name, set()).add(value)
        return EventFilter(
            frozenset(self.type),
            frozenset(self.queue),
            frozenset(UUID(text) for text in self.batchId),
            frozenset((name, frozenset(values)) for name, values in labels.items()),
        )


class StreamQuery(StreamFilter):
    """A filter, and where to resume."""

    lastEventId: str | None = None


def following_router(node: Node) -> APIRouter:
    """The route of this section."""
    router = APIRouter(tags=["events"])

    @router.get(
        PATH,
        operation_id="streamEvents",
        response_class=StreamingResponse,
        responses=failures(422, 503, also=STREAM_ANSWERS),
        openapi_extra=STREAM_DOCUMENT,
    )
    async def stream_everything(request: Request, wanted: Annotated[StreamQuery, Query()]) -> Response:
        """What happens to all jobs, as server-sent events: from now on, or on from `Last-Event-ID`.

        It begins with `event: position`, whose id resumes it before the first event. It ends only when the service goes
        down, or the reader is too slow: `event: overflow`. The last id resumes it.
        """
        chosen = within(request.scope.get("duly.grant"), wanted.as_wanted())
        after = await resume_point(node, request.headers.get("last-event-id", wanted.lastEventId), "Last-Event-ID")
        messages = tenant_stream(node.tail, after=after, event_filter=chosen)
        return stream_answer(node.stream_capacity, messages)

    return router


async def resume_point(node: Node, last: str | None, member: str) -> StreamPosition:
    """Where a stream of all jobs begins: after the frame of this id or, without one, now.

    Raises:
        Invalid: no stream of this ledger gave out this id.
    """
    if last is None or not last.strip():
        return await node.tail.now()
    position = read_position(last.strip())
    if position is None or not await node.tail.may_resume(position):
        raise Invalid.at([PathError(member, "is no id of a frame of this stream")])
    return position


def stream_answer(room: StreamCapacity, messages: AsyncGenerator[StreamText, None]) -> Response:
    """An answer that goes on and on."""
    return StreamingResponse(_in_room(room, messages), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _in_room(room: StreamCapacity, messages: AsyncGenerator[StreamText, None]) -> AsyncIterator[StreamText]:
    """Where there is no room, a browser is to come back: it does so after an empty stream, but not after an error."""
    async with aclosing(messages):
        with room.place() as found:
            if not found:
                yield NO_ROOM
                return
            async for piece in messages:
                yield piece
