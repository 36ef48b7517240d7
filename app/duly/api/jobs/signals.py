"""`POST /api/v1/jobs/{jobId}/signals/{name}`: sends a value to a job, which may wait for it."""

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from duly.api.contract.openapi_parts import IdText, TimeText
from duly.api.contract.path_ids import job_id_in_path
from duly.api.contract.response_models import error_responses
from duly.api.contract.responses import accepts_query, json_response
from duly.api.jobs.submission_reader import reader_of
from duly.api.server.scope_values import actor_of, body_of, node_of, tenant_of
from duly.domain.steps import SIGNAL_LIMIT, is_step_name
from duly.domain.timestamps import rfc3339
from duly.errors import BodyTooLarge, Invalid, PathError

_BODY = {
    "requestBody": {
        "description": "Any JSON value of at most 64 KiB; without a body, null.",
        "required": False,
        "content": {"application/json": {"schema": {}, "example": {"approved": True}}},
    }
}


class SignalBody(BaseModel):
    """Recorded signal."""

    jobId: IdText
    name: str = Field(examples=["approval"])
    sequence: int = Field(description="Sequence of its event.")
    sentAt: TimeText = Field(description="Time at which it was recorded.")


router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])


@router.post(
    "/{jobId}/signals/{name}",
    operation_id="sendSignal",
    summary="Send a signal to a job",
    status_code=202,
    response_model=SignalBody,
    responses=error_responses(
        *(404, 409, 413, 415, 422, 503),
        also={200: {"model": SignalBody, "description": "It was sent before, with the same body"}},
    ),
    dependencies=[accepts_query()],
    openapi_extra=_BODY,
)
async def send_signal(request: Request, jobId: str, name: str) -> Response:  # noqa: N803  # the contract's spelling
    """Sends a value to a job under a name. A job that waits for this name resumes; otherwise the value is kept until
    the job asks for it.

    The first signal of a name is kept. The same body again gets 200, another one 409 `SIGNAL_ALREADY_SENT`.
    """
    job_id, node, tenant_id = job_id_in_path(jobId), node_of(request), tenant_of(request)
    check_signal_name(name)
    value = None
    if size := len(body_of(request)):
        check_signal_size(size)
        value = reader_of(request).json(request)
    sent, fresh = await node.signals.send(tenant_id, job_id, name, value, by=actor_of(request), source="api")
    body = {"jobId": str(job_id), "name": name, "sequence": sent.sequence, "sentAt": rfc3339(sent.sent_at)}
    return json_response(orjson.dumps(body), 202 if fresh else 200)


def check_signal_name(name: str, *, path: str = "name") -> None:
    """Raises Invalid if a text is not a name of a signal or a step."""
    if not is_step_name(name):
        message = "must have 1 to 100 lower-case letters, digits, dots, underscores or dashes"
        raise Invalid.at([PathError(path, message)])


def check_signal_size(size: int) -> None:
    """Raises BodyTooLarge if a signal of this size in bytes is not accepted."""
    if size > SIGNAL_LIMIT:
        raise BodyTooLarge(
            f"Signal too large (limit: {SIGNAL_LIMIT:,} bytes).",
            reason="Send large values by reference, for example as a URL.",
        )
