"""`POST /api/v1/stream-tickets`: a browser can send no key where it opens a stream, so it names a ticket there."""

import hashlib
from secrets import token_urlsafe
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError
from starlette.types import Scope

from duly.api.answers import json_answer, only
from duly.api.batches import find_batch
from duly.api.jobs import tenant_job
from duly.api.models import TicketBody, failures
from duly.api.origins import STREAMS
from duly.api.submission import SubmissionReader
from duly.api.waiting import read_job
from duly.api.websocket import PATH as SOCKET
from duly.domain.grant import Grant
from duly.domain.job import DEFAULT_TENANT
from duly.domain.json_value import rfc3339
from duly.errors import Unauthorized
from duly.lifecycle.submission import LabelName, LabelValue
from duly.node import Node
from duly.store.database import Database
from duly.store.tickets import issue, redeem

GOOD_SECONDS = 60.0
MOST_LABELS = 16
_MEMBER = b"ticket="
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
                connection, DEFAULT_TENANT, _digest(ticket.encode()), opens=grant.written(), seconds=GOOD_SECONDS
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


def take_ticket(scope: Scope) -> bytes | None:
    """Returns the ticket that a request for a stream names. It is taken out of the address, so that nothing shows it
    later.
    """
    path = scope["path"]
    if scope.get("method", "GET") != "GET" or not (path == SOCKET or STREAMS.fullmatch(path)):
        return None
    members = scope["query_string"].split(b"&")
    tickets = [member for member in members if member.startswith(_MEMBER)]
    if not tickets:
        return None
    scope["query_string"] = b"&".join(member for member in members if not member.startswith(_MEMBER))
    return unquote_to_bytes(tickets[-1].removeprefix(_MEMBER))


async def use_ticket(database: Database, ticket: bytes) -> Grant:
    """Uses a ticket up. Returns what it opens.

    Raises:
        Unauthorized: it is none, or was used, or is too old.
    """
    async with database.connection() as connection:
        opens = await redeem(connection, _digest(ticket))
    if opens is None:
        raise Unauthorized(
            "This ticket is not valid, or not any more.",
            reason="A ticket is good once, and for 60 s; ask for another: POST /api/v1/stream-tickets.",
        )
    return Grant.read(opens)


def _digest(ticket: bytes) -> bytes:
    """Nodes of the release before take any ticket whose plain digest they find for one that opens everything: they
    do not find this one.
    """
    return hashlib.sha256(b"stream ticket\x00" + ticket).digest()
