"""`POST /api/v1/stream-tickets`: a browser can send no key where it opens a stream, so it names a ticket there."""

import hashlib
import re
from secrets import token_urlsafe
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Scope

from duly.api.answers import json_answer, only
from duly.api.models import TicketBody, failures
from duly.domain.job import DEFAULT_TENANT
from duly.domain.json_value import rfc3339
from duly.errors import Invalid, PathError, Unauthorized
from duly.node import Node
from duly.store.database import Database
from duly.store.tickets import issue, redeem

GOOD_SECONDS = 60.0
_STREAMS = re.compile(r"/api/v1/(?:jobs/[^/]+/)?events/stream|/ws/jobs")
_MEMBER = b"ticket="


def tickets_router(node: Node) -> APIRouter:
    """The route of this section."""
    router = APIRouter(tags=["events"])

    @router.post(
        "/api/v1/stream-tickets",
        status_code=201,
        response_model=TicketBody,
        responses=failures(413, 422, 503),
        dependencies=[only()],
    )
    async def make_stream_ticket(request: Request) -> Response:
        """A ticket that opens one stream or socket, as `?ticket=`, on any node, once, within 60 s."""
        if request.scope["duly.body"].strip() not in {b"", b"{}"}:
            raise Invalid.at([PathError("", "A ticket is asked for without a body.")])
        ticket = token_urlsafe(32)
        async with node.database.connection() as connection:
            until = await issue(connection, DEFAULT_TENANT, _digest(ticket.encode()), seconds=GOOD_SECONDS)
        body = orjson.dumps({"ticket": ticket, "expiresAt": rfc3339(until)})
        return json_answer(body, 201, {"Cache-Control": "no-store"})

    return router


def take_ticket(scope: Scope) -> bytes | None:
    """The ticket that a request for a stream names. It is taken out of the address, so that nothing shows it later."""
    if scope.get("method", "GET") != "GET" or not _STREAMS.fullmatch(scope["path"]):
        return None
    members = scope["query_string"].split(b"&")
    tickets = [member for member in members if member.startswith(_MEMBER)]
    if not tickets:
        return None
    scope["query_string"] = b"&".join(member for member in members if not member.startswith(_MEMBER))
    return unquote_to_bytes(tickets[-1].removeprefix(_MEMBER))


async def use_ticket(database: Database, ticket: bytes) -> None:
    """Uses a ticket up.

    Raises:
        Unauthorized: it is none, or was used, or is too old.
    """
    async with database.connection() as connection:
        tenant_id = await redeem(connection, _digest(ticket))
    if tenant_id is None:
        raise Unauthorized(
            "This ticket is not valid, or not any more.",
            reason="A ticket is good once, and for 60 s; ask for another: POST /api/v1/stream-tickets.",
        )


def _digest(ticket: bytes) -> bytes:
    return hashlib.sha256(ticket).digest()
