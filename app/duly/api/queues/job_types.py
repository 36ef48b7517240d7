"""`/api/v1/job-types`: schemas, defaults, workers, run times and breakers of the registered job types."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.response_models import JobTypeBody, JobTypePage, error_responses
from duly.api.contract.responses import accepts_query, json_response, page_response
from duly.api.queues.breaker_bodies import breaker_bodies
from duly.api.server.scope_values import node_of, tenant_of
from duly.domain.run_times import RunTimes
from duly.errors import NotFound
from duly.handlers.registry import RegisteredHandler, Registry
from duly.store.queue.nodes import count_workers

LIST = "job-types"
router = APIRouter(prefix="/api/v1/job-types", tags=["job types"])


@router.get(
    "",
    operation_id="listJobTypes",
    summary="List job types",
    response_model=JobTypePage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_job_types(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns the registered job types, sorted by name."""
    after, registry = name_in_cursor(LIST, cursor), node_of(request).registry
    names = sorted(name for name in registry if name > after)
    items = await _bodies(request, [registry[name] for name in names[:limit]])
    return page_response(items, next_cursor=write_cursor(LIST, names[limit - 1]) if len(names) > limit else None)


@router.get(
    "/{type:path}",
    operation_id="getJobType",
    summary="Read a job type",
    response_model=JobTypeBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def read_job_type(request: Request, type: str) -> Response:  # noqa: A002  # the contract's word
    """Returns one job type."""
    [body] = await _bodies(request, [registered(node_of(request).registry, type)])
    return json_response(orjson.dumps(body))


def registered(registry: Registry, job_type: str) -> RegisteredHandler:
    """Returns the handler of a job type.

    Raises:
        NotFound: no handler is registered for it.
    """
    handler = registry.get(job_type)
    if handler is None:
        near = ", ".join(registry.near(job_type))
        raise NotFound(f'Unknown job type "{job_type}".', reason=f"Similar types: {near}." if near else None)
    return handler


async def _bodies(request: Request, handlers: Sequence[RegisteredHandler]) -> list[dict[str, object]]:
    node = node_of(request)
    observed = await node.run_times.observed(tenant_of(request), [handler.type for handler in handlers])
    async with node.database.connection() as connection:
        workers = await count_workers(connection)
        breakers = await breaker_bodies(connection, handlers)
    return [
        _body(handler, observed=observed[handler.type], workers=workers.get(handler.type, 0))
        | {"breaker": breakers[handler.type]}
        for handler in handlers
    ]


def _body(handler: RegisteredHandler, *, observed: RunTimes | None, workers: int) -> dict[str, object]:
    batch = handler.batch
    return {
        "type": handler.type,
        "description": handler.description,
        "parametersSchema": _schema(handler.parameters, "validation"),
        "resultSchema": _schema(handler.result, "serialization"),
        "defaults": {"timeoutSeconds": handler.timeout_seconds, "maxAttempts": handler.max_attempts},
        "isolation": handler.isolation,
        "batch": {"size": batch.size, "lingerSeconds": batch.linger_seconds} if batch is not None else None,
        "workers": workers,
        "observed": _observed(observed) if observed is not None else None,
    }


def _observed(observed: RunTimes) -> dict[str, object]:
    return {
        "count": observed.count,
        "p50Seconds": observed.p50_seconds,
        "p99Seconds": observed.p99_seconds,
        "suggestedTimeoutSeconds": observed.suggested_timeout_seconds,
    }


def _schema(adapter: TypeAdapter[Any], mode: Any) -> dict[str, Any]:
    """Returns the JSON Schema of a type; one that accepts anything if JSON Schema cannot express the type."""
    try:
        return adapter.json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return {}
