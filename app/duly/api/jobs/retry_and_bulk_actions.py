"""Retrying a job, and retrying or cancelling all jobs that match a filter."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response

from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import CancelledBody, JobBody, RetriedBody, error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.job_body import job_response
from duly.api.jobs.job_filter import JobFilter
from duly.api.jobs.long_poll import find_job
from duly.api.jobs.submission_steps import refuse_when_draining
from duly.api.server.scope_values import actor_of, node_of, tenant_of
from duly.domain.events import Status
from duly.errors import Invalid, PathError
from duly.lifecycle.end.bulk_actions import Author
from duly.store.read.access_paths import ListFilter

RETRYABLE = (Status.FAILED, Status.CANCELLED)
UNFINISHED = (Status.PENDING, Status.RUNNING)
Filter = Annotated[JobFilter, Query()]
router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.post(
    "/retry",
    operation_id="retryJobs",
    summary="Retry jobs by filter",
    status_code=202,
    response_model=RetriedBody,
    responses=error_responses(422, 503),
)
async def retry_jobs(request: Request, filter: Filter) -> Response:  # noqa: A002
    """Retries all failed jobs that match the filter; with `status=cancelled`, the cancelled ones."""
    node, chosen = node_of(request), _with_statuses(filter, allowed=RETRYABLE, default=[Status.FAILED])
    go_on = partial(refuse_when_draining, node)
    retried = await node.bulk_actions.retry(tenant_of(request), chosen, go_on=go_on, by=_author(request, filter))
    return json_response(orjson.dumps({"retried": retried}), 202)


@router.post(
    "/cancel",
    operation_id="cancelJobs",
    summary="Cancel jobs by filter",
    status_code=202,
    response_model=CancelledBody,
    responses=error_responses(422, 503),
)
async def cancel_jobs(request: Request, filter: Filter) -> Response:  # noqa: A002
    """Cancels all unfinished jobs that match the filter. At least one filter is required."""
    if not filter.model_fields_set:
        raise Invalid.at([PathError("", "At least one filter is required; without one, every job would be cancelled.")])
    node, chosen = node_of(request), _with_statuses(filter, allowed=UNFINISHED, default=UNFINISHED)
    go_on = partial(refuse_when_draining, node)
    cancelled = await node.bulk_actions.cancel(tenant_of(request), chosen, go_on=go_on, by=_author(request, filter))
    return json_response(orjson.dumps({"cancelled": cancelled}), 202)


@router.post(
    "/{jobId}/retry",
    operation_id="retryJob",
    summary="Retry a job",
    status_code=202,
    response_model=JobBody,
    responses=error_responses(404, 409, 422, 503),
    dependencies=[accepts_query()],
)
async def retry_job(request: Request, jobId: str) -> Response:  # noqa: N803
    """Retries a failed or cancelled job: it is pending again, with all its attempts."""
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    refuse_when_draining(node)
    await find_job(node, tenant_id, job_id)
    await node.bulk_actions.retry_one(tenant_id, job_id)
    return job_response(request, await find_job(node, tenant_id, job_id), status=202)


def _author(request: Request, job_filter: JobFilter) -> Author:
    chosen = job_filter.model_dump(mode="json", exclude_unset=True)
    return Author(actor_of(request), "jobs", {"filter": chosen})


def _with_statuses(job_filter: JobFilter, *, allowed: Sequence[Status], default: Sequence[Status]) -> ListFilter:
    """Returns the filter, narrowed to jobs in these statuses.

    Raises:
        Invalid: it names another status.
    """
    if any(status not in allowed for status in job_filter.status):
        raise Invalid.at([PathError("status", f"must be {' or '.join(allowed)}")])
    return job_filter.as_filter()._replace(statuses=list(dict.fromkeys(job_filter.status)) or list(default))
