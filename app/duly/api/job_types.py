"""`/api/v1/job-types`: what this service can do, with the schemas of what goes in and comes out."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from duly.api.answers import json_answer, only
from duly.api.cursors import read_cursor, write_cursor
from duly.api.models import JobTypeBody, JobTypePage, failures
from duly.errors import NotFound
from duly.handlers.registry import RegisteredHandler
from duly.node import Node


def job_types_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/job-types", tags=["job types"])

    @router.get("", response_model=JobTypePage, responses=failures(422), dependencies=[only("limit", "cursor")])
    async def list_types(limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None) -> Response:
        """All known job types, by name."""
        after = read_cursor("job-types", cursor).decode() if cursor is not None else ""
        names = sorted(name for name in node.registry if name > after)
        items = [type_body(node.registry[name]) for name in names[:limit]]
        last = write_cursor("job-types", names[limit - 1].encode()) if len(names) > limit else None
        return json_answer(orjson.dumps({"items": items, "nextCursor": last}))

    @router.get("/{type:path}", response_model=JobTypeBody, responses=failures(404, 422), dependencies=[only()])
    async def read_type(type: str) -> Response:  # noqa: A002  # the contract's word
        """One job type."""
        handler = node.registry.get(type)
        if handler is None:
            near = ", ".join(node.registry.near(type))
            raise NotFound(f'No job type is called "{type}".', reason=f"Known types like it: {near}." if near else None)
        return json_answer(orjson.dumps(type_body(handler)))

    return router


def type_body(handler: RegisteredHandler) -> dict[str, object]:
    return {
        "type": handler.type,
        "description": handler.description,
        "parametersSchema": _schema(handler.parameters, "validation"),
        "resultSchema": _schema(handler.result, "serialization"),
        "defaults": {"timeoutSeconds": handler.timeout_seconds, "maxAttempts": handler.max_attempts},
        "isolation": handler.isolation,
    }


def _schema(adapter: TypeAdapter[Any], mode: Any) -> dict[str, Any]:
    """What JSON Schema can say of the type; for what it cannot, a schema that takes anything."""
    try:
        return adapter.json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return {}
