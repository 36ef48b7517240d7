"""`GET /api/v1/audit`: who changed what."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.merged_pages import interleaved
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import Gathered, error_responses
from duly.api.contract.responses import accepts_query, page_response
from duly.api.jobs.job_filter import Moment
from duly.api.server.cell_reads import cell_count, read_numbered_cells
from duly.api.server.scope_values import tenant_of
from duly.domain.timestamps import rfc3339
from duly.node import Node
from duly.store.access.audit import AuditRecord, list_changes

LIST = "audit"
LARGEST = (1 << 63) - 1
Text = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00]*$")]


class AuditBody(BaseModel):
    """Recorded change."""

    at: TimeText
    actor: str = Field(
        description="Key id, `DULY_API_KEY`, `anonymous`, `cli:user@host`, `link:recipient` or, by a handler, `job:id`."
    )
    action: str = Field(examples=["key.created"])
    subject: str = Field(description="Id or name of what was changed.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    requestId: str | None


class AuditPage(Gathered):
    items: list[AuditBody]
    nextCursor: str | None


router = APIRouter(prefix="/api/v1/audit", tags=["keys"])


@router.get(
    "",
    operation_id="listAuditLog",
    summary="Read the audit log",
    response_model=AuditPage,
    responses=error_responses(422, 503),
    dependencies=[accepts_query("actor", "action", "since", "limit", "cursor")],
)
async def list_audit_log(
    request: Request,
    *,
    actor: Annotated[Text | None, Query(description="Changes by this author only.")] = None,
    action: Annotated[Text | None, Query(description="Changes of this kind only.")] = None,
    since: Annotated[Moment | None, Query(description="Changes at this time or later.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Returns changes of keys, tenants, pauses, limits, schedules and webhooks, bulk actions and repairs, newest first.

    Entries are recorded in the transaction of the change, and are never changed. Changes of tenants, and repairs, are
    in the log of the tenant `default`. The log of an installation with several cells is kept in each of them.
    """
    tenant_id, count = tenant_of(request), cell_count(request)
    list_name = LIST if count == 1 else f"{LIST} of {count} cells"
    position = name_in_cursor(list_name, cursor)
    before = [int(number) for number in position.split()] if position else [LARGEST] * count

    async def read(node: Node, number: int) -> list[AuditRecord]:
        async with node.database.connection() as connection:
            return await list_changes(
                *(connection, tenant_id),
                before=before[number],
                actor=actor,
                action=action,
                since=since,
                limit=limit + 1,
            )

    found, away = await read_numbered_cells(request, read)
    shown = interleaved(found, limit=limit, at=_time_of)
    for number, record in shown:
        before[number] = record.number
    more = sum(map(len, found.values())) > limit
    last = write_cursor(list_name, " ".join(map(str, before))) if more else None
    headers = {"Cache-Control": "no-store"}
    return page_response([_body(record) for _, record in shown], next_cursor=last, headers=headers, away=away)


def _time_of(record: AuditRecord) -> datetime:
    return record.at


def _body(record: AuditRecord) -> dict[str, object]:
    return {
        "at": rfc3339(record.at),
        "actor": record.actor,
        "action": record.action,
        "subject": record.subject,
        "before": orjson.Fragment(record.before) if record.before is not None else None,
        "after": orjson.Fragment(record.after) if record.after is not None else None,
        "requestId": record.request_id,
    }
