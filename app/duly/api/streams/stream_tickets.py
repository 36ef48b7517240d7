"""`POST /api/v1/stream-tickets`: a browser can send no key where it opens a stream, so it names a ticket there."""

from secrets import token_urlsafe
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from duly.api.batches.batches import find_batch
from duly.api.contract.response_models import TicketBody, failures
from duly.api.contract.responses import json_answer, only
from duly.api.jobs.jobs import tenant_job
from duly.api.jobs.long_poll import read_job
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.server.stream_tickets import VALID_SECONDS, ticket_digest
from duly.domain.grant import Grant
from duly.domain.job import DEFAULT_TENANT
from duly.domain.timestamps import rfc3339
from duly.lifecycle.submit.submission_model import LabelName, LabelValue
from duly.node import Node
from duly.store.ledger.stream_tickets import issue

MOST_LABELS = 16
_TARGETS = ("jobId", "batchId", "labels", "all")
Id = Annotated[str, StringConstraints(max_length=64)]


def _is_true(given: bool) -> bool:  # noqa: FBT001  # pydantic passes it so
    if not given:
        raise PydanticCustomError("true", "must be true, or left out")
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

    jobId: Id | None = Field(default=None, description="one job")
    batchId: Id | None = Field(default=None, description="the jobs of a batch")
    labels: dict[LabelName, LabelValue] | None = Field(
        default=None, min_length=1, max_length=MOST_LABELS, description="the jobs that have all of these labels"
    )
    all: Annotated[bool, AfterValidator(_is_true)] | None = Field(default=None, description="true: all jobs")
    submit: bool = Field(default=False, description="jobs may be submitted too, over `/ws/jobs`")

    @model_validator(mode="after")
    def _one_target(self) -> "TicketRequest":
        if sum(getattr(self, name) is not None for name in _TARGETS) != 1:
            raise PydanticCustomError("target", "must name exactly one of jobId, batchId, labels and all")
        return self


_TAKES_TARGET: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/TicketRequest"}}},
    }
}


def tickets_router(node: Node, reader: SubmissionReader) -> APIRouter:
    """The route of this section."""
    router = APIRouter(tags=["events"])

    @router.post(
        "/api/v1/stream-tickets",
        operation_id="createStreamTicket",
        status_code=201,
        response_model=TicketBody,
        responses=failures(400, 404, 413, 415, 422, 503),
        dependencies=[only()],
        openapi_extra=_TAKES_TARGET,
    )
    async def make_stream_ticket(request: Request) -> Response:
        """Make a ticket that opens one stream or socket, as `?ticket=`, on any node, once, within 60 s.

        It reads what it names and nothing else, and submits jobs over the socket only with `submit`.
        """
        body, headers = request.scope["duly.body"], request.scope["duly.headers"]
        if not body:
            body, headers = b"{}", headers | {b"content-type": b"application/json"}
        grant = await _granted(node, reader.read_as(TicketRequest, body, headers))
        ticket = token_urlsafe(32)
        async with node.database.connection() as connection:
            until = await issue(
                connection, DEFAULT_TENANT, ticket_digest(ticket.encode()), opens=grant.written(), seconds=VALID_SECONDS
            )
        made = orjson.dumps({"ticket": ticket, "expiresAt": rfc3339(until)})
        return json_answer(made, 201, {"Cache-Control": "no-store"})

    return router


async def _granted(node: Node, asked: TicketRequest) -> Grant:
    """Returns what a ticket is to open.

    Raises:
        NotFound: there is no such job or batch.
    """
    job_id = batch_id = None
    if asked.jobId is not None:
        job_id = (await read_job(node, DEFAULT_TENANT, tenant_job(asked.jobId))).job_id
    if asked.batchId is not None:
        batch_id = (await find_batch(node, asked.batchId)).batch_id
    return Grant(job_id, batch_id, asked.labels, asked.submit)
