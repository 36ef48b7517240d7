"""`GET /api/v1/jobs/{id}/why`: why a job is where it is, in one sentence and as data."""

from typing import Any

import orjson
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from duly.api.contract.openapi_parts import IdText
from duly.api.contract.response_models import WaitingFor, failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import tenant_job
from duly.domain.events import Status
from duly.domain.explanation import Cause
from duly.domain.job import DEFAULT_TENANT
from duly.errors import NotFound
from duly.lifecycle.read.explain import read_explanation
from duly.node import Node


class WhyBody(BaseModel):
    """Why a job is where it is."""

    jobId: IdText
    status: Status
    waitingFor: WaitingFor | None
    cause: Cause
    message: str = Field(examples=['The queue "default" has been paused since 2026-01-27T10:00:00.000Z.'])
    data: dict[str, Any] = Field(description="the figures of the sentence, by cause")


def why_router(node: Node) -> APIRouter:
    """The route of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.get(
        "/{jobId}/why",
        operation_id="explainJob",
        response_model=WhyBody,
        responses=failures(404, 422, 503),
        dependencies=[only()],
    )
    async def explain_job(jobId: str) -> Response:  # noqa: N803
        """Why the job is where it is: what it waits for, who holds that, and when it goes on, where that is known."""
        found = await read_explanation(node.database, DEFAULT_TENANT, tenant_job(jobId))
        if found is None:
            raise NotFound("There is no such job.")
        view, explanation = found
        body = {
            "jobId": str(view.job_id),
            "status": view.status,
            "waitingFor": view.waiting_for,
            "cause": explanation.cause,
            "message": explanation.message,
            "data": explanation.data,
        }
        return json_answer(orjson.dumps(body), 200, {"Cache-Control": "no-store"})

    return router
