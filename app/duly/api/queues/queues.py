"""`/api/v1/queues`: how each queue stands."""

from datetime import datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.domain.job import DEFAULT_TENANT
from duly.domain.timestamps import rfc3339
from duly.errors import NotFound
from duly.lifecycle.submit.submission_model import Name
from duly.node import Node
from duly.store.read.queue_stats import QueueState, nothing_in, read_queues

_NAME: TypeAdapter[str] = TypeAdapter(Name)


class QueueBody(BaseModel):
    """One queue as it stands. A queue comes into being with its first job."""

    queue: str
    depth: int = Field(description="jobs that may start now; from some thousand on, close to the number")
    scheduled: int = Field(description="jobs that wait for a time: a later start, or the next attempt")
    blocked: int = Field(description="jobs that wait for others: those they depend on, or that have the same key")
    running: int
    oldestAgeSeconds: float | None = Field(description="how long the oldest job that may start now has waited")
    inPerSecond: float = Field(description="jobs submitted, over the last minute")
    outPerSecond: float = Field(description="jobs ended, over the last minute")
    paused: bool
    pausedAt: TimeText | None


class QueuePage(BaseModel):
    items: list[QueueBody]
    nextCursor: str | None


def queues_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/queues", tags=["queues"])

    @router.get(
        "",
        operation_id="listQueues",
        response_model=QueuePage,
        responses=failures(422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_queues(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None) -> Response:
        """The default queue, and every other that holds unfinished jobs, was busy within the last minute, is paused, or
        has limits; by name.
        """
        after = read_cursor("queues", cursor).decode() if cursor is not None else ""
        async with node.database.connection() as connection:
            states = await read_queues(connection, DEFAULT_TENANT)
        names = [name for name in states if name > after]
        items = [queue_body(states[name]) for name in names[:limit]]
        last = write_cursor("queues", names[limit - 1].encode()) if len(names) > limit else None
        return json_answer(orjson.dumps({"items": items, "nextCursor": last}))

    @router.get(
        "/{queue:path}",
        operation_id="getQueue",
        response_model=QueueBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_queue(queue: str) -> Response:
        """One queue; of one that no job is in, zeros."""
        name = queue_name(queue)
        async with node.database.connection() as connection:
            states = await read_queues(connection, DEFAULT_TENANT)
        return json_answer(orjson.dumps(queue_body(states.get(name) or nothing_in(name))))

    return router


def queue_name(text: str) -> str:
    """The queue that a path names.

    Raises:
        NotFound: no queue can be called that.
    """
    try:
        return _NAME.validate_python(text)
    except ValidationError:
        raise NotFound("No queue can have this name.") from None


def queue_body(state: QueueState) -> dict[str, object]:
    return {
        "queue": state.queue,
        "depth": state.ready,
        "scheduled": state.scheduled,
        "blocked": state.blocked,
        "running": state.running,
        "oldestAgeSeconds": round(state.oldest_seconds, 3) if state.oldest_seconds is not None else None,
        "inPerSecond": round(state.in_per_second, 3),
        "outPerSecond": round(state.out_per_second, 3),
        "paused": state.paused_at is not None,
        "pausedAt": _time(state.paused_at),
    }


def _time(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment is not None else None
