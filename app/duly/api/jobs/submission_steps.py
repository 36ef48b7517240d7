"""Acceptance of submissions: the steps of all endpoints that submit, over HTTP and WebSocket."""

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from duly.api.contract.openapi_parts import header_parameters, json_body
from duly.api.server.scope_values import node_of, tenant_of
from duly.domain.job import Accepted, NewJob
from duly.errors import Draining, Invalid, PathError
from duly.node import Node

PREFER = "`wait=N`: wait up to N seconds (at most 60) for the job to end."
NO_QUERY = "A submission has no query parameters. To wait for the job, send the header `Prefer: wait=N`."


async def begin_submission(scope: Scope, *, no_query: str = NO_QUERY) -> Node:
    """Returns the node that records the submission, with the job types of the tenant loaded.

    Raises:
        Draining: the node is shutting down.
        Invalid: the request has query parameters; `no_query` is the message.
    """
    node = node_of(scope)
    refuse_when_draining(node)
    if scope["query_string"]:
        raise Invalid.at([PathError("", no_query)])
    await load_job_types(node, tenant_of(scope))
    return node


async def load_job_types(node: Node, tenant_id: int) -> None:
    """Reads the declared job types of a tenant, unless they are loaded."""
    if not node.job_types.has_loaded(tenant_id):
        await node.job_types.load([tenant_id])


def refuse_when_draining(node: Node) -> None:
    """Raises Draining while the node shuts down."""
    if node.draining:
        raise Draining


async def accept(node: Node, job: NewJob) -> Accepted:
    """Records one job, once the submission limits admit it. Returns when the job is durable.

    Raises:
        RateLimited, BacklogFull, QueueLimitReached: it exceeds the submission limits.
        DulyError: it was refused; nothing was recorded.
    """
    if not node.queue_limit.knows(job.tenant_id, job.queue):
        await node.queue_limit.admit(job.tenant_id, (job.queue,))
    limiters = node.submission_limiters
    limiter = limiters.known(job.tenant_id) or await limiters.of(job.tenant_id)
    if limiter.enabled:
        await limiter.admit({job.queue: 1})
    return await node.submitter.submit(job)


async def admit(node: Node, tenant_id: int, jobs: Mapping[str, int], *, checked: int = 0) -> None:
    """Admits a number of a tenant's jobs to each queue, and those that were `checked` before, or none.

    Raises:
        RateLimited, BacklogFull, QueueLimitReached: they exceed the submission limits.
    """
    await node.queue_limit.admit(tenant_id, jobs)
    limiter = await node.submission_limiters.of(tenant_id)
    if limiter.enabled:
        await limiter.admit(jobs, checked=checked)


class EndpointResponse(Response):
    """Response of a FastAPI route that an ASGI endpoint sends.

    Hot endpoints are bare ASGI, since FastAPI would be two thirds of their time; their routes are for the OpenAPI
    document, and for paths that the middleware does not match.
    """

    def __init__(self, endpoint: ASGIApp, request: Request) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._scope = request.scope

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the exchange to the endpoint."""
        await self._endpoint(self._scope, receive, send)


def submission_document() -> dict[str, object]:
    """Returns the request of a submission for the OpenAPI document."""
    return {
        **json_body("Submission"),
        "parameters": header_parameters(
            {
                "Idempotency-Key": "The same key and body within 24 h return the first response again.",
                "Prefer": PREFER,
                "X-Correlation-Id": "Stored on the job and on all its events.",
                "traceparent": "W3C trace context; passed on to the handler and to webhooks.",
            }
        ),
    }
