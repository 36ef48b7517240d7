"""`GET /api/v1/batches`: list of batches."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from duly.api.batches.batches import batch_members
from duly.api.contract.cursors import id_in_cursor, write_cursor
from duly.api.contract.merged_pages import Page, first_page, merged_page
from duly.api.contract.response_models import BatchPage, error_responses
from duly.api.contract.responses import accepts_query, page_response
from duly.api.server.cell_reads import read_cells
from duly.api.server.scope_values import reads_payload, tenant_of
from duly.domain.ids import LARGEST
from duly.node import Node
from duly.store.submit.batches import BatchView, list_batches

LIST = "batches"
router = APIRouter(prefix="/api/v1/batches", tags=["batches"])


@router.get(
    "",
    operation_id="listBatches",
    summary="List batches",
    response_model=BatchPage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("limit", "cursor")],
)
async def list_all_batches(
    request: Request, *, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> Response:
    """Returns batches with the number of their jobs in each status, newest first."""
    tenant_id, before, payload = tenant_of(request), id_in_cursor(LIST, cursor, start=LARGEST), reads_payload(request)

    async def read(node: Node) -> Page[BatchView, UUID]:
        async with node.database.connection() as connection:
            views = await list_batches(connection, tenant_id, before=before, limit=limit + 1)
        return first_page(views, limit=limit, key=_id_of)

    found, away = await read_cells(request, read)
    page = merged_page(found.values(), limit=limit, key=_id_of)
    last = write_cursor(LIST, page.reached) if page.reached is not None else None
    items = [batch_members(view, payload=payload) for view in page.items]
    return page_response(items, next_cursor=last, headers={"Cache-Control": "no-store"}, away=away)


def _id_of(view: BatchView) -> UUID:
    return view.batch_id
