"""`/api/v1/job-types`: what this service can do, what goes in and comes out, and how long it really takes."""

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from duly.api.contract.cursors import read_cursor, write_cursor
from duly.api.contract.response_models import JobTypeBody, JobTypePage, failures
from duly.api.contract.responses import json_answer, only
from duly.api.queues.breakers import breaker_bodies
from duly.domain.job import DEFAULT_TENANT
from duly.domain.run_times import RunTimes
from duly.errors import NotFound
from duly.handlers.registry import RegisteredHandler
from duly.node import Node
from duly.store.queue.nodes import count_workers


def job_types_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/job-types", tags=["job types"])

    async def bodies(handlers: Sequence[RegisteredHandler]) -> list[dict[str, object]]:
        observed = await node.run_times.observed(DEFAULT_TENANT, [handler.type for handler in handlers])
        async with node.database.connection() as connection:
            workers = await count_workers(connection)
            breakers = await breaker_bodies(connection, handlers)
        return [
            type_body(handler, observed=observed[handler.type], workers=workers.get(handler.type, 0))
            | {"breaker": breakers[handler.type]}
            for handler in handlers
        ]

    @router.get(
        "",
        operation_id="listJobTypes",
        response_model=JobTypePage,
        responses=failures(422, 503),
        dependencies=[only("limit", "cursor")],
    )
    async def list_types(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None) -> Response:
        """All known job types, by name."""
        after = read_cursor("job-types", cursor).decode() if cursor is not None else ""
        names = sorted(name for name in node.registry if name > after)
        items = await bodies([node.registry[name] for name in names[:limit]])
        last = write_cursor("job-types", names[limit - 1].encode()) if len(names) > limit else None
        return json_answer(orjson.dumps({"items": items, "nextCursor": last}))

    @router.get(
        "/{type:path}",
        operation_id="getJobType",
        response_model=JobTypeBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def read_type(type: str) -> Response:  # noqa: A002  # the contract's word
        """One job type."""
        handler = node.registry.get(type)
        if handler is None:
            near = ", ".join(node.registry.near(type))
            raise NotFound(f'No job type is called "{type}".', reason=f"Similar types: {near}." if near else None)
        [body] = await bodies([handler])
        return json_answer(orjson.dumps(body))

    return router


def type_body(handler: RegisteredHandler, *, observed: RunTimes | None, workers: int) -> dict[str, object]:
    return {
        "type": handler.type,
        "description": handler.description,
        "parametersSchema": _schema(handler.parameters, "validation"),
        "resultSchema": _schema(handler.result, "serialization"),
        "defaults": {"timeoutSeconds": handler.timeout_seconds, "maxAttempts": handler.max_attempts},
        "isolation": handler.isolation,
        "batch": _batch(handler),
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


def _batch(handler: RegisteredHandler) -> dict[str, object] | None:
    """How many jobs one call of the handler takes; null where it takes one."""
    if handler.batch is None:
        return None
    return {"size": handler.batch.size, "lingerSeconds": handler.batch.linger_seconds}


def _schema(adapter: TypeAdapter[Any], mode: Any) -> dict[str, Any]:
    """What JSON Schema can say of the type; for what it cannot, a schema that takes anything."""
    try:
        return adapter.json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return {}
