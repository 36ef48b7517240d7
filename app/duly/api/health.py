"""Section 6 of the contract: is the process up, can it serve, and what does it count."""

from typing import Any

import orjson
from fastapi import APIRouter, Response

from duly.api.answers import json_answer
from duly.api.models import ErrorBody
from duly.errors import Unavailable
from duly.node import Node
from duly.store.database import DatabaseAway
from duly.store.revisions import DatabaseNewer, missing_revisions


class NotReady(Unavailable):
    code = "NOT_READY"


def health_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(tags=["operations"])

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is up."""
        return {"status": "up"}

    @router.get("/readyz", responses={503: {"model": ErrorBody, "description": "Not now: `details.reason` says why"}})
    async def readyz() -> Response:
        """The database is reachable, its migrations are current, and this node is not going down."""
        reason = await _why_not_ready(node)
        if reason:
            raise NotReady("This node cannot serve now.", reason=reason)
        return json_answer(orjson.dumps({"status": "ready", "node": node.name}))

    @router.get("/metrics", responses={200: {"content": {"text/plain": {}}}}, response_class=Response)
    async def metrics() -> Any:
        """Figures for Prometheus."""
        return Response(node.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


async def _why_not_ready(node: Node) -> str | None:
    if node.draining:
        return "draining"
    try:
        missing = await missing_revisions(node.database)
    except DatabaseAway:
        return "the database cannot be reached"
    except DatabaseNewer:
        return None  # a rolling upgrade: the older nodes serve until they are replaced
    return f"migrations are behind: {', '.join(missing)}" if missing else None
