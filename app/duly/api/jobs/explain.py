"""`GET /api/v1/jobs/{jobId}/why`: why a job is in its state, as a sentence and as data."""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from duly.api.contract.openapi_parts import IdText
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import WaitingFor, error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.server.scope_values import node_of, reads_payload, tenant_of
from duly.domain.events import Status
from duly.domain.explanation import without_payload
from duly.domain.explanation_facts import Cause
from duly.errors import NotFound
from duly.lifecycle.read.explain import read_explanation


class WhyBody(BaseModel):
    """Explanation of a job's state."""

    jobId: IdText
    status: Status
    waitingFor: WaitingFor | None
    cause: Cause
    message: str = Field(examples=['The queue "default" has been paused since 2026-01-27T10:00:00.000Z.'])
    data: dict[str, Any] = Field(description="Figures of the message; the members depend on the cause.")


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.get(
    "/{jobId}/why",
    operation_id="explainJob",
    summary="Explain a job's state",
    response_model=WhyBody,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query()],
)
async def explain_job(request: Request, jobId: str) -> Response:  # noqa: N803
    """Returns why the job is in its state: what it waits for, what blocks it and, if known, until when."""
    found = await read_explanation(node_of(request).database, tenant_of(request), job_id_in_path(jobId))
    if found is None:
        raise NotFound("Job not found.")
    view, explanation = found
    if not reads_payload(request):
        explanation = without_payload(explanation)
    body = {
        "jobId": str(view.job_id),
        "status": view.status,
        "waitingFor": view.waiting_for,
        "cause": explanation.cause,
        "message": explanation.message,
        "data": explanation.data,
    }
    return json_response(orjson.dumps(body), 200, {"Cache-Control": "no-store"})
