"""Pausing queues, and the limits of queues and job types: `…/pause`, `…/resume`, `…/limits`."""

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_reader import read_body
from duly.api.queues.job_types import known_job_type
from duly.api.queues.limit_models import StartLimits, limits_body, limits_of
from duly.api.queues.queues import NAME, QueueBody, queue_name, queue_response
from duly.api.server.scope_values import actor_of, node_of, tenant_of
from duly.store.queue.limits import FlowLimits, Scope, read_limits

_LIMITS = json_body("StartLimits")
_SET = error_responses(400, 404, 409, 413, 415, 422, 503)
_READ = error_responses(404, 422, 503)

# Included before the routers of queues and job types: a name may contain slashes.
router = APIRouter(prefix="/api/v1")


@router.post(
    "/queues/{queue:path}/pause",
    operation_id="pauseQueue",
    summary="Pause a queue",
    tags=["queues"],
    response_model=QueueBody,
    responses=error_responses(404, 409, 422, 503),
    dependencies=[accepts_query()],
)
async def pause_queue(request: Request, queue: str) -> Response:
    """Pauses a queue on all nodes: no job of it starts after this response. Running jobs continue, and jobs may still
    be submitted. Pausing a paused queue changes nothing.
    """
    name = queue_name(queue)
    await node_of(request).flow_controller.pause(tenant_of(request), name, by=actor_of(request))
    return await queue_response(request, name, changed=True)


@router.post(
    "/queues/{queue:path}/resume",
    operation_id="resumeQueue",
    summary="Resume a queue",
    tags=["queues"],
    response_model=QueueBody,
    responses=_READ,
    dependencies=[accepts_query()],
)
async def resume_queue(request: Request, queue: str) -> Response:
    """Resumes a paused queue. Resuming a queue that is not paused changes nothing."""
    name = queue_name(queue)
    await node_of(request).flow_controller.resume(tenant_of(request), name, by=actor_of(request))
    return await queue_response(request, name, changed=True)


@router.get(
    "/queues/{queue:path}/limits",
    operation_id="getQueueLimits",
    summary="Read the limits of a queue",
    tags=["queues"],
    response_model=StartLimits,
    responses=_READ,
    dependencies=[accepts_query()],
)
async def read_queue_limits(request: Request, queue: str) -> Response:
    """Returns the concurrency and rate limits of a queue."""
    return await _read(request, Scope.QUEUE, queue_name(queue))


@router.put(
    "/queues/{queue:path}/limits",
    operation_id="setQueueLimits",
    summary="Set the limits of a queue",
    tags=["queues"],
    response_model=StartLimits,
    responses=_SET,
    dependencies=[accepts_query()],
    openapi_extra=_LIMITS,
)
async def set_queue_limits(request: Request, queue: str) -> Response:
    """Replaces both limits of a queue; an omitted member means no limit. They apply on all nodes after this
    response.
    """
    return await _set(request, Scope.QUEUE, queue_name(queue))


@router.delete(
    "/queues/{queue:path}/limits",
    operation_id="deleteQueueLimits",
    summary="Remove the limits of a queue",
    tags=["queues"],
    status_code=204,
    responses=_READ,
    dependencies=[accepts_query()],
)
async def delete_queue_limits(request: Request, queue: str) -> Response:
    """Removes the limits of a queue, if it has any."""
    return await _delete(request, Scope.QUEUE, queue_name(queue))


@router.get(
    "/job-types/{type:path}/limits",
    operation_id="getJobTypeLimits",
    summary="Read the limits of a job type",
    tags=["job types"],
    response_model=StartLimits,
    responses=_READ,
    dependencies=[accepts_query()],
)
async def read_job_type_limits(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Returns the concurrency and rate limits of a job type."""
    return await _read(request, Scope.TYPE, await known_job_type(request, type))


@router.put(
    "/job-types/{type:path}/limits",
    operation_id="setJobTypeLimits",
    summary="Set the limits of a job type",
    tags=["job types"],
    response_model=StartLimits,
    responses=_SET,
    dependencies=[accepts_query()],
    openapi_extra=_LIMITS,
)
async def set_job_type_limits(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Replaces both limits of a job type; an omitted member means no limit. They apply on all nodes after this
    response.
    """
    return await _set(request, Scope.TYPE, await known_job_type(request, type))


@router.delete(
    "/job-types/{type:path}/limits",
    operation_id="deleteJobTypeLimits",
    summary="Remove the limits of a job type",
    tags=["job types"],
    status_code=204,
    responses=_READ,
    dependencies=[accepts_query()],
)
async def delete_job_type_limits(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Removes the limits of a job type, if it has any. The type need not be registered."""
    return await _delete(request, Scope.TYPE, await _job_type_name(request, type))


async def _job_type_name(request: Request, text: str) -> str:
    try:
        return NAME.validate_python(text)
    except ValidationError:
        return await known_job_type(request, text)


async def _read(request: Request, scope: Scope, name: str) -> Response:
    async with node_of(request).database.connection() as connection:
        limits = await read_limits(connection, tenant_of(request), scope, name)
    return _response(limits or FlowLimits())


async def _set(request: Request, scope: Scope, name: str) -> Response:
    limits = limits_of(read_body(request, StartLimits))
    controller, tenant_id = node_of(request).flow_controller, tenant_of(request)
    if limits == FlowLimits():
        await controller.unlimit(tenant_id, scope, name, by=actor_of(request))
    else:
        await controller.limit(tenant_id, scope, name, limits, by=actor_of(request))
    return _response(limits)


async def _delete(request: Request, scope: Scope, name: str) -> Response:
    await node_of(request).flow_controller.unlimit(tenant_of(request), scope, name, by=actor_of(request))
    return Response(status_code=204)


def _response(limits: FlowLimits) -> Response:
    return json_response(orjson.dumps(limits_body(limits)))
