"""`GET /api/v1/jobs/{jobId}/steps`: recorded steps of a job, its timers and its signals."""

import re
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, page_response, time_or_none
from duly.api.server.scope_values import node_of, reads_payload, tenant_of
from duly.domain.steps import StepKind, StepStatus
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, NotFound, PathError
from duly.store.ledger.job_logs import job_exists
from duly.store.read.steps import StepPosition, StepView, list_steps

START = StepPosition(-1, 0, "")
_WRITTEN = re.compile(r"([0-9]{1,9}) ([1-3]) ([a-z0-9._-]{1,100})")
StepKindName = TypeAliasType("StepKindName", Literal["step", "timer", "signal"])
StepStatusName = TypeAliasType("StepStatusName", Literal["waiting", "completed", "timed_out", "compensated"])


class StepBody(BaseModel):
    """Recorded step, timer or signal of a job."""

    name: str = Field(examples=["charge"])
    kind: StepKindName
    status: StepStatusName = Field(
        description="`waiting`: the time has not come, or the signal has not arrived; `timed_out`: no signal arrived "
        "in time; `compensated`: the step was undone."
    )
    attempts: int | None = Field(description="Number of tries of a step; null for timers and signals.")
    startedAt: TimeText | None = Field(description="Start of a step.")
    completedAt: TimeText | None = Field(description="Time at which it was recorded; null while it waits.")
    until: TimeText | None = Field(description="Time of a timer, or until which a signal is waited for.")
    compensable: bool = Field(description="True if the step has a compensation.")
    result: Any = Field(description="Result of a step, or body of a signal. Null without the scope `jobs:payload`.")


class StepPage(BaseModel):
    items: list[StepBody]
    nextCursor: str | None


router = APIRouter(prefix="/api/v1/jobs/{jobId}/steps", tags=["jobs"])


@router.get(
    "",
    operation_id="listJobSteps",
    summary="List the steps of a job",
    response_model=StepPage,
    responses=error_responses(404, 422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_job_steps(
    request: Request,
    jobId: str,  # noqa: N803  # the contract's spelling
    *,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Returns the recorded steps of a job, its timers and its signals, in the order of their newest events."""
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    list_name = f"steps of {job_id}"
    after = _position(name_in_cursor(list_name, cursor))
    async with node.database.connection() as connection:
        steps = await list_steps(connection, tenant_id, job_id, after=after, limit=limit + 1)
        if not steps and not await job_exists(connection, tenant_id, job_id):
            raise NotFound("Job not found.")
    payload = reads_payload(request)
    last = write_cursor(list_name, _written(steps[limit - 1].position)) if len(steps) > limit else None
    return page_response([step_members(step, payload=payload) for step in steps[:limit]], next_cursor=last)


def _written(position: StepPosition) -> str:
    return f"{position.sequence} {position.kind} {position.name}"


def _position(written: str) -> StepPosition:
    """Returns the position in a cursor; the start without one.

    Raises:
        Invalid: it is not a text of `_written`.
    """
    if not written:
        return START
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise Invalid.at([PathError("cursor", "not a cursor of this list; pass a nextCursor unchanged")])
    return StepPosition(int(found[1]), int(found[2]), found[3])


def step_members(step: StepView, *, payload: bool = True) -> dict[str, object]:
    """Returns the members of a step, for orjson."""
    kind, waits = StepKind(step.position.kind), step.status is StepStatus.WAITING
    return {
        "name": step.position.name,
        "kind": kind.name.lower(),
        "status": step.status.name.lower(),
        "attempts": step.attempts if kind is StepKind.STEP else None,
        "startedAt": step.started_at,
        "completedAt": None if waits else rfc3339(step.at),
        "until": time_or_none(step.until),
        "compensable": step.compensable,
        "result": orjson.Fragment(step.value) if payload and step.value is not None else None,
    }
