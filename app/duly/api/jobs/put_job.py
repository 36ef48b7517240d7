"""`PUT /api/v1/jobs/{jobId}`: submitting under an id that the client made, as often as it likes."""

from datetime import datetime, timedelta
from uuid import RFC_4122, UUID

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from duly.api.contract.response_models import AcceptedBody, JobBody, failures
from duly.api.jobs.jobs import Through, refuse_when_draining, submission_document, tenant_job
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.jobs.submission_response import answer_accepted, answer_standing
from duly.domain.ids import made_at
from duly.errors import Invalid, PathError
from duly.node import Node

PREFIX = "/api/v1/jobs/"
# An id's time says where its job is kept: one from last year would be cleared away at once.
FARTHEST = timedelta(hours=24)


class SubmitNamedEndpoint:
    """As bare ASGI, like a submission without an id."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_when_draining(self._node)
        if scope["query_string"]:
            raise Invalid.at([PathError("", "A submission takes no query members; to wait, send `Prefer: wait=N`.")])
        job_id = tenant_job(scope["path"].removeprefix(PREFIX))
        if refused := id_refusal(job_id, now=self._node.clock.now()):
            raise Invalid.at([PathError("jobId", refused)])
        job = self._reader.read_named(job_id, scope["duly.body"], scope["duly.headers"])
        if self._node.submission_limiter.enabled:
            await self._node.submission_limiter.admit({job.queue: 1})
        accepted = await self._node.submitter.submit(job)
        answer = answer_standing if accepted.standing else answer_accepted
        await answer(self._node, accepted, scope, receive, send)


def id_refusal(job_id: UUID, *, now: datetime) -> str | None:
    """Why no job may be made under this id; None where it may."""
    if job_id.version != 7 or job_id.variant != RFC_4122:  # noqa: PLR2004  # RFC 9562, section 5.7
        return "must be a UUID of version 7"
    if _too_far(job_id, now):
        return "has a time that lies more than 24 hours from now"
    return None


def _too_far(job_id: UUID, now: datetime) -> bool:
    try:
        return abs(made_at(job_id) - now) > FARTHEST
    except (ValueError, OverflowError):  # a year that no calendar here has
        return True


def named_router(submit: SubmitNamedEndpoint) -> APIRouter:
    """The route of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.put(
        "/{jobId}",
        operation_id="submitJobWithId",
        status_code=202,
        response_model=AcceptedBody,
        responses=failures(
            *(400, 404, 409, 413, 415, 422, 429, 503),
            also={200: {"model": JobBody, "description": "The same submission stands already, or it is done in time"}},
        ),
        openapi_extra=submission_document(),
    )
    async def submit_named_job(request: Request, jobId: str) -> Response:  # noqa: N803
        """Record a job under an id of your own: a UUID of version 7, made within 24 hours.

        The same submission again is answered with the job as it stands.
        """
        del jobId  # the endpoint reads it from the address
        return Through(submit, request)

    return router
