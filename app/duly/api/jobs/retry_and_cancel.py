"""Section 2 of the contract: retrying jobs, and retrying or cancelling all that fit a filter."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from duly.api.contract.response_models import CancelledBody, JobBody, RetriedBody, failures
from duly.api.contract.responses import job_body, job_headers, json_answer, only
from duly.api.jobs.jobs import refuse_when_draining, tenant_job
from duly.api.jobs.list_jobs import JobFilter
from duly.api.jobs.long_poll import read_job
from duly.domain.events import Status
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Invalid, PathError
from duly.node import Node
from duly.store.schema.access_paths import ListFilter

RETRYABLE = (Status.FAILED, Status.CANCELLED)
UNFINISHED = (Status.PENDING, Status.RUNNING)
Wanted = Annotated[JobFilter, Query()]


def redriving_router(node: Node) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
    go_on = partial(refuse_when_draining, node)

    @router.post(
        "/retry", operation_id="retryJobs", status_code=202, response_model=RetriedBody, responses=failures(422, 503)
    )
    async def retry_jobs(wanted: Wanted) -> Response:
        """Retry all jobs that fit: those that failed or, by `status=cancelled`, that were cancelled."""
        chosen = _with_statuses(wanted, of=RETRYABLE, default=[Status.FAILED])
        retried = await node.bulk_actions.retry(DEFAULT_TENANT, chosen, go_on=go_on)
        return json_answer(orjson.dumps({"retried": retried}), 202)

    @router.post(
        "/cancel",
        operation_id="cancelJobs",
        status_code=202,
        response_model=CancelledBody,
        responses=failures(422, 503),
    )
    async def cancel_jobs(wanted: Wanted) -> Response:
        """Cancel all jobs that fit and have not ended. At least one filter has to be given."""
        if not wanted.model_fields_set:
            raise Invalid.at([PathError("", "A filter is needed: this would cancel every job there is.")])
        chosen = _with_statuses(wanted, of=UNFINISHED, default=UNFINISHED)
        cancelled = await node.bulk_actions.cancel(DEFAULT_TENANT, chosen, go_on=go_on)
        return json_answer(orjson.dumps({"cancelled": cancelled}), 202)

    @router.post(
        "/{jobId}/retry",
        operation_id="retryJob",
        status_code=202,
        response_model=JobBody,
        responses=failures(404, 409, 422, 503),
        dependencies=[only()],
    )
    async def retry_job(jobId: str) -> Response:  # noqa: N803
        """Do a job once more that failed or was cancelled: it is pending again, with fresh attempts."""
        parsed = tenant_job(jobId)
        refuse_when_draining(node)
        await read_job(node, DEFAULT_TENANT, parsed)
        await node.bulk_actions.retry_one(DEFAULT_TENANT, parsed)
        view = await read_job(node, DEFAULT_TENANT, parsed)
        return json_answer(job_body(view), 202, job_headers(view, now=node.clock.now()))

    return router


def _with_statuses(wanted: JobFilter, *, of: Sequence[Status], default: Sequence[Status]) -> ListFilter:
    """The filter, for jobs that this can be done to."""
    others = [status for status in wanted.status if status not in of]
    if others:
        raise Invalid.at([PathError("status", f"may be {' or '.join(of)} only")])
    return wanted.as_filter()._replace(statuses=list(dict.fromkeys(wanted.status)) or list(default))
