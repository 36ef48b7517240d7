"""Health: probes of the process and of its readiness, and metrics. They need no API key."""

import asyncio
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from duly.api.contract.openapi_parts import absent
from duly.api.contract.response_models import ErrorBody, Responses, error_response
from duly.api.contract.responses import json_response
from duly.api.server.cell_reads import cells_of
from duly.api.server.scope_values import node_of
from duly.errors import Unavailable
from duly.lifecycle.cluster.readiness import NotServing

OPENMETRICS = "application/openmetrics-text"
_FORMATS = {False: "text/plain; version=0.0.4; charset=utf-8", True: CONTENT_TYPE_LATEST}


class NotReady(Unavailable):
    """The node would not record a submission."""

    code = "NOT_READY"

    @classmethod
    def of(cls, cause: NotServing) -> "NotReady":
        """Returns the error with its cause and remedy."""
        error = cls("This node is not ready.", reason=f"{cause.reason}.")
        error.details |= {"cause": cause.code, "remedy": f"{cause.remedy[:1].upper()}{cause.remedy[1:]}."}
        return error


class HealthBody(BaseModel):
    """Liveness of the process."""

    status: Literal["up"]


class ReadyBody(BaseModel):
    """Readiness of the node."""

    status: Literal["ready"]
    node: str = Field(description="Name of the node that responds.")
    cellsAway: list[int] = Field(
        default_factory=absent, description="With several cells: numbers of those that do not answer."
    )


_OPEN: dict[str, Any] = {"security": []}
_MALFORMED: Responses = {400: error_response(400)}
router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="getHealth", summary="Check liveness", responses=_MALFORMED, openapi_extra=_OPEN)
async def healthz() -> HealthBody:
    """Returns 200 while the process responds."""
    return HealthBody(status="up")


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Check readiness",
    response_model=ReadyBody,
    responses=_MALFORMED | {503: {"model": ErrorBody, "description": "Not ready; `details.reason` is the cause"}},
    openapi_extra=_OPEN,
)
async def readyz(request: Request) -> Response:
    """Returns 200 if the node would record a submission now: the database serves, and the node is not shutting down."""
    node = node_of(request)
    if node.draining:
        raise NotReady("This node is not ready.", reason="draining")
    if (cause := await node.readiness.check()) is not None:
        raise NotReady.of(cause)
    cells = cells_of(request.scope)
    away = {} if cells is None else {"cellsAway": list(cells.away())}
    return json_response(orjson.dumps({"status": "ready", "node": node.name, **away}))


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Read metrics",
    responses=_MALFORMED
    | {200: {"content": {name: {"schema": {"type": "string"}} for name in ("text/plain", OPENMETRICS)}}},
    response_class=PlainTextResponse,
    openapi_extra=_OPEN,
)
async def metrics(request: Request) -> Any:
    """Returns the metrics of the node in the text format of Prometheus, or in OpenMetrics where `Accept` names it."""
    openmetrics = OPENMETRICS in request.headers.get("accept", "")
    cells = cells_of(request.scope)
    away = () if cells is None else cells.away()
    nodes = (node_of(request),) if cells is None else cells.nodes
    await asyncio.gather(*(node.gauges.refresh() for node in nodes if node.cell.number not in away))
    body = node_of(request).metrics.render(openmetrics=openmetrics)
    return Response(body, media_type=_FORMATS[openmetrics])
