"""`/api/v1/limits`: what is taken in: how many jobs may be submitted in a time, and how many may wait in a queue."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from duly.api.contract.openapi_parts import takes
from duly.api.contract.response_models import failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.queues.flow_control import RateLimit
from duly.lifecycle.submit.submission_model import Name
from duly.node import Node
from duly.store.queue.limits import Rate
from duly.store.submit.submission_limits import IntakeLimits

MOST_WAITING = 100_000_000
Backlog = Annotated[int, Field(ge=1, le=MOST_WAITING)]


class IntakeLimitsBody(BaseModel):
    """What is taken in, over all nodes. Null: any number."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    rate: RateLimit | None = Field(default=None, description="how many jobs may be submitted in a time")
    backlog: Backlog | None = Field(default=None, description="how many may wait in each queue", examples=[10_000])
    backlogs: dict[Name, Backlog] = Field(
        default_factory=dict, max_length=1_000, description="how many may wait in a queue of this name"
    )


_TAKES_LIMITS = takes("IntakeLimitsBody")


def intake_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/limits", tags=["limits"])

    @router.get(
        "",
        operation_id="getSubmissionLimits",
        response_model=IntakeLimitsBody,
        responses=failures(422, 503),
        dependencies=[only()],
    )
    async def read_intake_limits() -> Response:
        """What holds now: what was set here, or else what the settings say."""
        await node.submission_limiter.step()
        return _answer(node.submission_limiter.limits)

    @router.put(
        "",
        operation_id="setSubmissionLimits",
        response_model=IntakeLimitsBody,
        responses=failures(400, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=_TAKES_LIMITS,
    )
    async def set_intake_limits(request: Request) -> Response:
        """Set all of them; what is left out is no limit. This node keeps to it at once, the others within a second."""
        asked = reader.read_as(IntakeLimitsBody, request.scope["duly.body"], request.scope["duly.headers"])
        rate = Rate(asked.rate.count, asked.rate.seconds) if asked.rate is not None else None
        limits = IntakeLimits(rate, asked.backlog, asked.backlogs)
        await node.submission_limiter.set_limits(limits)
        return _answer(limits)

    @router.delete(
        "", operation_id="resetSubmissionLimits", status_code=204, responses=failures(422, 503), dependencies=[only()]
    )
    async def forget_intake_limits() -> Response:
        """Go back to what the settings say."""
        await node.submission_limiter.set_limits(None)
        return Response(status_code=204)

    return router


def _answer(limits: IntakeLimits) -> Response:
    rate = {"count": limits.rate.count, "seconds": limits.rate.seconds} if limits.rate else None
    return json_answer(orjson.dumps({"rate": rate, "backlog": limits.backlog, "backlogs": dict(limits.backlogs)}))
