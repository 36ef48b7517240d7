"""How a submission is answered: that it is recorded or, where its client prefers to wait, how the job ended."""

from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.responses import accepted_body, compressed, job_body, job_headers, job_path, json_answer
from duly.api.jobs.long_poll import preferred_wait, read_job, wait_for_end
from duly.domain.events import Status
from duly.domain.job import DEFAULT_TENANT, Accepted
from duly.errors import Overloaded
from duly.node import Node
from duly.store.postgres.database import DatabaseError


async def answer_accepted(node: Node, accepted: Accepted, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to a job that is recorded; with `Prefer: wait`, once it has ended or the time is over."""
    wait = _asked_wait(scope)
    view = await wait_for_end(node, DEFAULT_TENANT, accepted.job_id, seconds=wait) if wait is not None else None
    if view is not None:
        answer = json_answer(job_body(view), 200, job_headers(view, now=node.clock.now()))
    else:
        body = accepted_body(str(accepted.job_id), accepted.created_at, root_path=scope["root_path"])
        if accepted.deduplicated:
            body = await _deduplicated_body(node, accepted, scope["root_path"])
        if wait is None:
            await _send_bare(body, accepted, scope, send)
            return
        answer = json_answer(body, 202, {"Retry-After": "1"})
    await compressed(_with_headers(answer, accepted, wait))(scope, receive, send)


async def answer_standing(node: Node, accepted: Accepted, scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to a submission under an id of the client's that was recorded before: the whole job."""
    wait = _asked_wait(scope)
    view = await wait_for_end(node, DEFAULT_TENANT, accepted.job_id, seconds=wait) if wait is not None else None
    view = view or await read_job(node, DEFAULT_TENANT, accepted.job_id)
    answer = json_answer(job_body(view), 200, job_headers(view, now=node.clock.now()))
    await compressed(_with_headers(answer, accepted, wait))(scope, receive, send)


def _asked_wait(scope: Scope) -> int | None:
    asked = scope["duly.headers"].get(b"prefer")
    return preferred_wait(asked.decode("latin-1")) if asked is not None else None


async def _deduplicated_body(node: Node, accepted: Accepted, root_path: str) -> bytes:
    """Names the job that stands for this submission, and how it stands now, or stood when a key was recorded."""
    status = accepted.status
    with suppress(DatabaseError, Overloaded):  # it was accepted: its client is not to hear of a failure
        status = status or (await read_job(node, DEFAULT_TENANT, accepted.job_id)).status
    status = status or Status.PENDING
    return accepted_body(
        str(accepted.job_id), accepted.created_at, root_path=root_path, status=status, deduplicated=True
    )


async def _send_bare(body: bytes, accepted: Accepted, scope: Scope, send: Send) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"location", job_path(accepted.job_id).encode()),
        (b"retry-after", b"1"),
    ]
    if accepted.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    if not scope["duly.exchange"].respond(scope, 202, headers, body):
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _with_headers(answer: Response, accepted: Accepted, wait: int | None) -> Response:
    answer.headers["Location"] = job_path(accepted.job_id)
    if wait is not None:
        answer.headers["Preference-Applied"] = f"wait={wait}"
    if accepted.replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer
