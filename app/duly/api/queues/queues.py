"""`/api/v1/queues`: depth, rates and pause of each queue."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, TypeAdapter, ValidationError

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import Gathered, error_responses
from duly.api.contract.responses import accepts_query, merged_response, page_response, time_or_none
from duly.api.queues.limit_models import StartLimits, limits_body
from duly.api.server.cell_reads import CellReads, number_of, read_cells
from duly.api.server.scope_values import tenant_of
from duly.errors import NotFound
from duly.lifecycle.submit.submission_model import Name
from duly.node import Node
from duly.store.read.queue_stats import QueueState, joined_queue, nothing_in, read_queues

LIST = "queues"
NAME: TypeAdapter[str] = TypeAdapter(Name)


class QueueBody(Gathered):
    """Current state of a queue. A queue exists from its first job on."""

    queue: str
    depth: int = Field(description="Jobs ready to start. Estimated above some thousand.")
    scheduled: int = Field(description="Jobs waiting for a time: a later start or the next attempt.")
    parked: int = Field(description="Jobs whose handler waits for a timer, a signal or child jobs, without a slot.")
    held: int = Field(description="Jobs whose attempts are used up, held for a retry by hand.")
    blocked: int = Field(description="Jobs waiting for others: dependencies, or jobs with the same concurrency key.")
    running: int
    oldestAgeSeconds: float | None = Field(description="Waiting time of the oldest job that is ready to start.")
    inPerSecond: float = Field(description="Jobs submitted, averaged over the last minute.")
    outPerSecond: float = Field(description="Jobs ended, averaged over the last minute.")
    paused: bool
    pausedAt: TimeText | None
    limits: StartLimits


class QueuePage(Gathered):
    items: list[QueueBody]
    nextCursor: str | None


router = APIRouter(prefix="/api/v1/queues", tags=["queues"])


@router.get(
    "",
    operation_id="listQueues",
    summary="List queues",
    response_model=QueuePage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_queues(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the default queue, and every other queue that has unfinished jobs, had any within the last minute, is
    paused or has limits. Sorted by name.
    """
    after = name_in_cursor(LIST, cursor)
    parts, away = await _read_parts(request)
    states = _joined(parts)
    names = [name for name in states if name > after]
    items = [queue_body(states[name]) for name in names[:limit]]
    last = write_cursor(LIST, names[limit - 1]) if len(names) > limit else None
    return page_response(items, next_cursor=last, away=away)


@router.get(
    "/{queue:path}",
    operation_id="getQueue",
    summary="Read a queue",
    response_model=QueueBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_queue(request: Request, queue: str) -> Response:
    """Returns one queue. A queue without jobs has zeros."""
    return await queue_response(request, queue_name(queue))


def queue_name(text: str) -> str:
    """Returns the queue name in a path.

    Raises:
        NotFound: not a valid queue name.
    """
    try:
        return NAME.validate_python(text)
    except ValidationError:
        raise NotFound("Queue not found: invalid name.") from None


async def queue_response(request: Request, name: str, *, changed: bool = False) -> Response:
    """Returns the response with the current state of a queue.

    Args:
        request: the request.
        name: the queue.
        changed: True: the request has paused or resumed it in its own cell; the others do the same before the response
            is sent.
    """
    parts, away = await _read_parts(request)
    state = _joined(parts).get(name) or nothing_in(name)
    own = parts.get(number_of(request))
    if changed and own is not None:
        state = replace(state, paused_at=(own.get(name) or nothing_in(name)).paused_at)
    return merged_response(queue_body(state), away=away)


async def _read_parts(request: Request) -> CellReads[Mapping[str, QueueState]]:
    """Returns the queues of each cell by name, sorted."""
    tenant_id = tenant_of(request)

    async def read(node: Node) -> Mapping[str, QueueState]:
        async with node.database.connection() as connection:
            return await read_queues(connection, tenant_id)

    return await read_cells(request, read)


def _joined(parts_of_cells: Mapping[int, Mapping[str, QueueState]]) -> Mapping[str, QueueState]:
    """Returns the queues of all cells by name, sorted."""
    parts = list(parts_of_cells.values())
    if len(parts) == 1:
        return parts[0]
    names = sorted({name for part in parts for name in part})
    return {name: joined_queue([part[name] for part in parts if name in part]) for name in names}


def queue_body(state: QueueState) -> dict[str, object]:
    """Returns the members of a queue."""
    return {
        "queue": state.queue,
        "depth": state.ready,
        "scheduled": state.scheduled,
        "parked": state.parked,
        "held": state.held,
        "blocked": state.blocked,
        "running": state.running,
        "oldestAgeSeconds": round(state.oldest_seconds, 3) if state.oldest_seconds is not None else None,
        "inPerSecond": round(state.in_per_second, 3),
        "outPerSecond": round(state.out_per_second, 3),
        "paused": state.paused_at is not None,
        "pausedAt": time_or_none(state.paused_at),
        "limits": limits_body(state.limits),
    }
