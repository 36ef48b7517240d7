"""`GET /api/v1/scaling`: the number of slots that the work at hand needs, for autoscalers."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from duly.api.contract.response_models import Gathered, error_responses
from duly.api.contract.responses import accepts_query, merged_response
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import tenant_of
from duly.lifecycle.figures.scaling import ScalingSignal, signal_of
from duly.lifecycle.submit.submission_model import Name

TARGET_SECONDS = 60.0


class ScalingBody(Gathered):
    """Load of the tenant, or of one of its queues or job types, and the slots that it needs."""

    waiting: int = Field(description="Jobs ready to start. Estimated above a thousand in a lane.")
    running: int = Field(description="Attempts in progress.")
    oldestWaitSeconds: float = Field(description="Waiting time of the oldest job that is ready to start.")
    arrivalRate: float = Field(description="Jobs submitted per second, over the last minutes.")
    desiredSlots: int = Field(
        description="Slots that drain what waits within the target and keep up with what arrives; at least `running`."
    )
    drainSeconds: float | None = Field(
        description="Time in which the slots of all live workers drain what waits. Null if it only grows."
    )


router = APIRouter(prefix="/api/v1/scaling", tags=["figures"])


@router.get(
    "",
    operation_id="getScaling",
    summary="Read the scaling signal",
    response_model=ScalingBody,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("queue", "type", "targetSeconds")],
)
async def read_scaling(
    request: Request,
    *,
    queue: Annotated[Name | None, Query(description="Jobs of this queue only.")] = None,
    type: Annotated[Name | None, Query(description="Jobs of this type only.")] = None,  # noqa: A002  # the contract's word
    target: Annotated[
        float,
        Query(alias="targetSeconds", ge=1, le=86_400, allow_inf_nan=False, description="Time to drain what waits."),
    ] = TARGET_SECONDS,
) -> Response:
    """Returns what waits and runs, and the slots that this needs. It is read from the database, so it needs no live
    worker. Jobs of paused queues need no slots, and a concurrency limit is never exceeded.
    """
    tenant_id = tenant_of(request)
    found, away = await read_cells(request, lambda node: node.scaling.read(tenant_id, queue=queue, job_type=type))
    signal = signal_of(found.values(), target_seconds=target)
    return merged_response(_body(signal), headers={"Cache-Control": "no-store"}, away=away)


def _body(signal: ScalingSignal) -> dict[str, object]:
    return {
        "waiting": signal.waiting,
        "running": signal.running,
        "oldestWaitSeconds": round(signal.oldest_seconds, 3),
        "arrivalRate": round(signal.arrival_rate, 3),
        "desiredSlots": signal.desired_slots,
        "drainSeconds": None if signal.drain_seconds is None else round(signal.drain_seconds, 3),
    }
