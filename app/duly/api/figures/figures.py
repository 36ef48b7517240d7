"""`GET /api/v1/figures`: figures of the last two days for plots, in steps of a minute to an hour."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import Gathered, error_responses
from duly.api.contract.responses import accepts_query, merged_response
from duly.api.jobs.job_filter import Moment
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import node_of, tenant_of
from duly.domain.figure_series import Series, Span, StoredMinute, joined_minutes, series_of
from duly.domain.minute_figures import ALL_QUEUES
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError
from duly.lifecycle.submit.submission_model import Name
from duly.node import Node
from duly.store.figures.minute_figures import read_figures

DEFAULT_SECONDS = 3600
STEPS = {"60", "300", "3600"}
MOST_STEPS = 2_881  # two days of minutes, which rarely begin with a minute
StepSeconds = Annotated[Literal[60, 300, 3600], BeforeValidator(lambda text: int(text) if text in STEPS else text)]
Counts = Annotated[list[int], Field(description="Number in each step.")]
Depths = Annotated[list[int], Field(description="Highest number in each step, of one reading a minute.")]
Times = Annotated[list[float | None], Field(description="To within 15 %. Null for a step without any.")]


class FigureSeries(BaseModel):
    """One value for each step, the oldest first."""

    submitted: Counts
    started: Counts
    completed: Counts
    failed: Counts
    cancelled: Counts
    retried: Annotated[list[int], Field(description="Attempts in each step after which the job runs again.")]
    deliveriesSucceeded: Annotated[list[int], Field(description="Delivery attempts of webhooks in each step.")]
    deliveriesFailed: Annotated[list[int], Field(description="Delivery attempts of webhooks in each step.")]
    waiting: Annotated[list[int], Field(description="Jobs ready to start: the highest number in each step.")]
    scheduled: Depths
    blocked: Depths
    running: Depths
    oldestWaitSeconds: Annotated[list[float], Field(description="Waiting time of the oldest job ready to start.")]
    waitP50Seconds: Times
    waitP99Seconds: Times
    runP50Seconds: Times
    runP99Seconds: Times


class FiguresBody(Gathered):
    """Figures that the service keeps for two days. They are up to ten seconds old, and not exact: a node that is killed
    loses what it counted since it last wrote.
    """

    queue: str | None
    since: TimeText = Field(description="Start of the first step.")
    until: TimeText = Field(description="End of the last step, which may be in the future.")
    stepSeconds: int
    series: FigureSeries


router = APIRouter(prefix="/api/v1/figures", tags=["figures"])


@router.get(
    "",
    operation_id="getFigures",
    summary="Read figures over time",
    response_model=FiguresBody,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("since", "until", "step", "queue")],
)
async def read_figures_over_time(
    request: Request,
    *,
    since: Annotated[Moment | None, Query(description="Start (default: an hour before the end).")] = None,
    until: Annotated[Moment | None, Query(description="End (default: now).")] = None,
    step: Annotated[StepSeconds, Query(description="Length of a step, in seconds.")] = 60,
    queue: Annotated[Name | None, Query(description="Figures of one queue (default: of all).")] = None,
) -> Response:
    """Returns series for plots: jobs submitted, started and ended, jobs that wait and run, and percentiles of waits and
    run times. A wait is the time from when a job is ready to its start. At most 50 queues have figures of their own in
    a minute; those of others are in the figures of all queues only.
    """
    span = _span(since, until, step, now=node_of(request).clock.now())
    tenant_id, since, until = tenant_of(request), _moment(span.since), _moment(span.until)

    async def read(node: Node) -> list[StoredMinute]:
        async with node.database.connection() as connection:
            return await read_figures(connection, tenant_id, queue or ALL_QUEUES, since=since, until=until)

    found, away = await read_cells(request, read)
    body = _body(span, queue, series_of(joined_minutes(found.values()), span))
    return merged_response(body, headers={"Cache-Control": "no-store"}, away=away)


def _span(since: datetime | None, until: datetime | None, step: int, *, now: datetime) -> Span:
    """Returns the span of a request.

    Raises:
        Invalid: it is empty or too long.
    """
    end = (until or now).timestamp()
    start = since.timestamp() if since is not None else end - DEFAULT_SECONDS
    span = Span.around(start, end, step)
    if not 0 < span.steps <= MOST_STEPS:
        raise Invalid.at([PathError("since", f"must be before `until`, by at most {MOST_STEPS - 1:,} steps")])
    return span


def _body(span: Span, queue: str | None, series: Series) -> dict[str, object]:
    return {
        "queue": queue,
        "since": rfc3339(_moment(span.since)),
        "until": rfc3339(_moment(span.until)),
        "stepSeconds": span.step,
        "series": series,
    }


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
