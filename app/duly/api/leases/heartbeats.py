"""Heartbeats of workers over HTTP: `…/{leaseId}/heartbeat`, and many at once."""

import asyncio
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response

from duly.api.contract.error_responses import as_duly_error, error_content
from duly.api.contract.openapi_parts import json_body
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_reader import read_body, reader_of
from duly.api.leases.lease_paths import PATH, lease_of
from duly.api.leases.models import HeartbeatBody, HeartbeatRequest, HeartbeatsBody, HeartbeatsRequest
from duly.api.server.scope_values import RequestScope, body_of, node_of
from duly.domain.json_writer import dump_text
from duly.domain.lease_id import Lease
from duly.domain.log_lines import LEVELS
from duly.domain.timestamps import rfc3339
from duly.errors import BodyTooLarge, DulyError, Invalid, PathError
from duly.lifecycle.leases.heartbeats import Report, ReportedLine
from duly.lifecycle.submit.validate_model import read_model
from duly.store.postgres.database import DatabaseError
from duly.store.queue.leases import Extended

router = APIRouter(prefix=PATH, tags=["leases"])


@router.post(
    "/heartbeat",
    operation_id="heartbeatLeases",
    summary="Extend several leases",
    response_model=HeartbeatsBody,
    responses=error_responses(400, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("HeartbeatsRequest"),
)
async def heartbeat_many(request: Request) -> Response:
    """Extends each lease by its length. A lease that cannot be extended has an `error` in its place."""
    ids = read_body(request, HeartbeatsRequest).leaseIds
    return json_response(orjson.dumps({"leases": await asyncio.gather(*(_item(request, each) for each in ids))}))


async def _item(request: Request, lease_id: str) -> dict[str, Any]:
    try:
        lease = lease_of(request, lease_id)
        extended = await node_of(request).leases.extender.extend(lease)
    except (DulyError, DatabaseError) as error:
        return {"leaseId": lease_id, "error": item_error(request, error)}
    return {"leaseId": lease_id, **_extended(request, lease, extended)}


def item_error(scope: RequestScope, error: Exception) -> dict[str, object]:
    """Returns the error of one item of several."""
    return error_content(as_duly_error(error, request_id=scope["duly.request_id"]))


@router.post(
    "/{leaseId}/heartbeat",
    operation_id="heartbeatLease",
    summary="Extend a lease",
    response_model=HeartbeatBody,
    responses=error_responses(400, 404, 409, 413, 415, 422, 503),
    dependencies=[accepts_query()],
    openapi_extra=json_body("HeartbeatRequest", required=False),
)
async def heartbeat(request: Request, leaseId: str) -> Response:  # noqa: N803  # the contract's spelling
    """Extends a lease by its length, and records progress, a checkpoint and log lines. Send one in a third of
    `leaseSeconds`. A lost lease gets 409 `LEASE_LOST`: stop working on the job.
    """
    lease, report = lease_of(request, leaseId), _report(request)
    extended = await node_of(request).leases.heartbeats.record(lease, report)
    return json_response(orjson.dumps(_extended(request, lease, extended)))


def _extended(scope: RequestScope, lease: Lease, extended: Extended) -> dict[str, Any]:
    """Returns the members of a response, and notes that the worker is alive."""
    node = node_of(scope)
    left = extended.expires_at - node.clock.now()
    node.leased_types.note(lease.tenant_id, [lease.type], seconds=left.total_seconds())
    return {"leaseExpiresAt": rfc3339(extended.expires_at), "cancelRequested": extended.cancel_requested}


def _report(request: Request) -> Report:
    """Returns what a heartbeat reports; nothing for an empty body.

    Raises:
        Invalid, BodyTooLarge: the body is invalid, or its checkpoint too large.
    """
    if not body_of(request):
        return Report()
    value: Any = reader_of(request).json(request)
    read = read_model(HeartbeatRequest, value)
    if read.message is not None and read.progress is None:
        raise Invalid.at([PathError("message", "belongs to `progress`, which is missing")])
    # From the value that was read: pydantic may have rounded its numbers.
    checkpoint = value.get("checkpoint")
    lines = [ReportedLine(LEVELS[line.level], line.message) for line in read.logs]
    return Report(
        read.progress,
        read.message,
        value_text(request, checkpoint, "checkpoint") if checkpoint is not None else None,
        lines,
    )


def value_text(scope: RequestScope, value: object, member: str) -> str:
    """Returns a result or checkpoint as JSON text, with its numbers as they were sent.

    Raises:
        BodyTooLarge: it exceeds the limit of results.
    """
    text, limit = dump_text(value), node_of(scope).settings.result_limit
    if len(text.encode()) > limit:
        message = f"{member.capitalize()} too large (limit: {limit:,} bytes)."
        raise BodyTooLarge(message, details={"errors": [{"path": member, "message": message}]})
    return text
