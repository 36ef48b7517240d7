"""Pausing queues, and the limits of queues and job types: `…/pause`, `…/resume`, `…/limits`."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from duly.api.contract.openapi_parts import takes
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.queues.queues import QueueBody, queue_body, queue_name
from duly.domain.job import DEFAULT_TENANT
from duly.errors import NotFound
from duly.lifecycle.submit.submission_model import Name
from duly.node import Node
from duly.store.queue.limits import FlowLimits, Rate, Scope, read_limits
from duly.store.read.queue_stats import nothing_in, read_queues

MOST_AT_ONCE = 1_000_000
LONGEST_SECONDS = 31 * 86_400


class RateLimit(BaseModel):
    """So many starts in so many seconds. A burst may use up what was saved: at most `count`."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    count: int = Field(ge=1, le=MOST_AT_ONCE, examples=[100])
    seconds: Annotated[float, Field(ge=0.01, le=LONGEST_SECONDS, allow_inf_nan=False, examples=[60])]


class StartLimits(BaseModel):
    """How many jobs run at once, and how many start in a time, over all nodes. Null: as many as can."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    concurrency: int | None = Field(default=None, ge=1, le=MOST_AT_ONCE, examples=[10])
    rate: RateLimit | None = None


_TAKES_LIMITS = takes("StartLimits")
_NAME: TypeAdapter[str] = TypeAdapter(Name)
_SET = failures(400, 404, 413, 415, 422, 503)
_READ = failures(404, 422, 503)


def flow_control_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The routes of this section. They come before those of queues and types, whose names may hold slashes."""
    router = APIRouter(prefix="/api/v1")

    @router.post(
        "/queues/{queue:path}/pause",
        operation_id="pauseQueue",
        tags=["queues"],
        response_model=QueueBody,
        responses=_READ,
        dependencies=[only()],
    )
    async def pause_queue(queue: str) -> Response:
        """Let no job of this queue start, on any node, until it is resumed. What runs goes on; submitting does too.

        Once this is answered, none starts. A queue that is paused stays so.
        """
        name = queue_name(queue)
        await node.flow_controller.pause(DEFAULT_TENANT, name)
        return await _queue(node, name)

    @router.post(
        "/queues/{queue:path}/resume",
        operation_id="resumeQueue",
        tags=["queues"],
        response_model=QueueBody,
        responses=_READ,
        dependencies=[only()],
    )
    async def resume_queue(queue: str) -> Response:
        """Let the jobs of this queue start again. A queue that is not paused stays so."""
        name = queue_name(queue)
        await node.flow_controller.resume(DEFAULT_TENANT, name)
        return await _queue(node, name)

    @router.get(
        "/queues/{queue:path}/limits",
        operation_id="getQueueLimits",
        tags=["queues"],
        response_model=StartLimits,
        responses=_READ,
        dependencies=[only()],
    )
    async def read_queue_limits(queue: str) -> Response:
        """How many jobs of this queue may run at once, and start in a time."""
        return await _limits(node, Scope.QUEUE, queue_name(queue))

    @router.put(
        "/queues/{queue:path}/limits",
        operation_id="setQueueLimits",
        tags=["queues"],
        response_model=StartLimits,
        responses=_SET,
        dependencies=[only()],
        openapi_extra=_TAKES_LIMITS,
    )
    async def set_queue_limits(request: Request, queue: str) -> Response:
        """Set both limits of this queue; what is left out is no limit. Once this is answered they hold on all nodes."""
        return await _set_limits(node, reader, request, Scope.QUEUE, queue_name(queue))

    @router.delete(
        "/queues/{queue:path}/limits",
        operation_id="deleteQueueLimits",
        tags=["queues"],
        status_code=204,
        responses=_READ,
        dependencies=[only()],
    )
    async def delete_queue_limits(queue: str) -> Response:
        """Take the limits of this queue away, where it has any."""
        await node.flow_controller.unlimit(DEFAULT_TENANT, Scope.QUEUE, queue_name(queue))
        return Response(status_code=204)

    @router.get(
        "/job-types/{type:path}/limits",
        operation_id="getJobTypeLimits",
        tags=["job types"],
        response_model=StartLimits,
        responses=_READ,
        dependencies=[only()],
    )
    async def read_type_limits(type: str) -> Response:  # noqa: A002  # the contract's word
        """How many jobs of this type may run at once, and start in a time."""
        return await _limits(node, Scope.TYPE, _known(node, type))

    @router.put(
        "/job-types/{type:path}/limits",
        operation_id="setJobTypeLimits",
        tags=["job types"],
        response_model=StartLimits,
        responses=_SET,
        dependencies=[only()],
        openapi_extra=_TAKES_LIMITS,
    )
    async def set_type_limits(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
        """Set both limits of this type; what is left out is no limit. Once this is answered they hold on all nodes."""
        return await _set_limits(node, reader, request, Scope.TYPE, _known(node, type))

    @router.delete(
        "/job-types/{type:path}/limits",
        operation_id="deleteJobTypeLimits",
        tags=["job types"],
        status_code=204,
        responses=_READ,
        dependencies=[only()],
    )
    async def delete_type_limits(type: str) -> Response:  # noqa: A002  # the contract's word
        """Take the limits of this type away, where it has any; of one that is no longer known too."""
        await node.flow_controller.unlimit(DEFAULT_TENANT, Scope.TYPE, _named(node, type))
        return Response(status_code=204)

    return router


def _named(node: Node, job_type: str) -> str:
    try:
        return _NAME.validate_python(job_type)
    except ValidationError:
        return _known(node, job_type)


def _known(node: Node, job_type: str) -> str:
    if job_type not in node.registry:
        near = ", ".join(node.registry.near(job_type))
        reason = f"Similar types: {near}." if near else None
        raise NotFound(f'No job type is called "{job_type}".', reason=reason)
    return job_type


async def _queue(node: Node, name: str) -> Response:
    async with node.database.connection() as connection:
        states = await read_queues(connection, DEFAULT_TENANT)
    return json_answer(orjson.dumps(queue_body(states.get(name) or nothing_in(name))))


async def _limits(node: Node, scope: Scope, name: str) -> Response:
    async with node.database.connection() as connection:
        limits = await read_limits(connection, DEFAULT_TENANT, scope, name)
    return _answer(limits or FlowLimits())


async def _set_limits(node: Node, reader: SubmissionReader, request: Request, scope: Scope, name: str) -> Response:
    asked = reader.read_as(StartLimits, request.scope["duly.body"], request.scope["duly.headers"])
    rate = Rate(asked.rate.count, asked.rate.seconds) if asked.rate is not None else None
    limits = FlowLimits(asked.concurrency, rate)
    if limits == FlowLimits():
        await node.flow_controller.unlimit(DEFAULT_TENANT, scope, name)
    else:
        await node.flow_controller.limit(DEFAULT_TENANT, scope, name, limits)
    return _answer(limits)


def _answer(limits: FlowLimits) -> Response:
    rate = {"count": limits.rate.count, "seconds": limits.rate.seconds} if limits.rate else None
    return json_answer(orjson.dumps({"concurrency": limits.concurrency, "rate": rate}))
