"""`GET /api/v1/audit`: who changed what."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from duly.api.contract.cursors import name_in_cursor, write_cursor
from duly.api.contract.openapi_parts import TimeText
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, page_response
from duly.api.jobs.job_filter import Moment
from duly.api.server.scope_values import node_of, tenant_of
from duly.domain.timestamps import rfc3339
from duly.store.access.audit import AuditRecord, list_changes

LIST = "audit"
LARGEST = (1 << 63) - 1
Text = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00]*$")]


class AuditBody(BaseModel):
    """Recorded change."""

    at: TimeText
    actor: str = Field(description="Key id, `DULY_API_KEY`, `anonymous` or `cli:user@host`.")
    action: str = Field(examples=["key.created"])
    subject: str = Field(description="Id or name of what was changed.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    requestId: str | None


class AuditPage(BaseModel):
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
    in the log of the tenant `default`.
    """
    before = int(name_in_cursor(LIST, cursor) or LARGEST)
    async with node_of(request).database.connection() as connection:
        found = await list_changes(
            *(connection, tenant_of(request)),
            before=before,
            actor=actor,
            action=action,
            since=since,
            limit=limit + 1,
        )
    last = write_cursor(LIST, str(found[limit - 1].number)) if len(found) > limit else None
    headers = {"Cache-Control": "no-store"}
    return page_response([_body(record) for record in found[:limit]], next_cursor=last, headers=headers)


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
