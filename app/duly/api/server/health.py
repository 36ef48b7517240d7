"""Section 6 of the contract: is the process up, can it serve, and what does it count."""

from typing import Any, Literal

import orjson
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from duly.api.contract.response_models import ErrorBody, Responses, failure
from duly.api.contract.responses import json_answer
from duly.errors import Unavailable
from duly.lifecycle.cluster.readiness import NotServing
from duly.node import Node


class NotReady(Unavailable):
    code = "NOT_READY"

    @classmethod
    def of(cls, why: NotServing) -> "NotReady":
        error = cls("This node cannot serve now.", reason=f"{why.reason}.")
        error.details |= {"cause": why.code, "remedy": f"{why.remedy[:1].upper()}{why.remedy[1:]}."}
        return error


class HealthBody(BaseModel):
    """The process is up."""

    status: Literal["up"]


class ReadyBody(BaseModel):
    """A submission would be recorded now."""

    status: Literal["ready"]
    node: str = Field(description="which node answers")


# Probes need no key.
_OPEN: dict[str, Any] = {"security": []}
_MALFORMED: Responses = {400: failure(400)}


def health_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", operation_id="getHealth", responses=_MALFORMED, openapi_extra=_OPEN)
    async def healthz() -> HealthBody:
        """The process is up."""
        return HealthBody(status="up")

    @router.get(
        "/readyz",
        operation_id="getReadiness",
        response_model=ReadyBody,
        responses=_MALFORMED | {503: {"model": ErrorBody, "description": "Not now: `details.reason` says why"}},
        openapi_extra=_OPEN,
    )
    async def readyz() -> Response:
        """A submission would be recorded now, and this node is not going down."""
        if node.draining:
            raise NotReady("This node cannot serve now.", reason="draining")
        if (why := await node.readiness.check()) is not None:
            raise NotReady.of(why)
        return json_answer(orjson.dumps({"status": "ready", "node": node.name}))

    @router.get(
        "/metrics",
        operation_id="getMetrics",
        responses=_MALFORMED | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        response_class=PlainTextResponse,
        openapi_extra=_OPEN,
    )
    async def metrics() -> Any:
        """Figures for Prometheus."""
        return Response(node.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
