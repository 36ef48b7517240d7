"""Section 2 of the contract: submitting, reading and cancelling jobs."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.contract.openapi_parts import header_parameters, takes
from duly.api.contract.response_models import AcceptedBody, JobBody, failures
from duly.api.contract.responses import job_body, job_headers, json_answer, only
from duly.api.jobs.long_poll import LONGEST_WAIT_SECONDS, read_job, wait_for_change
from duly.api.jobs.submission_reader import SubmissionReader
from duly.api.jobs.submission_response import answer_accepted
from duly.api.server.load_shedding import leave
from duly.domain.entity_tags import read_sequences
from duly.domain.ids import parse_job_id
from duly.domain.job import DEFAULT_TENANT
from duly.errors import Draining, Invalid, NotFound, PathError
from duly.lifecycle.end.cancel import CancelResult
from duly.node import Node

PREFER = "`wait=N` waits up to N seconds (60) for the end"
_READS = header_parameters({"If-None-Match": "the `ETag` that is known: 304 while there is nothing newer"})
Wait = Annotated[int, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="seconds to wait for news (long poll)")]


def refuse_when_draining(node: Node) -> None:
    if node.draining:
        raise Draining("The service is going down; another node, or this one after its restart, takes jobs.")


class SubmitEndpoint:
    """`POST /api/v1/jobs`, as bare ASGI: the framework's plumbing would be two thirds of the request."""

    def __init__(self, node: Node, reader: SubmissionReader) -> None:
        self._node = node
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_when_draining(self._node)
        if scope["query_string"]:
            raise Invalid.at([PathError("", "A submission takes no query members; to wait, send `Prefer: wait=N`.")])
        job = self._reader.read(scope["duly.body"], scope["duly.headers"])
        if self._node.submission_limiter.enabled:
            await self._node.submission_limiter.admit({job.queue: 1})
        accepted = await self._node.submitter.submit(job)
        leave(scope)
        await answer_accepted(self._node, accepted, scope, receive, send)


def tenant_job(job_id: str) -> UUID:
    """The id in a path. What is no id is answered like an id that does not exist."""
    parsed = parse_job_id(job_id)
    if parsed is None:
        raise NotFound("There is no such job.")
    return parsed


def jobs_router(node: Node, submit: SubmitEndpoint) -> APIRouter:
    """The routes of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.post(
        "",
        operation_id="submitJob",
        status_code=202,
        response_model=AcceptedBody,
        responses=failures(
            *(400, 409, 413, 415, 422, 429, 503), also={200: {"model": JobBody, "description": "Done in time"}}
        ),
        openapi_extra=submission_document(),
    )
    async def submit_job(request: Request) -> Response:
        """Record a job. The answer is sent once the job is durable."""
        return Through(submit, request)

    @router.get(
        "/{jobId}",
        operation_id="getJob",
        response_model=JobBody,
        responses=failures(404, 422, 503, also={304: {"description": "Nothing newer"}}),
        dependencies=[only("wait")],
        openapi_extra={"parameters": _READS},
    )
    async def read_one(request: Request, jobId: str, wait: Wait | None = None) -> Response:  # noqa: N803
        """One job. With `wait`, as soon as there is news."""
        known = known_sequences(request)
        parsed = tenant_job(jobId)
        if wait and "duly.head" not in request.scope:
            newest = max(known or (), default=None)
            view = await wait_for_change(node, DEFAULT_TENANT, parsed, known_sequence=newest, seconds=wait)
        else:
            view = await read_job(node, DEFAULT_TENANT, parsed)
        headers = job_headers(view, now=node.clock.now())
        if known is None or view.sequence in known:
            return Response(status_code=304, headers={**headers, "Vary": "Accept-Encoding"})
        return json_answer(job_body(view), 200, headers)

    @router.post(
        "/{jobId}/cancel",
        operation_id="cancelJob",
        response_model=JobBody,
        responses=failures(404, 409, 422, 503, also={202: {"model": JobBody, "description": "Its handler is told"}}),
        dependencies=[only()],
    )
    async def cancel_job(jobId: str) -> Response:  # noqa: N803
        """Cancel a job: at once where it waits, through its handler where it runs."""
        parsed = tenant_job(jobId)
        answer = await node.canceller.cancel(DEFAULT_TENANT, parsed)
        view = await read_job(node, DEFAULT_TENANT, parsed)
        status = 200 if answer is CancelResult.CANCELLED else 202
        return json_answer(job_body(view), status, job_headers(view, now=node.clock.now()))

    return router


class Through(Response):
    """Hands the exchange to an ASGI endpoint from inside a FastAPI route."""

    def __init__(self, endpoint: ASGIApp, request: Request) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._scope = request.scope

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await self._endpoint(self._scope, receive, send)


def known_sequences(request: Request) -> frozenset[int] | None:
    """Returns the sequences that the client has; None where it has any."""
    return read_sequences(request.scope["duly.headers"].get(b"if-none-match", b"").decode("latin-1"))


def submission_document() -> dict[str, object]:
    """Returns what the OpenAPI document says of a request that bare ASGI reads."""
    return {
        **takes("Submission"),
        "parameters": header_parameters(
            {
                "Idempotency-Key": "the same key and body within 24 h get the first answer again",
                "Prefer": PREFER,
                "X-Correlation-Id": "stored on the job and on all its events",
                "traceparent": "W3C trace context; travels with the job",
            }
        ),
    }
