"""JSON responses. JSON text from the database is embedded as it is, never parsed."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from fastapi import Depends, Request
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from duly.domain.entity_tags import tag_of, weak
from duly.domain.events import Status
from duly.domain.job import JobView
from duly.domain.json_numbers import plain_number
from duly.domain.negotiation import Gzip, gzip_use
from duly.domain.timestamps import rfc3339
from duly.errors import Invalid, PathError

LONGEST_POLL_HINT = 30
LEAST_GZIPPED = 1024


def json_response(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Returns a response with a JSON body."""
    return Response(body, status, headers, media_type="application/json")


def page_response(
    items: Sequence[object], *, next_cursor: str | None, headers: dict[str, str] | None = None
) -> Response:
    """Returns one page of a list."""
    return json_response(orjson.dumps({"items": items, "nextCursor": next_cursor}), headers=headers)


def time_or_none(moment: datetime | None) -> str | None:
    """Returns a time in RFC 3339; None for None."""
    return rfc3339(moment) if moment is not None else None


def job_path(job_id: object) -> str:
    """Returns the path of a job."""
    return f"/api/v1/jobs/{job_id}"


def accepted_body(
    job_id: str,
    created_at: datetime,
    *,
    root_path: str,
    status: Status = Status.PENDING,
    deduplicated: bool = False,
) -> bytes:
    """Returns the body of the response to a submission.

    Args:
        job_id: the job that was recorded or, with `deduplicated`, the unfinished one with the same unique key.
        created_at: time at which it was recorded.
        root_path: prefix of the request, before the paths of its links.
        status: status of the job.
        deduplicated: whether an unfinished job with the same unique key was returned instead of a new one.
    """
    path = root_path + job_path(job_id)
    end = ',"deduplicated":true}' if deduplicated else "}"
    return (
        f'{{"jobId":"{job_id}","status":"{status}","createdAt":"{rfc3339(created_at)}","links":{{"self":"{path}",'
        f'"events":"{path}/events","stream":"{path}/events/stream","cancel":"{path}/cancel"}}{end}'
    ).encode()


def job_body(view: JobView) -> bytes:
    """Returns the body of a job."""
    members: dict[str, object] = {
        "jobId": str(view.job_id),
        "type": view.type,
        "queue": view.queue,
        "priority": view.priority,
        "status": view.status,
        "sequence": view.sequence,
        "waitingFor": view.waiting_for,
        "progress": plain_number(view.progress),
        "progressMessage": view.progress_message,
        "attempt": view.attempt,
        "maxAttempts": view.max_attempts,
        "parameters": orjson.Fragment(view.parameters),
        "result": _fragment(view.result),
        "error": _fragment(view.error),
        "labels": orjson.Fragment(view.labels or "{}"),
        "batchId": _id(view.batch_id),
        "parentId": _id(view.parent_id),
        "dependsOn": [str(job_id) for job_id in view.depends_on],
        "correlationId": view.correlation_id,
        "createdAt": rfc3339(view.created_at),
        "runAt": time_or_none(view.run_at),
        "startedAt": time_or_none(view.started_at),
        "completedAt": time_or_none(view.completed_at),
    }
    return orjson.dumps(members)


def _fragment(text: str | None) -> orjson.Fragment | None:
    return orjson.Fragment(text) if text is not None else None


def _id(value: UUID | None) -> str | None:
    return str(value) if value is not None else None


def job_headers(view: JobView, *, now: datetime) -> dict[str, str]:
    """Returns the headers of a job: its sequence as `ETag`, and `Retry-After` until it has ended."""
    headers = {"ETag": tag_of(view.sequence), "Cache-Control": "no-store"}
    if not view.ended:
        headers["Retry-After"] = str(poll_hint((now - view.created_at).total_seconds()))
    return headers


def poll_hint(age: float) -> int:
    """Returns the seconds until the next poll, from the age of a job in seconds: 1, 2, 4, 8, 16, then 30."""
    return min(2 ** int(math.log2(age)), LONGEST_POLL_HINT) if age >= 2 else 1  # noqa: PLR2004  # below, it is one


def compressed(app: ASGIApp) -> ASGIApp:
    """Wraps an application to gzip responses over 1 KiB if the client accepts it, and smaller ones if it accepts
    nothing else. Event streams are never compressed.
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_weak(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                if "content-encoding" in headers and "etag" in headers:
                    headers["etag"] = weak(headers["etag"])
            await send(message)

        accepted = scope["duly.headers"].get(b"accept-encoding")
        match gzip_use(accepted.decode("latin-1") if accepted else None):
            case Gzip.NEVER:
                responder: ASGIApp = IdentityResponder(app, LEAST_GZIPPED)
            case Gzip.WHERE_LARGE:
                responder = GZipResponder(app, LEAST_GZIPPED, compresslevel=5)
            case Gzip.ALWAYS:
                responder = GZipResponder(app, 1, compresslevel=5)
        await responder(scope, receive, send_weak)

    return respond


def accepts_query(*names: str) -> Any:
    """Returns the dependency of a route that has these query parameters and refuses all others."""
    allowed = f"allowed: {', '.join(names)}" if names else "none is allowed here"

    async def refuse_others(request: Request) -> None:
        unknown = [name for name in request.query_params if name not in names]
        if unknown:
            raise Invalid.at([PathError(name, f"unknown query parameter; {allowed}") for name in unknown])

    return Depends(refuse_others)
