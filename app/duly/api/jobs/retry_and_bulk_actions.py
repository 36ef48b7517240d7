"""Retrying a job, and retrying or cancelling all jobs that match a filter."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from duly.api.contract.openapi_parts import json_body
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import (
    CancelledBody,
    CountBody,
    JobBody,
    Responses,
    RetriedBody,
    error_responses,
)
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.job_body import job_response
from duly.api.jobs.job_filter import JobFilter
from duly.api.jobs.long_poll import find_job
from duly.api.jobs.submission_reader import read_body
from duly.api.jobs.submission_steps import refuse_when_draining
from duly.api.server.scope_values import audited_actor_of, body_of, node_of, recorded_of, tenant_of
from duly.domain.events import Status
from duly.domain.steps import STEP_NAME_PATTERN
from duly.errors import Invalid, PathError
from duly.lifecycle.end.bulk_actions import Author
from duly.store.read.access_paths import ListFilter

RETRYABLE = (Status.FAILED, Status.CANCELLED)
UNFINISHED = (Status.PENDING, Status.RUNNING)
_COUNTED: Responses = {200: {"model": CountBody, "description": "With `dryRun=true`"}}
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


class BulkQuery(JobFilter):
    """Jobs of a bulk action."""

    dryRun: bool = False

    @property
    def filters(self) -> dict[str, Any]:
        """Returns the requested filters, as JSON has them."""
        return self.model_dump(mode="json", exclude_unset=True, exclude={"dryRun"})


class JobRetryRequest(BaseModel):
    """Way to retry a job."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    fromStep: Annotated[str, StringConstraints(pattern=STEP_NAME_PATTERN)] | None = Field(
        default=None, description="Recorded step: it and all later ones are forgotten, and run again."
    )


@router.post(
    "/retry",
    operation_id="retryJobs",
    summary="Retry jobs by filter",
    status_code=202,
    response_model=RetriedBody,
    responses=error_responses(422, 503, also=_COUNTED),
)
async def retry_jobs(request: Request, query: Annotated[BulkQuery, Query()]) -> Response:
    """Retries all failed jobs that match the filter; with `status=cancelled`, the cancelled ones.

    With `dryRun=true`, the matching jobs are only counted, including those whose unique key is taken, which are not
    retried.
    """
    node, chosen = node_of(request), _with_statuses(query, allowed=RETRYABLE, default=[Status.FAILED])
    if query.dryRun:
        return await _counted(request, chosen)
    go_on = partial(refuse_when_draining, node)
    retried = await node.bulk_actions.retry(tenant_of(request), chosen, go_on=go_on, by=_author(request, query))
    return json_response(orjson.dumps({"retried": retried}), 202)


@router.post(
    "/cancel",
    operation_id="cancelJobs",
    summary="Cancel jobs by filter",
    status_code=202,
    response_model=CancelledBody,
    responses=error_responses(422, 503, also=_COUNTED),
)
async def cancel_jobs(request: Request, query: Annotated[BulkQuery, Query()]) -> Response:
    """Cancels all unfinished jobs that match the filter. At least one filter is required.

    With `dryRun=true`, the matching jobs are only counted.
    """
    if not query.filters:
        raise Invalid.at([PathError("", "At least one filter is required; without one, every job would be cancelled.")])
    node, chosen = node_of(request), _with_statuses(query, allowed=UNFINISHED, default=UNFINISHED)
    if query.dryRun:
        return await _counted(request, chosen)
    go_on = partial(refuse_when_draining, node)
    cancelled = await node.bulk_actions.cancel(tenant_of(request), chosen, go_on=go_on, by=_author(request, query))
    return json_response(orjson.dumps({"cancelled": cancelled}), 202)


@router.post(
    "/{jobId}/retry",
    operation_id="retryJob",
    summary="Retry a job",
    status_code=202,
    response_model=JobBody,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("JobRetryRequest", required=False),
)
async def retry_job(request: Request, jobId: str) -> Response:  # noqa: N803
    """Retries a failed, cancelled or held job: it is pending again, with all its attempts. A job whose compensation
    failed continues to compensate.
    """
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    refuse_when_draining(node)
    from_step = read_body(request, JobRetryRequest).fromStep if body_of(request) else None
    await find_job(node, tenant_id, job_id)
    await node.bulk_actions.retry_one(tenant_id, job_id, from_step=from_step)
    return job_response(request, await find_job(node, tenant_id, job_id), status=202)


async def _counted(request: Request, job_filter: ListFilter) -> Response:
    recorded_of(request)()  # a count is not audited
    found = await node_of(request).bulk_actions.count(tenant_of(request), job_filter)
    return json_response(orjson.dumps({"count": found.jobs, "complete": found.complete}))


def _author(request: Request, query: BulkQuery) -> Author | None:
    actor = audited_actor_of(request)
    return Author(actor, "jobs", {"filter": query.filters}, recorded_of(request)) if actor is not None else None


def _with_statuses(job_filter: JobFilter, *, allowed: Sequence[Status], default: Sequence[Status]) -> ListFilter:
    """Returns the filter, narrowed to jobs in these statuses.

    Raises:
        Invalid: it names another status.
    """
    if any(status not in allowed for status in job_filter.status):
        raise Invalid.at([PathError("status", f"must be {' or '.join(allowed)}")])
    return job_filter.as_filter()._replace(statuses=list(dict.fromkeys(job_filter.status)) or list(default))
