"""Responses to submissions: the accepted job or, with `Prefer: wait`, the job once it has ended."""

from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.compression import compressed
from duly.api.contract.responses import json_response
from duly.api.jobs.job_body import accepted_body, job_path, job_response
from duly.api.jobs.long_poll import find_job, preferred_wait, wait_for_end
from duly.api.server.key_hold import while_key_is_valid
from duly.api.server.scope_values import headers_of, node_of, tenant_of
from duly.domain.events import Status
from duly.domain.job import Accepted, JobView
from duly.errors import Overloaded, Unauthorized
from duly.store.postgres.database import DatabaseError


async def send_accepted(accepted: Accepted, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the response to a job that was recorded; with `Prefer: wait`, once it has ended or the time is over."""
    wait, job_id = _wait_of(scope), str(accepted.job_id)
    view = await _ended(scope, accepted, wait)
    if view is not None:
        response = job_response(scope, view)
    else:
        body = accepted_body(job_id, accepted.created_at, root_path=scope["root_path"])
        if accepted.deduplicated:
            body = await _deduplicated_body(scope, accepted)
        if wait is None:
            await _send_bare(body, job_path(job_id).encode(), scope, send, replayed=accepted.replayed)
            return
        response = json_response(body, 202, {"Retry-After": "1"})
    await compressed(_with_headers(response, accepted, wait))(scope, receive, send)


async def send_existing(accepted: Accepted, scope: Scope, receive: Receive, send: Send) -> None:
    """Sends the response to a repeated submission under an id of the client's: the job in its current state."""
    wait = _wait_of(scope)
    view = await _ended(scope, accepted, wait) or await find_job(node_of(scope), tenant_of(scope), accepted.job_id)
    await compressed(_with_headers(job_response(scope, view), accepted, wait))(scope, receive, send)


async def _ended(scope: Scope, accepted: Accepted, wait: int | None) -> JobView | None:
    if wait is None:
        return None
    # The job was accepted: the wait ends with the key, and its client gets no error.
    with suppress(Unauthorized):
        async with while_key_is_valid(scope):
            return await wait_for_end(node_of(scope), tenant_of(scope), accepted.job_id, seconds=wait)
    return None


def _wait_of(scope: Scope) -> int | None:
    prefer = headers_of(scope).get(b"prefer")
    return preferred_wait(prefer.decode("latin-1")) if prefer is not None else None


async def _deduplicated_body(scope: Scope, accepted: Accepted) -> bytes:
    """Returns a body that names the job with the same unique key, with its status now, or as recorded with the
    idempotency key.
    """
    status = accepted.status
    with suppress(DatabaseError, Overloaded):  # the submission was accepted: its client must not receive an error
        status = status or (await find_job(node_of(scope), tenant_of(scope), accepted.job_id)).status
    return accepted_body(
        str(accepted.job_id),
        accepted.created_at,
        root_path=scope["root_path"],
        status=status or Status.PENDING,
        deduplicated=True,
    )


async def _send_bare(body: bytes, location: bytes, scope: Scope, send: Send, *, replayed: bool) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"location", location),
        (b"retry-after", b"1"),
    ]
    if replayed:
        headers.append((b"idempotency-replayed", b"true"))
    if not scope["duly.exchange"].respond(scope, 202, headers, body):
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_headers(response: Response, accepted: Accepted, wait: int | None) -> Response:
    response.headers["Location"] = job_path(accepted.job_id)
    if wait is not None:
        response.headers["Preference-Applied"] = f"wait={wait}"
    if accepted.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
