"""`GET /api/v1/jobs`: list of jobs."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, merged_page
from duly.api.contract.response_models import JobPage, error_responses
from duly.api.contract.responses import page_response
from duly.api.jobs.job_body import job_body
from duly.api.jobs.job_filter import JobFilter
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import reads_payload, tenant_of
from duly.domain.job import JobView
from duly.node import Node
from duly.store.read.access_paths import ListFilter
from duly.store.read.list_jobs import view_page

LIST = "jobs"


class ListQuery(JobFilter):
    """Filter and page of the job list."""

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None

    def as_filter(self) -> ListFilter:
        """Returns the filter as the store has it, from the end of the page before."""
        job_filter = super().as_filter()
        before = id_in_cursor(LIST, self.cursor, start=job_filter.before)
        return job_filter._replace(before=min(job_filter.before, before))


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.get(
    "", operation_id="listJobs", summary="List jobs", response_model=JobPage, responses=error_responses(422, 503)
)
async def list_jobs(request: Request, query: Annotated[ListQuery, Query()]) -> Response:
    """Returns jobs, newest first.

    A page may be short or empty and still have a `nextCursor`: a search that takes too long returns what it has found
    so far. Continue with the cursor.
    """
    tenant_id, chosen, payload = tenant_of(request), query.as_filter(), reads_payload(request)

    async def read(node: Node) -> Page[JobView, UUID]:
        async with node.database.connection() as connection:
            return Page(*await view_page(connection, tenant_id, chosen, limit=query.limit))

    found, away = await read_cells(request, read, of=(*(chosen.batches or ()), *(chosen.parents or ())))
    page = merged_page(found.values(), limit=query.limit, key=_id_of)
    items = [orjson.Fragment(job_body(view, payload=payload)) for view in page.items]
    last = write_cursor(LIST, page.reached) if page.reached is not None else None
    return page_response(items, next_cursor=last, away=away)


def _id_of(view: JobView) -> UUID:
    return view.job_id
