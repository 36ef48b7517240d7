"""Section 6 of the contract: is the process up, can it serve, and what does it count."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from duly.api.answers import json_answer
from duly.api.models import ErrorBody
from duly.errors import Unavailable
from duly.lifecycle.readiness import NotServing
from duly.node import Node


class NotReady(Unavailable):
    code = "NOT_READY"

    @classmethod
    def of(cls, why: NotServing) -> "NotReady":
        error = cls("This node cannot serve now.", reason=f"{why.reason}.")
        error.details |= {"cause": why.code, "remedy": f"{why.remedy[:1].upper()}{why.remedy[1:]}."}
        return error


def health_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "up"}

    @router.get("/readyz", responses={503: {"model": ErrorBody, "description": "Not now: `details.reason` says why"}})
    async def readyz() -> Response:
        """A submission would be recorded now, and this node is not going down."""
        if node.draining:
            raise NotReady("This node cannot serve now.", reason="draining")
        if (why := await node.readiness.look()) is not None:
            raise NotReady.of(why)
        return json_answer(orjson.dumps({"status": "ready", "node": node.name}))

    @router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def metrics() -> Any:
        """Figures for Prometheus."""
        return Response(node.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
