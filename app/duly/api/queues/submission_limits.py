"""`/api/v1/limits`: how many jobs may be submitted per time, and how many may wait in a queue."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_reader import read_body
from duly.api.queues.limit_models import RateLimit, rate_body, rate_of
from duly.api.server.scope_values import actor_of, node_of, tenant_of
from duly.lifecycle.submit.submission_model import Name
from duly.store.submit.submission_limits import SubmissionLimits

MOST_WAITING = 100_000_000
Backlog = Annotated[int, Field(ge=1, le=MOST_WAITING)]


class SubmissionLimitsBody(BaseModel):
    """Limits on submitting, over all nodes. Null means no limit."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    rate: RateLimit | None = Field(default=None, description="Jobs that may be submitted in a period.")
    backlog: Backlog | None = Field(default=None, description="Jobs that may wait in each queue.", examples=[10_000])
    backlogs: dict[Name, Backlog] = Field(
        default_factory=dict, max_length=1_000, description="Jobs that may wait in the queue of this name."
    )


router = APIRouter(prefix="/api/v1/limits", tags=["limits"])


@router.get(
    "",
    operation_id="getSubmissionLimits",
    summary="Read the submission limits",
    response_model=SubmissionLimitsBody,
    responses=error_responses(422, 503),
    dependencies=[accepts_query()],
)
async def read_submission_limits(request: Request) -> Response:
    """Returns the limits in force: those set here, or else those of the settings."""
    return _response(await node_of(request).submission_limiters.refresh(tenant_of(request)))


@router.put(
    "",
    operation_id="setSubmissionLimits",
    summary="Set the submission limits",
    response_model=SubmissionLimitsBody,
    responses=error_responses(400, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("SubmissionLimitsBody"),
)
async def set_submission_limits(request: Request) -> Response:
    """Replaces all limits; an omitted member means no limit of yours. They apply on this node at once, on other nodes
    within a second. Limits that the operator has set for the tenant stay in force: of each the stricter one applies.
    """
    body = read_body(request, SubmissionLimitsBody)
    limits = SubmissionLimits(rate_of(body.rate), body.backlog, body.backlogs)
    limiters = node_of(request).submission_limiters
    return _response(await limiters.set_limits(tenant_of(request), limits, by=actor_of(request)))


@router.delete(
    "",
    operation_id="resetSubmissionLimits",
    summary="Reset the submission limits",
    status_code=204,
    responses=error_responses(422, 503),
    dependencies=[accepts_query()],
)
async def reset_submission_limits(request: Request) -> Response:
    """Restores the limits of the settings."""
    await node_of(request).submission_limiters.set_limits(tenant_of(request), None, by=actor_of(request))
    return Response(status_code=204)


def _response(limits: SubmissionLimits) -> Response:
    body = {"rate": rate_body(limits.rate), "backlog": limits.backlog, "backlogs": dict(limits.backlogs)}
    return json_response(orjson.dumps(body))
