"""Jobs in responses. JSON text from the database is embedded as it is, never parsed."""

import math
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import orjson
from starlette.responses import Response

from duly.api.contract.responses import json_response, time_or_none
from duly.api.server.scope_values import RequestScope, node_of, reads_payload
from duly.domain.entity_tags import tag_of
from duly.domain.event_views import error_without_payload
from duly.domain.events import Status
from duly.domain.job import JobView
from duly.domain.json_numbers import plain_number
from duly.domain.timestamps import rfc3339

LONGEST_POLL_HINT = 30


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


def without_payload(view: JobView) -> JobView:
    """Returns a job for readers who may not see payloads: without parameters, result and progress text; of an error,
    only its code is left.
    """
    return replace(view, parameters="null", result=None, progress_message=None, error=error_without_payload(view.error))


def job_body(view: JobView, *, payload: bool) -> bytes:
    """Returns the body of a job; without `payload`, without what it contains."""
    return orjson.dumps(job_members(view if payload else without_payload(view)))


def job_members(view: JobView) -> dict[str, object]:
    """Returns the members of a job, for orjson."""
    return {
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
        "batchId": id_or_none(view.batch_id),
        "parentId": id_or_none(view.parent_id),
        "dependsOn": [str(job_id) for job_id in view.depends_on],
        "correlationId": view.correlation_id,
        "createdAt": rfc3339(view.created_at),
        "runAt": time_or_none(view.run_at),
        "startedAt": time_or_none(view.started_at),
        "completedAt": time_or_none(view.completed_at),
        **({"compensating": True} if view.compensating else {}),
    }


def _fragment(text: str | None) -> orjson.Fragment | None:
    return orjson.Fragment(text) if text is not None else None


def id_or_none(value: UUID | None) -> str | None:
    """Returns an id as text; None for None."""
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


def job_response(scope: RequestScope, view: JobView, *, status: int = 200) -> Response:
    """Returns the response with a job, as far as the key of the request may read it."""
    body = job_body(view, payload=reads_payload(scope))
    return json_response(body, status, job_headers(view, now=node_of(scope).clock.now()))
