"""`POST /api/v1/stream-tickets`: tickets for browsers, which cannot send an API key when they open a stream."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from duly.api.batches.batches import find_batch
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import TicketBody, error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.long_poll import find_job
from duly.api.jobs.submission_reader import read_body
from duly.api.server.cell_reads import cell_count, number_of
from duly.api.server.route_scopes import require_scope
from duly.api.server.scope_values import (
    BODY,
    HEADERS,
    RequestScope,
    body_of,
    headers_of,
    node_of,
    principal_of,
    tenant_of,
)
from duly.api.server.stream_tickets import VALID_SECONDS, new_ticket, ticket_digest
from duly.domain.key_scope import KeyScope
from duly.domain.ticket_grant import Grant
from duly.domain.timestamps import rfc3339
from duly.lifecycle.submit.submission_model import LabelName, LabelValue
from duly.store.ledger.stream_tickets import issue

MOST_LABELS = 16
_TARGETS = ("jobId", "batchId", "labels", "all")
Id = Annotated[str, StringConstraints(max_length=64)]


def _is_true(given: bool) -> bool:  # noqa: FBT001  # pydantic passes it so
    if not given:
        raise PydanticCustomError("true", "must be true, or omitted")
    return given


class TicketRequest(BaseModel):
    """Target of a ticket: exactly one of `jobId`, `batchId`, `labels` and `all`."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        json_schema_extra={
            "examples": [
                {"jobId": "0199c1f0-5b1e-7a42-9c53-5e0b6d3f8a11"},
                {"labels": {"customer": "c-42"}, "submit": True},
            ],
        },
    )

    jobId: Id | None = Field(default=None, description="One job.")
    batchId: Id | None = Field(default=None, description="All jobs of a batch.")
    labels: dict[LabelName, LabelValue] | None = Field(
        default=None, min_length=1, max_length=MOST_LABELS, description="All jobs that have all of these labels."
    )
    all: Annotated[bool, AfterValidator(_is_true)] | None = Field(default=None, description="`true`: all jobs.")
    submit: bool = Field(default=False, description="Allow submitting jobs over `/ws/jobs`.")

    @model_validator(mode="after")
    def _one_target(self) -> "TicketRequest":
        if sum(getattr(self, name) is not None for name in _TARGETS) != 1:
            raise PydanticCustomError("target", "must have exactly one of jobId, batchId, labels and all")
        return self


router = APIRouter(tags=["events"])


@router.post(
    "/api/v1/stream-tickets",
    operation_id="createStreamTicket",
    summary="Create a stream ticket",
    status_code=201,
    response_model=TicketBody,
    responses=error_responses(400, 404, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("TicketRequest"),
)
async def create_stream_ticket(request: Request) -> Response:
    """Creates a ticket that opens one stream or socket, as `?ticket=`, on any node, once, within 60 s.

    It grants reading its target only, and submitting over the socket only with `submit`.
    """
    grant = await _grant(request, read_body(_with_body(request), TicketRequest))
    ticket, tenant_id = new_ticket(number_of(request), cell_count(request)), tenant_of(request)
    digest = ticket_digest(ticket.encode())
    async with node_of(request).database.connection() as connection:
        until = await issue(connection, tenant_id, digest, opens=grant.written(), seconds=VALID_SECONDS)
    body = orjson.dumps({"ticket": ticket, "expiresAt": rfc3339(until)})
    return json_response(body, 201, {"Cache-Control": "no-store"})


def _with_body(request: Request) -> RequestScope:
    """Returns the scope of a request, with an empty object for an empty body: its error then lists the targets."""
    if body_of(request):
        return request
    return {**request.scope, BODY: b"{}", HEADERS: {**headers_of(request), b"content-type": b"application/json"}}


async def _grant(request: Request, body: TicketRequest) -> Grant:
    """Returns the rights of a ticket.

    Raises:
        NotFound: the tenant has no such job or batch.
        ScopeMissing: it is to submit, and the key may not.
    """
    node, tenant_id, job_id, batch_id = node_of(request), tenant_of(request), None, None
    if body.jobId is not None:
        job_id = (await find_job(node, tenant_id, job_id_in_path(body.jobId))).job_id
    if body.batchId is not None:
        batch_id = (await find_batch(node, tenant_id, body.batchId)).batch_id
    principal = principal_of(request)
    if body.submit:
        require_scope(principal, KeyScope.JOBS_WRITE)
    return Grant(
        job_id,
        batch_id,
        body.labels,
        body.submit,
        payload=principal.reads_payload,
        key_id=principal.key_id,
        tenant=principal.tenant,
    )
